"""Router advertisements to send, solicitations to read (RFC 4861, 4191, 8106). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from weft.errors import InvalidError
from weft.model.addresses import link_local_from_mac
from weft.model.service_addresses import GATEWAY_MAC
from weft.observers.multicast.messages import icmpv6_checksum
from weft.semantics.advertised import Advertised

ROUTER_LIFETIME_S = 65535
"""As long as a message can say (RFC 8319): the programs forward while weftd is away."""
FOR_EVER_S = 2**32 - 1
"""A prefix is on the link as long as the subnet is there, whether weftd says so or not."""
_SOLICITATION, _ADVERTISEMENT = 133, 134
_ICMPV6, _HOP_LIMIT = 58, 255
_WORKLOADS_HOP_LIMIT = 64
_SOURCE_MAC, _PREFIX, _MTU, _ROUTE, _RESOLVERS = 1, 3, 5, 24, 25
_ON_LINK, _AUTONOMOUS = 0x80, 0x40
_MOST_OPTIONS = 1280 - 40 - 16
"""All of it in one packet, whatever the MTU."""
_GATEWAY = bytes.fromhex(GATEWAY_MAC.replace(":", ""))
_SOURCE = link_local_from_mac(GATEWAY_MAC)
_ALL_NODES = IPv6Address("ff02::1")
NOTHING = Advertised((), is_router=False, routes=(), resolvers=(), mtu_bytes=0)


@lru_cache(maxsize=1024)
def advertisement(said: Advertised, former: Advertised = NOTHING) -> bytes:
    """An Ethernet frame from the gateway to all nodes. former: what was said before; what of that
    holds no more has a lifetime of 0, as far as there is room."""
    options = [struct.pack(">BB", _SOURCE_MAC, 1) + _GATEWAY]
    if said.mtu_bytes:
        options.append(struct.pack(">BBHI", _MTU, 1, 0, said.mtu_bytes))
    for each in said.prefixes:
        flags = _ON_LINK | (_AUTONOMOUS if each.is_autonomous else 0)
        options.append(_prefix(each.prefix, flags, FOR_EVER_S))
    options += [_route(each, ROUTER_LIFETIME_S) for each in said.routes]
    options += _resolvers(said.resolvers, ROUTER_LIFETIME_S)
    room = _MOST_OPTIONS - sum(map(len, options))
    for option in _taken_back(said, former):
        room -= len(option)
        if room >= 0:
            options.append(option)
    lifetime_s = ROUTER_LIFETIME_S if said.is_router else 0
    head = struct.pack(">BBHBBHII", _ADVERTISEMENT, 0, 0, _WORKLOADS_HOP_LIMIT, 0, lifetime_s, 0, 0)
    return _framed(head + b"".join(options))


def check_solicitation(packet: bytes) -> None:
    """InvalidError: it is no router solicitation that a router may answer (RFC 4861 6.1.1). Its
    program has looked at hop limit, source and options."""
    if len(packet) < 48 or packet[0] >> 4 != 6 or packet[6] != _ICMPV6:
        raise InvalidError("router solicitation: none")
    (length,) = struct.unpack_from(">H", packet, 4)
    body = packet[40 : 40 + length]
    if len(body) != length or length < 8 or body[:2] != bytes((_SOLICITATION, 0)):
        raise InvalidError("router solicitation: none, or longer than its packet")
    if packet[7] != _HOP_LIMIT:
        raise InvalidError("router solicitation: from off-link")
    if icmpv6_checksum(packet[8:24], packet[24:40], body) != bytes(2):
        raise InvalidError("router solicitation: wrong checksum")


def _taken_back(said: Advertised, former: Advertised) -> Iterator[bytes]:
    gone = {each.prefix for each in former.prefixes} - {each.prefix for each in said.prefixes}
    for each in sorted(gone):
        yield _prefix(each, _ON_LINK, 0)
    for each in sorted({*former.routes} - {*said.routes}):
        yield _route(each, 0)
    yield from _resolvers(tuple(sorted({*former.resolvers} - {*said.resolvers})), 0)


def _prefix(prefix: IPv6Network, flags: int, lifetime_s: int) -> bytes:
    head = struct.pack(">BBBBIII", _PREFIX, 4, prefix.prefixlen, flags, lifetime_s, lifetime_s, 0)
    return head + prefix.network_address.packed


def _route(prefix: IPv6Network, lifetime_s: int) -> bytes:
    """With as much of the prefix as its length needs."""
    size = 0 if not prefix.prefixlen else 8 if prefix.prefixlen <= 64 else 16
    head = struct.pack(">BBBBI", _ROUTE, 1 + size // 8, prefix.prefixlen, 0, lifetime_s)
    return head + prefix.network_address.packed[:size]


def _resolvers(resolvers: tuple[IPv6Address, ...], lifetime_s: int) -> list[bytes]:
    if not resolvers:
        return []
    head = struct.pack(">BBHI", _RESOLVERS, 1 + 2 * len(resolvers), 0, lifetime_s)
    return [head + b"".join(each.packed for each in resolvers)]


def _framed(message: bytes) -> bytes:
    sum_ = icmpv6_checksum(_SOURCE.packed, _ALL_NODES.packed, message)
    message = message[:2] + sum_ + message[4:]
    head = struct.pack(">IHBB", 6 << 28, len(message), _ICMPV6, _HOP_LIMIT)
    ethernet = b"\x33\x33" + _ALL_NODES.packed[12:] + _GATEWAY + b"\x86\xdd"
    return ethernet + head + _SOURCE.packed + _ALL_NODES.packed + message
