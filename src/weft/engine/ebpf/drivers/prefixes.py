"""`prefixes`: a map like the others, by which addresses without a port are known to rules."""

from __future__ import annotations

from collections.abc import Callable

from weft.engine.ebpf.drivers.identified import Atoms, IdentifiedDriver
from weft.engine.ebpf.map_table import Names
from weft.engine.ebpf.policy.generations import Generations
from weft.engine.ebpf.tables.prefixes import PREFIXES
from weft.kernel.bpf.maps import Entries

_ATOMS = Atoms(lambda atoms: atoms, lambda _, atoms: atoms)


class PrefixDriver(IdentifiedDriver):
    """See `engine.rows.Driver`."""

    def __init__(
        self, open_map: Callable[[], Entries], names: Names, generations: Generations
    ) -> None:
        super().__init__(
            PREFIXES,
            open_map,
            names,
            _ATOMS,
            lambda key: generations.tenant_changes(key.tenant_id),
        )
