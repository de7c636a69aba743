"""`macs`: a map like the others, but programs keep what they find, and learn when it is over."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Iterable, Mapping

from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.map_table import Names, encode_u32
from weft.engine.ebpf.tables.macs import MACS
from weft.engine.rows import RowFailure
from weft.kernel.bpf import layouts
from weft.kernel.bpf.maps import BpfMap

EDITION_MAP = "macs_edition_v1"
_FIRST = encode_u32(0)


class MacDriver(MapDriver):
    """See `engine.rows.Driver`, and `bpf/lib/near.h`."""

    def __init__(
        self, open_map: Callable[[], BpfMap], open_edition: Callable[[], BpfMap], names: Names
    ) -> None:
        """`open_edition` gives the map that says which edition `macs` is."""
        super().__init__(MACS, open_map, names)
        self._open_edition = open_edition
        self._edition = secrets.randbits(31) << 1
        """None that a map of an earlier weftd has had, so far as chance goes."""

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. Whoever changed the map meanwhile told no program."""
        self._begin_another()
        return super().read(desired)

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        self._tell(self._edition + 1)
        try:
            return super().write(upserts, deletes)
        finally:
            self._begin_another()

    def _begin_another(self) -> None:
        self._edition = (self._edition + 2) % 2**32
        self._tell(self._edition)

    def _tell(self, number: int) -> None:
        errors = self._open_edition().update({_FIRST: layouts.Edition(number).encode()})
        for error in errors.values():
            raise error
