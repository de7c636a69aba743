"""What a port is told by router advertisements (RFC 4861): what `semantics.guest` says of IPv6,
as far as advertisements can say it.

A prefix is on the link, but no port forms an address from it: Weft gives addresses, and drops what
is sent from others. The one exception is a port whose address is the one that its MAC makes. There
is no DHCPv6 (neither M nor O), and no search list: a name alone is answered inside its network.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network
from typing import NamedTuple

from weft.model.addresses import address_from_mac
from weft.model.choices import Advertising
from weft.model.records import Host, Network, Port, Subnet
from weft.semantics.guest import gateways_of, guest_of
from weft.semantics.routers import gateway_routers, prefixes_beyond
from weft.store.interface import View

MOST_ROUTES = 24
"""Of one advertisement, so that all of it fits the smallest MTU of IPv6."""
MOST_PREFIXES = 8
MOST_RESOLVERS = 3
"""As many as resolv.conf(5) takes."""
_ATTACHED = "cli"
_AUTONOMOUS = 64
"""The length of a prefix from which addresses are formed (RFC 4862, RFC 2464)."""


class AdvertisedPrefix(NamedTuple):
    """A prefix that is on the link."""

    prefix: IPv6Network
    is_autonomous: bool
    """The port's address in it is the one that its MAC makes."""


class Advertised(NamedTuple):
    """What a port is told."""

    prefixes: tuple[AdvertisedPrefix, ...]
    is_router: bool
    """Whether what no route says goes to the gateway: it has a router, or a way out."""
    routes: tuple[IPv6Network, ...]
    """That the gateway leads to, beside (RFC 4191)."""
    resolvers: tuple[IPv6Address, ...]
    """The gateway, where weftd answers; then those of the host."""
    mtu_bytes: int


def is_advertised(port: Port, subnet: Subnet) -> bool:
    """Whether a port is told of a subnet."""
    word = subnet.router_advertisements
    is_told = word is Advertising.ALL or (
        word is Advertising.ATTACHED and port.owner.frontend == _ATTACHED
    )
    if not is_told or subnet.cidr.version != 6 or port.is_host:
        return False
    return any(address in subnet.cidr for address in port.addresses)


def is_advertised_to(port: Port, subnets: Sequence[Subnet]) -> bool:
    """Whether a port is told of any. subnets: all of its network."""
    return any(is_advertised(port, subnet) for subnet in subnets)


def advertised(
    port: Port,
    network: Network,
    subnets: Sequence[Subnet],
    host: Host | None,
    view: View,
    *,
    is_alone: bool = True,
) -> Advertised | None:
    """What a port is told; None: it gets no advertisements.

    is_alone: its workload has no other port. One that has several would send by any default router
    what it sends from any of its addresses, so it is left to whoever gave it routes.
    """
    near = [subnet for subnet in subnets if is_advertised(port, subnet)]
    if not near:
        return None
    guest = guest_of(port, network, subnets, host, view.ask(prefixes_beyond, network.id))
    gateway = gateways_of(port, subnets).get(6)
    is_routed = any(
        gateway is not None and gateway in one.prefix
        for one in view.ask(gateway_routers, network.id)
    )
    resolvers: list[IPv6Address] = []
    for each in (gateway, *(() if network.is_internal else guest.resolvers)):
        if isinstance(each, IPv6Address) and each not in resolvers:
            resolvers.append(each)
    routes = (each.prefix for each in guest.subnet_routes)
    return Advertised(
        prefixes=tuple(_prefixes(port, near))[:MOST_PREFIXES],
        is_router=is_alone and gateway is not None and (is_routed or not network.is_internal),
        routes=tuple(each for each in routes if isinstance(each, IPv6Network))[:MOST_ROUTES],
        resolvers=tuple(resolvers[:MOST_RESOLVERS]),
        mtu_bytes=guest.mtu_bytes,
    )


def workload_of(port: Port) -> object:
    """The same for ports of one workload; None: nobody knows what is behind the port."""
    if port.owner.container_id:
        return port.owner.container_id
    return None if port.veth is None else port.veth.netns_inode


def _prefixes(port: Port, subnets: Sequence[Subnet]) -> list[AdvertisedPrefix]:
    prefixes = sorted(s.cidr for s in subnets if isinstance(s.cidr, IPv6Network))
    return [AdvertisedPrefix(each, _is_autonomous(port, each)) for each in prefixes]


def _is_autonomous(port: Port, prefix: IPv6Network) -> bool:
    is_long_enough = prefix.prefixlen == _AUTONOMOUS
    return is_long_enough and address_from_mac(prefix, port.mac) in port.addresses
