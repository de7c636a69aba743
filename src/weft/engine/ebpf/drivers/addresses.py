"""`addresses`: a map like the others, but neighbours are told when an address has another MAC, and
programs that routed packets may go elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping

import structlog
from msgspec.structs import replace

from weft.engine.ebpf.announcements import Announcements
from weft.engine.ebpf.drivers.identified import Atoms, IdentifiedDriver
from weft.engine.ebpf.edition import Edition
from weft.engine.ebpf.map_table import Names, decode_mac
from weft.engine.ebpf.tables.addresses import ADDRESSES, AddressKey, AddressValue
from weft.engine.ebpf.tables.flood import FLOOD
from weft.engine.rows import RowFailure
from weft.errors import KernelError, NotFoundError
from weft.kernel.announcement import Announcer
from weft.kernel.bpf import layouts
from weft.kernel.bpf.maps import BpfMap

MOST = 4096
"""Rows written at once of which each is looked up before. More are a network that has just come
here, or a map that is filled anew: there is nobody yet who could have an old MAC."""
_ATOMS = Atoms(lambda value: value.atoms, lambda value, atoms: replace(value, atoms=atoms))
log = structlog.get_logger()


class AddressDriver(IdentifiedDriver):
    """See `engine.rows.Driver`."""

    def __init__(
        self,
        open_map: Callable[[], BpfMap],
        open_flood: Callable[[], BpfMap],
        names: Names,
        edition: Edition,
        changing: Callable[[AddressKey], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`open_flood` gives the map that says which ports a network has here; `edition` is of the
        maps that ways are made from; `changing` is told of rows' keys that are about to change."""
        super().__init__(ADDRESSES, open_map, names, _ATOMS, changing)
        self._edition = edition
        self._open_flood = open_flood
        self._monotonic_s = monotonic_s
        self._announcements = Announcements()
        self._announcer = Announcer()

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. Whoever changed the map meanwhile told no program."""
        self._edition.begin_another()
        return super().read(desired)

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        gone = list(deletes)
        former = self._macs([*upserts, *gone]) if len(upserts) + len(gone) <= MOST else {}
        with self._edition.changing():
            failures = super().write(upserts, gone)
        failed = {failure.row.key for failure in failures}
        for key in gone:
            if isinstance(key, AddressKey) and key in former:
                self._announcements.gone(key, former[key])
        for key, value in upserts.items():
            assert isinstance(key, AddressKey) and isinstance(value, AddressValue)
            if key not in failed:
                self._announcements.here(key, value, former.get(key))
        return failures

    def announce(self) -> None:
        """Tell the ports what there is to tell, as fast as may be."""
        if not self._announcements.is_pending:
            return
        ports: dict[int, list[str]] = defaultdict(list)
        for raw_key, raw in self._open_flood().read().items():
            vni = FLOOD.keys.decode(raw_key, self._names).vni
            ports[vni].append(FLOOD.values.decode(raw, self._names).ifname)
        try:
            self._announcements.tell(ports, self._announcer.send, self._monotonic_s())
        except KernelError as error:
            log.warning("neighbours not told of new MACs", reason=str(error))

    @property
    def announce_in_s(self) -> float | None:
        """In how many seconds to call `announce` again; None: it is not needed."""
        return self._announcements.due_in_s(self._monotonic_s())

    def close(self) -> None:
        """Give back what is open."""
        self._announcer.close()

    def _macs(self, keys: Iterable[Hashable]) -> dict[AddressKey, str]:
        """As they are in the map."""
        opened = self._open_map()
        found: dict[AddressKey, str] = {}
        for key in keys:
            if not isinstance(key, AddressKey):
                continue
            try:
                raw = opened.lookup(ADDRESSES.keys.encode(key, self._names))
            except NotFoundError:
                continue
            if raw is not None:
                found[key] = decode_mac(layouts.Endpoint.decode(raw).mac)
        return found
