"""`macs`: a map like the others, but programs keep what they find, and learn when it is over."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping

from msgspec.structs import replace

from weft.engine.ebpf.drivers.identified import Atoms, IdentifiedDriver
from weft.engine.ebpf.edition import Edition
from weft.engine.ebpf.map_table import Names
from weft.engine.ebpf.policy.generations import Generations
from weft.engine.ebpf.tables.macs import MACS, MacKey
from weft.engine.rows import RowFailure
from weft.errors import WeftError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.maps import BpfMap
from weft.model.addresses import link_local_from_mac

_ATOMS = Atoms(lambda value: value.atoms, lambda value, atoms: replace(value, atoms=atoms))


class MacDriver(IdentifiedDriver):
    """See `engine.rows.Driver`, and `bpf/lib/near.h`."""

    def __init__(
        self,
        open_map: Callable[[], BpfMap],
        edition: Edition,
        names: Names,
        generations: Generations,
    ) -> None:
        """`edition`: of `macs`."""
        super().__init__(MACS, open_map, names, _ATOMS, self._link_local_changes)
        self._edition = edition
        self._generations = generations

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. Whoever changed the map meanwhile told no program."""
        self._edition.begin_another()
        return super().read(desired)

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. Connections of judged ports go on to the device or host that a MAC
        had when they began, so those of its network are looked at again when that changes."""
        gone = list(deletes)
        if self._generations.is_needed:
            for key in (*gone, *upserts):
                if isinstance(key, MacKey) and self._moves(key, upserts.get(key)):
                    self._generations.network_changed(key.vni)
        with self._edition.changing():
            return super().write(upserts, gone)

    def widen(self, upserts: Mapping[Hashable, Hashable]) -> None:
        """See `IdentifiedDriver.widen`."""
        if upserts:
            with self._edition.changing():
                super().widen(upserts)

    def _moves(self, key: MacKey, value: Hashable) -> bool:
        """Whether frames to a MAC have gone elsewhere until now. `value` None: it goes."""
        raw = self._open_map().lookup(self._table.keys.encode(key, self._names))
        if raw is None:
            return False
        try:
            return value is None or _place(raw) != _place(self._encoded(value))
        except WeftError:
            return True

    def _encoded(self, value: Hashable) -> bytes:
        return self._table.values.encode(value, self._names)

    def _link_local_changes(self, key: MacKey) -> None:
        self._generations.address_changed(link_local_from_mac(key.mac))


def _place(raw: bytes) -> layouts.Endpoint:
    return layouts.Endpoint.decode(raw)._replace(group=0, mac=bytes(6))
