"""`peers`: a map like the others; a shorter one has this host's own addresses once more."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from itertools import islice

from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.map_table import Names, encode_address
from weft.engine.ebpf.tables.peers import PEERS, PeerValue
from weft.engine.rows import RowFailure, RowKey
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Own
from weft.kernel.bpf.maps import BpfMap
from weft.model.addresses import IPAddress

STALE = "own addresses"
_ALL = bytes(4)


class PeerDriver(MapDriver):
    """See `engine.rows.Driver`."""

    def __init__(
        self,
        open_map: Callable[[], BpfMap],
        open_own: Callable[[], BpfMap],
        tag: int,
        names: Names,
    ) -> None:
        """`open_own` gives the map of own addresses, which are those of the host with this tag."""
        super().__init__(PEERS, open_map, names)
        self._open_own = open_own
        self._tag = tag
        self._wanted: dict[Hashable, Hashable] = {}

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. A shorter map that is not as the rows say is one row too many."""
        self._wanted = dict(desired)
        found = super().read(desired)
        if self._open_own().read() != _entries(self._own()):
            found[STALE] = STALE
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        gone = [key for key in deletes if key != STALE]
        for key in gone:
            self._wanted.pop(key, None)
        self._wanted.update(upserts)
        own = self._own()
        errors = self._open_own().update(_entries(own) or {_ALL: encode_own_addresses(())})
        failures = [
            RowFailure(RowKey(self.name, address), str(error))
            for error in errors.values()
            for address in own
        ]
        return failures + super().write(upserts, gone)

    def _own(self) -> list[IPAddress]:
        """In an order that follows from the addresses alone."""
        own = [
            key
            for key, value in self._wanted.items()
            if isinstance(value, PeerValue) and value.tag == self._tag
            if isinstance(key, (IPv4Address, IPv6Address))
        ]
        return sorted(own, key=lambda address: (address.version, int(address)))


def _entries(own: list[IPAddress]) -> dict[bytes, bytes]:
    """The one entry; zeros are none."""
    return {_ALL: encode_own_addresses(own)} if own else {}


def encode_own_addresses(own: Iterable[IPAddress]) -> bytes:
    """As many as there is room for; programs find the others among the peers."""
    raw = b"".join(map(encode_address, islice(own, Own.OWN_ADDRESSES)))
    return layouts.OwnAddresses(raw).encode()
