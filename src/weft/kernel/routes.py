"""Routes: requests that add and remove them, a dump of the main table, and what leads where."""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address
from typing import NamedTuple

from weft.errors import KernelError
from weft.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Answer,
    Netlink,
    Request,
    attribute,
    attribute_u32,
    attributes,
    nested,
)
from weft.model.addresses import IPAddress, IPNetwork, ip_address, ip_network

_RTM_NEWROUTE = 24
_RTM_DELROUTE = 25
_RTM_GETROUTE = 26
_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5
_RTA_PRIORITY = 6
_RTA_PREFSRC = 7
_RTA_METRICS = 8
_RTA_MULTIPATH = 9
_RTA_TABLE = 15
_RTA_VIA = 18
_RTAX_MTU = 2
MAIN = 254
"""The routing table that is asked when no rule says otherwise."""
_RT_TABLE_UNSPEC = 0
_RT_TABLE_LOCAL = 255
_RT_SCOPE_UNIVERSE = 0
_RT_SCOPE_LINK = 253
_RTN_UNICAST = 1
_RTN_LOCAL = 2
_RTNH_F_ONLINK = 4
RTPROT_KERNEL = 2
"""Of routes that the kernel makes itself, as for the prefix of an address."""
_RTPROT_STATIC = 4
_BEHIND_CONNECTED = 1024
"""What the kernel gives IPv6 where nothing is said."""
_RTM_F_CLONED = 0x200
_FAMILY = {4: 2, 6: 10}
_RTMSG = struct.Struct("=BBBBBBBBI")
_NEXT_HOP = struct.Struct("=HBBi")

PROTOCOL = 87
"""Marks the routes that Weft made (`ip route` shows ``proto 87``)."""
MOST_OWN_S = 1.0
"""Far more than the kernel takes until it knows an address as its own."""
_OWN_POLL_S = 0.0005
METRIC = 2000
"""Of Weft's routes: so high that a route of the host to the same prefix goes before."""


class Route(NamedTuple):
    """A unicast route of the main table."""

    prefix: IPNetwork
    ifindex: int
    """0: none (several next hops, or a reject)."""
    gateway: IPAddress | None
    source: IPAddress | None
    metric: int
    mtu_bytes: int
    """0: the device's."""
    protocol: int


def add_route(
    prefix: IPNetwork,
    ifindex: int,
    *,
    source: IPAddress | None = None,
    mtu_bytes: int = 0,
    table: int = MAIN,
) -> Request:
    """Route a prefix straight out of a device, in place of such a route of Weft's."""
    parts = [_own_route(prefix, ifindex, table)]
    if source is not None:
        parts.append(attribute(_RTA_PREFSRC, source.packed))
    if mtu_bytes:
        parts.append(nested(_RTA_METRICS, attribute_u32(_RTAX_MTU, mtu_bytes)))
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Request(f"add route {prefix}", _RTM_NEWROUTE, flags, b"".join(parts))


def add_local_route(address: IPv6Address, ifindex: int) -> Request:
    """Take what arrives on a device for this address of the host's, which another device holds."""
    header = _RTMSG.pack(10, 128, 0, 0, _RT_TABLE_LOCAL, PROTOCOL, 0, _RTN_LOCAL, 0)
    body = header + attribute(_RTA_DST, address.packed) + attribute_u32(_RTA_OIF, ifindex)
    body += attribute_u32(_RTA_PRIORITY, METRIC)
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Request(f"add local route {address}", _RTM_NEWROUTE, flags, body)


def add_gateway_route(prefix: IPNetwork, gateway: IPAddress, ifindex: int) -> Request:
    """Route a prefix to a gateway that is reached through this device. EEXIST: it has a route.

    A device that is on the prefix itself, now or later, goes before: the kernel's route of such a
    device has a lower metric, but not than that of IPv4 where none is said.
    """
    parts = [
        _route(prefix, _RT_SCOPE_UNIVERSE, _RTPROT_STATIC, _RTNH_F_ONLINK),
        attribute_u32(_RTA_OIF, ifindex),
        attribute(_RTA_GATEWAY, gateway.packed),
    ]
    if prefix.version == 4 and prefix.prefixlen:
        parts.append(attribute_u32(_RTA_PRIORITY, _BEHIND_CONNECTED))
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Request(f"add route {prefix} via {gateway}", _RTM_NEWROUTE, flags, b"".join(parts))


def delete_route(prefix: IPNetwork, ifindex: int, table: int = MAIN) -> Request:
    """Take a route of Weft's away. ESRCH: it is gone already."""
    return Request(f"delete route {prefix}", _RTM_DELROUTE, 0, _own_route(prefix, ifindex, table))


def routes(netlink: Netlink, versions: Iterable[int] = (4, 6), table: int = MAIN) -> list[Route]:
    """All unicast routes of a table, of IPv4 and IPv6 or of one of them."""
    found: list[Route] = []
    for version in versions:
        for body in _dump(netlink, version, table):
            route = _parse(body, table)
            if route is not None:
                found.append(route)
    return found


def _dump(netlink: Netlink, version: int, table: int) -> list[bytes]:
    """Of the table alone: every device has routes in the kernel's own table, and a host with many
    ports has many of those."""
    header = _RTMSG.pack(_FAMILY[version], 0, 0, 0, _RT_TABLE_UNSPEC, 0, 0, _RTN_UNICAST, 0)
    body = header + attribute_u32(_RTA_TABLE, table)
    try:
        return netlink.dump(Request("list routes", _RTM_GETROUTE, 0, body))
    except KernelError as error:
        if error.errno != errno.ENOENT:  # there is no such table (yet)
            raise
        return []


class Way(NamedTuple):
    """How this host reaches an address, by all its tables and rules."""

    ifindex: int
    gateway: IPAddress | None
    """None: on the link of the device."""
    source: IPAddress | None
    """What the host would send from."""


def ways(netlink: Netlink, destinations: Sequence[IPAddress]) -> dict[IPAddress, Way]:
    """How each is reached; those that are not, or are this host's own, are left out."""
    found: dict[IPAddress, Way] = {}
    for address, answer in zip(destinations, netlink.run([*map(_look_up, destinations)])):
        if answer.error is None:
            way = _parse_way(answer.body)
            if way is not None:
                found[address] = way
    return found


def await_own(netlink: Netlink, addresses: Iterable[IPAddress], wait_s: float = MOST_OWN_S) -> None:
    """Wait until packets to these addresses, which a device has been given, are taken.

    For IPv6 the kernel leaves that to a worker, which waits for other changes of devices: until
    then, mostly for some milliseconds, what arrives is dropped. It is left to itself after
    `wait_s`.
    """
    waiting = [address for address in addresses if address.version == 6]
    deadline_s = time.monotonic() + wait_s
    while waiting:
        answers = netlink.run([*map(_look_up, waiting)])
        waiting = [each for each, answer in zip(waiting, answers) if not _is_own(answer)]
        if not waiting or time.monotonic() > deadline_s:
            return
        time.sleep(_OWN_POLL_S)


def _look_up(address: IPAddress) -> Request:
    header = _RTMSG.pack(_FAMILY[address.version], address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    body = header + attribute(_RTA_DST, address.packed)
    return Request(f"look up the route to {address}", _RTM_GETROUTE, 0, body)


def _is_own(answer: Answer) -> bool:
    return answer.error is None and _RTMSG.unpack_from(answer.body)[7] == _RTN_LOCAL


def is_of_interest(body: bytes) -> bool:
    """Whether a message about a route may change `ways`: not one of Weft's, nor one that comes
    with every address."""
    _, _, _, _, table, protocol, _, _, flags = _RTMSG.unpack_from(body)
    return table != _RT_TABLE_LOCAL and protocol != PROTOCOL and not flags & _RTM_F_CLONED


def _parse_way(body: bytes) -> Way | None:
    kind = _RTMSG.unpack_from(body)[7]
    found = attributes(body, _RTMSG.size)
    ifindex = int.from_bytes(found.get(_RTA_OIF, b""), "little")
    if kind != _RTN_UNICAST or not ifindex:
        return None
    gateway, source = found.get(_RTA_GATEWAY), found.get(_RTA_PREFSRC)
    if _RTA_VIA in found:  # an IPv4 route by way of an IPv6 neighbour (RFC 5549)
        gateway = found[_RTA_VIA][2:]
    return Way(
        ifindex=ifindex,
        gateway=ip_address(gateway) if gateway else None,
        source=ip_address(source) if source else None,
    )


def _own_route(prefix: IPNetwork, ifindex: int, table: int) -> bytes:
    header = _route(prefix, _RT_SCOPE_LINK, PROTOCOL, 0, table)
    return header + attribute_u32(_RTA_OIF, ifindex) + attribute_u32(_RTA_PRIORITY, METRIC)


def _route(prefix: IPNetwork, scope: int, protocol: int, flags: int, table: int = MAIN) -> bytes:
    version = prefix.version
    scope = scope if version == 4 else 0
    header = _RTMSG.pack(
        _FAMILY[version],
        prefix.prefixlen,
        0,
        0,
        table if table <= _RT_TABLE_LOCAL else _RT_TABLE_UNSPEC,
        protocol,
        scope,
        _RTN_UNICAST,
        flags,
    )
    header += attribute_u32(_RTA_TABLE, table)
    return header + (
        attribute(_RTA_DST, prefix.network_address.packed) if prefix.prefixlen else b""
    )


def _parse(body: bytes, wanted: int) -> Route | None:
    family, length, _, _, table, protocol, _, kind, flags = _RTMSG.unpack_from(body)
    found = attributes(body, 12)
    table = int.from_bytes(found[_RTA_TABLE], "little") if _RTA_TABLE in found else table
    if table != wanted or kind != _RTN_UNICAST or flags & _RTM_F_CLONED:
        return None
    empty = bytes(4 if family == _FAMILY[4] else 16)
    metrics = attributes(found.get(_RTA_METRICS, b""))
    gateway, source = found.get(_RTA_GATEWAY), found.get(_RTA_PREFSRC)
    ifindex = int.from_bytes(found.get(_RTA_OIF, b""), "little")
    if _RTA_MULTIPATH in found:
        ifindex = _NEXT_HOP.unpack_from(found[_RTA_MULTIPATH])[3]
    return Route(
        prefix=ip_network((found.get(_RTA_DST, empty), length)),
        ifindex=ifindex,
        gateway=ip_address(gateway) if gateway else None,
        source=ip_address(source) if source else None,
        metric=int.from_bytes(found.get(_RTA_PRIORITY, b""), "little"),
        mtu_bytes=int.from_bytes(metrics.get(_RTAX_MTU, b""), "little"),
        protocol=protocol,
    )
