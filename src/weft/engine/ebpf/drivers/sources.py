"""`allowed`, and what `ports` has in common with it: maps like the others, by which programs check
what a port sends. Of a judged port's connections they check the first packets alone, so those are
told when it changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any

from weft.engine.ebpf.drivers.maps import ForeignKey, MapDriver
from weft.engine.ebpf.map_table import MapTable, Names
from weft.engine.ebpf.tables.allowed import AllowedKey
from weft.engine.rows import RowFailure
from weft.kernel.bpf.maps import Entries


class SourceDriver(MapDriver):
    """See `engine.rows.Driver`."""

    def __init__(
        self,
        table: MapTable[Any, Any],
        open_map: Callable[[], Entries],
        names: Names,
        changing: Callable[[str], None],
    ) -> None:
        """`changing` is told of the device of each port that is about to change."""
        super().__init__(table, open_map, names)
        self._changing = changing

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        gone: Collection[Hashable] = tuple(deletes)
        for key in (*upserts, *gone):
            if not isinstance(key, ForeignKey):
                self._changing(key.ifname if isinstance(key, AllowedKey) else str(key))
        return super().write(upserts, gone)
