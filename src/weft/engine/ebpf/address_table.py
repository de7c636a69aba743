"""`addresses`: a map like the others, but neighbours are told when an address has another MAC."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping

import structlog

from weft.engine.ebpf import rows
from weft.engine.ebpf.announcements import Announcements
from weft.engine.ebpf.codecs import ADDRESSES, FLOOD, Codec, decode_mac
from weft.engine.ebpf.devices import Devices
from weft.engine.ebpf.map_table import MapTable
from weft.engine.rows import RowFailure
from weft.errors import KernelError, NotFoundError
from weft.kernel.announcement import Announcer
from weft.kernel.bpf import layouts
from weft.kernel.bpf.maps import BpfMap

MOST = 4096
"""Rows written at once of which each is looked up before. More are a network that has just come
here, or a map that is filled anew: there is nobody yet who could have an old MAC."""
log = structlog.get_logger()


class AddressTable(MapTable):
    """See `engine.rows.Table`."""

    def __init__(
        self,
        codec: Codec[rows.AddressKey, rows.AddressValue],
        open_map: Callable[[], BpfMap],
        open_flood: Callable[[], BpfMap],
        devices: Devices,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`open_flood` gives the map that says which ports a network has here."""
        super().__init__(rows.ADDRESSES, codec, open_map, devices)
        self._open_flood = open_flood
        self._monotonic_s = monotonic_s
        self._announcements = Announcements()
        self._announcer = Announcer()

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Table.write`."""
        gone = list(deletes)
        former = self._macs([*upserts, *gone]) if len(upserts) + len(gone) <= MOST else {}
        failures = super().write(upserts, gone)
        failed = {failure.row.key for failure in failures}
        for key in gone:
            if isinstance(key, rows.AddressKey) and key in former:
                self._announcements.gone(key, former[key])
        for key, value in upserts.items():
            assert isinstance(key, rows.AddressKey) and isinstance(value, rows.AddressValue)
            if key not in failed:
                self._announcements.here(key, value, former.get(key))
        return failures

    def announce(self) -> None:
        """Tell the ports what there is to tell, as fast as may be."""
        if not self._announcements.is_pending:
            return
        ports: dict[int, list[str]] = defaultdict(list)
        for raw_key, raw in self._open_flood().read().items():
            vni = FLOOD.decode_key(raw_key, self._devices).vni
            ports[vni].append(FLOOD.decode_value(raw, self._devices))
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

    def _macs(self, keys: Iterable[Hashable]) -> dict[rows.AddressKey, str]:
        """As they are in the map."""
        opened = self._open_map()
        found: dict[rows.AddressKey, str] = {}
        for key in keys:
            if not isinstance(key, rows.AddressKey):
                continue
            try:
                raw = opened.lookup(ADDRESSES.encode_key(key, self._devices))
            except NotFoundError:
                continue
            if raw is not None:
                found[key] = decode_mac(layouts.Endpoint.decode(raw).mac)
        return found
