"""What a workload's device is told about its place on a network.

Its addresses, the routes through its gateways, the resolvers that answer it, its MTU. The engine
that configures a device itself and every frontend whose runtime does so (Docker) ask here, so the
same port learns the same facts by whatever way it was plugged in.

Of records alone; a fact that needs the runtime (a container that is on several networks) is decided
by the frontend, from these facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from weft.model.addresses import IPAddress, IPNetwork, ip_network
from weft.model.ids import MacAddress
from weft.model.records import Host, Network, Port, Subnet

_EVERYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
_UNKNOWN_MTU_BYTES = 1450
"""While a host's own record is not there: what an Ethernet underlay carries, less the overhead."""


class Route(NamedTuple):
    """A prefix, and the gateway of the network by way of which it is reached."""

    prefix: IPNetwork
    gateway: IPAddress


class GuestAddress(NamedTuple):
    """An address of the device, and how long a prefix around it is on the same link."""

    address: IPAddress
    prefix_length: int


class Guest(msgspec.Struct, frozen=True):
    """The facts for one port."""

    mac: MacAddress
    mtu_bytes: int
    addresses: tuple[GuestAddress, ...]
    """In the order of the port's."""
    gateways: tuple[IPAddress, ...]
    """One a family at most: the ways to everywhere else. None on an internal network."""
    subnet_routes: tuple[Route, ...]
    """To the network's other subnets, and to what the gateway's router leads to: needed where there
    is no default route, and where another network brings it."""
    resolver_routes: tuple[Route, ...]
    """To the resolvers that answer: needed where nothing else leads there, which is on an internal
    network. For queries alone: all else that is sent to a resolver is the default route's."""
    resolvers: tuple[IPAddress, ...]
    """To ask, of its families. Former ones of the host answer too, and are told to nobody anew."""

    @property
    def default_routes(self) -> tuple[Route, ...]:
        """Through `gateways`."""
        return tuple(Route(everywhere(gateway.version), gateway) for gateway in self.gateways)


def guest_of(
    port: Port,
    network: Network,
    subnets: Sequence[Subnet],
    host: Host | None,
    beyond: Iterable[IPNetwork] = (),
) -> Guest:
    """The facts for a port. subnets: all of its network. host: the port's. beyond: what routers
    lead to from the network (`semantics.routers.prefixes_beyond`)."""
    gateways = gateways_of(port, subnets)
    resolvers, former = (host.resolvers, host.former_resolvers) if host is not None else ((), ())
    families = {address.version for address in port.addresses}
    return Guest(
        mac=port.mac,
        mtu_bytes=mtu_bytes_of(network, host),
        addresses=tuple(GuestAddress(each, _length(each, subnets)) for each in port.addresses),
        gateways=() if network.is_internal else tuple(gateways.values()),
        subnet_routes=(
            *_subnet_routes(port, subnets, gateways),
            *(Route(each, gateways[each.version]) for each in beyond if each.version in gateways),
        ),
        resolver_routes=tuple(_resolver_routes(network, subnets, gateways, (*resolvers, *former))),
        resolvers=tuple(each for each in resolvers if each.version in families),
    )


def mtu_bytes_of(network: Network, host: Host | None) -> int:
    """Of every device on a network on this host."""
    return network.mtu_bytes or (host.network_mtu_bytes if host else _UNKNOWN_MTU_BYTES)


def gateways_of(port: Port, subnets: Iterable[Subnet]) -> Mapping[int, IPAddress]:
    """By family: the gateway of the first of the port's addresses whose subnet has one.

    It is there on an internal network as well, where it leads to the network's other subnets and to
    the resolvers, and no further.
    """
    gateways: dict[int, IPAddress] = {}
    for address in port.addresses:
        for subnet in subnets:
            if address in subnet.cidr and subnet.gateway is not None:
                gateways.setdefault(address.version, subnet.gateway)
    return gateways


def everywhere(version: int) -> IPNetwork:
    """The prefix of a default route."""
    return _EVERYWHERE[version]


def _length(address: IPAddress, subnets: Iterable[Subnet]) -> int:
    lengths = [subnet.cidr.prefixlen for subnet in subnets if address in subnet.cidr]
    return max(lengths, default=address.max_prefixlen)


def _subnet_routes(
    port: Port, subnets: Iterable[Subnet], gateways: Mapping[int, IPAddress]
) -> Iterator[Route]:
    """What is in a subnet without a gateway could not answer, so no route leads there."""
    for subnet in subnets:
        if subnet.gateway is None or subnet.cidr.version not in gateways:
            continue
        if not any(address in subnet.cidr for address in port.addresses):
            yield Route(subnet.cidr, gateways[subnet.cidr.version])


def _resolver_routes(
    network: Network,
    subnets: Sequence[Subnet],
    gateways: Mapping[int, IPAddress],
    resolvers: Iterable[IPAddress],
) -> Iterator[Route]:
    """A resolver inside one of the network's own subnets is reached as any address there."""
    if not network.is_internal:
        return
    for resolver in resolvers:
        if resolver.version in gateways and not any(resolver in each.cidr for each in subnets):
            yield Route(ip_network(resolver), gateways[resolver.version])
