"""`routes`, `routers` and `subnets`: maps like the others, by which it is known where packets go
that are routed, and on which network that is. Connections of judged ports remember it, and each CPU
keeps some of it (`bpf/lib/route_near.h`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any

from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.edition import Edition
from weft.engine.ebpf.map_table import MapTable, Names
from weft.engine.rows import RowFailure
from weft.kernel.bpf.maps import Entries


class RouteDriver(MapDriver):
    """See `engine.rows.Driver`."""

    def __init__(
        self,
        table: MapTable[Any, Any],
        open_map: Callable[[], Entries],
        names: Names,
        edition: Edition,
        ways_change: Callable[[], None],
    ) -> None:
        """edition: of the maps that ways are made from. ways_change: notes that what was decided
        about addresses may be otherwise now."""
        super().__init__(table, open_map, names)
        self._edition = edition
        self._ways_change = ways_change

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. Whoever changed the map meanwhile told no program."""
        self._edition.begin_another()
        return super().read(desired)

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        gone: Collection[Hashable] = tuple(deletes)
        if upserts or gone:
            self._ways_change()
        with self._edition.changing():
            return super().write(upserts, gone)
