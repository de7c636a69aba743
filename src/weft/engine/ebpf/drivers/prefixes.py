"""`prefixes` and `unowned`: maps like the others, by which addresses that no port has are known to
rules."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from weft.engine.ebpf.drivers.identified import Atoms, IdentifiedDriver
from weft.engine.ebpf.drivers.maps import ForeignKey
from weft.engine.ebpf.map_table import MapTable, Names
from weft.engine.ebpf.policy.atoms import Atom, sorted_atoms
from weft.kernel.bpf.maps import Entries

_ATOMS = Atoms(lambda atoms: atoms, lambda _, atoms: atoms)


class PrefixDriver(IdentifiedDriver):
    """See `engine.rows.Driver`."""

    _leads_nowhere = True

    def __init__(
        self,
        table: MapTable[Any, Any],
        open_map: Callable[[], Entries],
        names: Names,
        changing: Callable[[Any], None],
    ) -> None:
        """See `IdentifiedDriver`."""
        super().__init__(table, open_map, names, _ATOMS, changing)

    def widen_around(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> None:
        """See `widen`; and what goes becomes what the rows around it are to be, as its addresses
        will be when it has gone."""
        wanted: dict[Hashable, Hashable] = dict(upserts)
        keys: Iterable[Any] = upserts
        lengths = {(key.prefix.version, key.prefix.prefixlen) for key in keys}
        for key in deletes:
            if isinstance(key, ForeignKey):
                continue
            found = {
                atom for each in _around(key, lengths) for atom in _atoms_in(upserts.get(each))
            }
            if found:
                wanted[key] = sorted_atoms(found)
        self.widen(wanted)


def _atoms_in(value: Any) -> tuple[Atom, ...]:
    return value or ()


def _around(key: Any, lengths: Iterable[tuple[int, int]]) -> Iterator[Hashable]:
    """Keys of shorter prefixes that a prefix lies in, of such lengths."""
    for version, length in lengths:
        if version == key.prefix.version and length < key.prefix.prefixlen:
            yield key._replace(prefix=key.prefix.supernet(new_prefix=length))
