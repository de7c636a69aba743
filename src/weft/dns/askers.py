"""Which port asks, known by its alias, or that the host itself asks. Nobody else is answered.

A query from a workload arrives from its port's alias (see `weft.model.service_addresses`), set by
the packet path, which no workload can choose. All other sources must be addresses of this host,
so that the server can never be used to send traffic to a third party.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import NamedTuple

from weft.dns.zone import Scope, Zone
from weft.model.addresses import IPAddress
from weft.model.records import Port
from weft.model.service_addresses import ifindex_of_alias

MAX_KNOWN = 10_000
OWN_ADDRESS_HOLD_S = 5.0
"""For how long an address of the host is believed to be one."""


class Asker(NamedTuple):
    """A port, under either of its aliases; or the host, under any of its addresses."""

    key: str
    """The same for all that is the same asker's: limits count by it."""
    scope: Scope
    """How the asker sees the world."""


class Askers:
    """Askers by source address."""

    def __init__(
        self,
        zone: Zone,
        port_of_ifindex: Callable[[int], Port | None],
        clock: Callable[[], float],
    ) -> None:
        self._zone = zone
        self._port_of_ifindex = port_of_ifindex
        self._clock = clock
        self._known: dict[str, Asker] = {}
        self._known_version = zone.version
        self._forget_at_s = clock() + OWN_ADDRESS_HOLD_S

    def find(self, source: str) -> Asker | None:
        """The asker behind an address; None: the asker gets no response."""
        if self._known_version != self._zone.version or self._clock() >= self._forget_at_s:
            self._known.clear()
            self._known_version = self._zone.version
            self._forget_at_s = self._clock() + OWN_ADDRESS_HOLD_S
        known = self._known.get(source)
        if known is not None:
            return known
        asker = self._find(ipaddress.ip_address(source))
        if asker is not None and len(self._known) < MAX_KNOWN:
            self._known[source] = asker
        return asker

    def _find(self, address: IPAddress) -> Asker | None:
        ifindex = ifindex_of_alias(address)
        if ifindex is not None:
            port = self._port_of_ifindex(ifindex)
            return None if port is None else Asker(port.id, self._zone.scope_of_port(port))
        return Asker("host", self._zone.scope_of_host()) if is_own(address) else None


def is_own(address: IPAddress) -> bool:
    """Whether an address is this host's.

    The kernel's own choice of source towards an address is that address itself exactly when it is
    local. (Nothing is sent. Binding to it would tell nothing where `ip_nonlocal_bind` is set.)
    """
    if address.is_loopback:
        return True
    if address.is_multicast or address.is_unspecified:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((str(address), 9))
            return ipaddress.ip_address(sock.getsockname()[0]) == address
    except OSError:
        return False
