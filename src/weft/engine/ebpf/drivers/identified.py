"""Tables whose values say what an address is to rules: `addresses`, `macs`, `prefixes`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from weft.engine.ebpf.drivers.maps import ForeignKey, MapDriver
from weft.engine.ebpf.map_table import MapTable, Names
from weft.engine.ebpf.policy.atoms import Atom, sorted_atoms
from weft.engine.rows import RowFailure
from weft.errors import WeftError
from weft.kernel.bpf.maps import Entries


class Atoms(NamedTuple):
    """How a table's values hold what an address is."""

    of: Callable[[Any], tuple[Atom, ...]]
    put: Callable[[Any, tuple[Atom, ...]], Hashable]


class IdentifiedDriver(MapDriver):
    """See `engine.rows.Driver`."""

    _leads_nowhere = False
    """A row is nothing but what addresses are, and may be there before rules ask for it."""

    def __init__(
        self,
        table: MapTable[Any, Any],
        open_map: Callable[[], Entries],
        names: Names,
        atoms: Atoms,
        changing: Callable[[Any], None],
    ) -> None:
        """`changing` is told of rows' keys that are about to change."""
        super().__init__(table, open_map, names)
        self._atoms = atoms
        self._changing = changing

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        gone = list(deletes)
        self._announce_change(upserts)
        self._announce_change(gone)
        return super().write(upserts, gone)

    def widen(self, upserts: Mapping[Hashable, Hashable]) -> None:
        """What an address is to become it is from now on, beside what it is. So rules may be
        replaced by others that ask for other things of it, and no packet is judged by the new rules
        without being what they ask for. The rows themselves are written later; one that fails here
        will then. Of prefixes a look-up finds the longest one around, if there is no such row yet:
        that is what its addresses have been until now."""
        opened = self._open_map()
        items: dict[bytes, bytes] = {}
        for key, value in upserts.items():
            try:
                raw_key = self._table.keys.encode(key, self._names)
                raw = opened.lookup(raw_key)
                former = None if raw is None else self._table.values.decode(raw, self._names)
            except (WeftError, ValueError):
                continue
            if former is None and not self._leads_nowhere:
                continue
            its = () if former is None else self._atoms.of(former)
            wide = sorted_atoms((*its, *self._atoms.of(value)))
            if wide == its:
                continue
            try:
                put = self._atoms.put(value if former is None else former, wide)
                items[raw_key] = self._table.values.encode(put, self._names)
            except WeftError:
                continue
            self._changing(key)
        if items:
            opened.update(items)

    def _announce_change(self, keys: Iterable[Hashable]) -> None:
        for key in keys:
            if not isinstance(key, ForeignKey):
                self._changing(key)
