"""What routers are connected to, and their tables: what `semantics.routing` looks things up in.

Everything here is a question, so that a change of one route makes anew the tables that it is in and
no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from weft.model.addresses import IPAddress, IPNetwork, contains
from weft.model.ids import NetworkId, RouterId
from weft.model.records import Network, Place, Port, Router, RouterPort, RouterRoute, Subnet
from weft.model.records.tenants import DEFAULT_TENANT
from weft.semantics.tenants import tenant_name
from weft.store.interface import View, question


class Connection(NamedTuple):
    """A subnet that a router is connected to."""

    prefix: IPNetwork
    network_id: NetworkId
    address: IPAddress
    """The router's."""


class Table(NamedTuple):
    """Names a table of a router: what it looks up for packets from a source."""

    router_id: RouterId
    source: IPNetwork | None = None
    """The longest of `sources` that the packet comes from. None: it comes from none."""


class Kind(Enum):
    """What becomes of a packet that an entry is for."""

    CONNECTED = auto()
    """Its destination is on the network itself."""
    VIA = auto()
    """It goes to one of the next hops."""
    DROPPED = auto()
    """By a route without next hops."""
    UNREACHABLE = auto()
    """No next hop of its route is there."""


class NextHop(NamedTuple):
    """Where a route leads: an address of a port, or of another router."""

    network_id: NetworkId
    address: IPAddress
    router_id: RouterId | None = None


class Entry(NamedTuple):
    """One line of a table."""

    prefix: IPNetwork
    kind: Kind
    network_id: NetworkId | None = None
    """Of CONNECTED."""
    next_hops: tuple[NextHop, ...] = ()
    """Of VIA: those that are there, in the order of the route."""


class GatewayRouter(NamedTuple):
    """A subnet whose gateway is a router."""

    prefix: IPNetwork
    router_id: RouterId


def routers_by_name(view: View) -> Sequence[Router]:
    """All routers, by tenant and name."""
    return sorted(view.list(Router), key=lambda r: (tenant_name(view, r.tenant_id), r.name, r.id))


def full_router_name(view: View, router: Router) -> str:
    """As a command names it: with its tenant, but for the one that is implied."""
    if router.tenant_id == DEFAULT_TENANT:
        return router.name
    return f"{tenant_name(view, router.tenant_id)}/{router.name}"


def places_of(view: View, router_id: RouterId) -> Sequence[RouterPort]:
    """Where a router is connected, in an order that stays."""
    return sorted(view.by(RouterPort, "router_id", router_id), key=lambda one: one.network_id)


def routes_of(view: View, router_id: RouterId) -> Sequence[RouterRoute]:
    """A router's routes: those for sources first, then by prefix."""
    return sorted(
        view.by(RouterRoute, "router_id", router_id),
        key=lambda r: (r.source is None, *(_in_order(r.source or r.prefix)), _in_order(r.prefix)),
    )


def may_connect(router: Router, network: Network) -> bool:
    """Whether a router may be connected to a network: it is of the same tenant, or shared."""
    return router.tenant_id in (network.tenant_id, *network.shared_with)


def subnet_of(view: View, network_id: NetworkId, address: IPAddress) -> Subnet | None:
    """The smallest subnet of a network that an address is in."""
    found = [s for s in view.by(Subnet, "network_id", network_id) if address in s.cidr]
    return max(found, key=lambda s: s.cidr.prefixlen, default=None)


@question
def connections(router_id: RouterId, view: View) -> tuple[Connection, ...]:
    """What a router is connected to, by prefix; each prefix once. A network that is not shared with
    its tenant (any more) is as if it were not connected."""
    router = view.get(Router, router_id)
    if router is None:
        return ()
    found: dict[IPNetwork, Connection] = {}
    for place in sorted(view.by(RouterPort, "router_id", router_id), key=lambda one: one.id):
        network = view.get(Network, place.network_id)
        if network is None or not may_connect(router, network):
            continue
        for address in place.addresses:
            subnet = subnet_of(view, network.id, address)
            if subnet is not None:
                found.setdefault(subnet.cidr, Connection(subnet.cidr, network.id, address))
    return tuple(found[prefix] for prefix in sorted(found, key=_in_order))


@question
def sources(router_id: RouterId, view: View) -> tuple[IPNetwork, ...]:
    """Prefixes that some route of a router is for packets from, each once, in order."""
    found = {route.source for route in view.by(RouterRoute, "router_id", router_id)}
    return tuple(sorted((each for each in found if each is not None), key=_in_order))


@question
def entries(table: Table, view: View) -> tuple[Entry, ...]:
    """A table, by prefix; of the entries that an address is in, the longest holds.

    Of two routes of which one is for a longer source, that one holds wherever its prefix does, so
    there is no entry of the other one inside. Quadratic in the routes for sources.
    """
    connected = view.ask(connections, table.router_id)
    found = {
        one.prefix: Entry(one.prefix, Kind.CONNECTED, one.network_id) for one in reversed(connected)
    }
    preferred: list[RouterRoute] = []
    for route in sorted(_routes_for(view, table), key=_preference):
        is_hidden = any(
            _source_length(other) > _source_length(route) and contains(other.prefix, route.prefix)
            for other in preferred
        )
        if is_hidden:
            continue
        if route.source is not None:
            preferred.append(route)
        if route.prefix not in found:
            found[route.prefix] = _entry(view, route)
    return tuple(found[prefix] for prefix in sorted(found, key=_in_order))


@question
def gateway_routers(network_id: NetworkId, view: View) -> tuple[GatewayRouter, ...]:
    """The subnets of a network whose gateway is a router, by prefix."""
    owners: dict[IPAddress, RouterId] = {}
    for place in sorted(view.by(RouterPort, "network_id", network_id), key=lambda one: one.id):
        for connection in view.ask(connections, place.router_id):
            if connection.network_id == network_id:
                owners.setdefault(connection.address, place.router_id)
    found = [
        GatewayRouter(subnet.cidr, owners[subnet.gateway])
        for subnet in view.by(Subnet, "network_id", network_id)
        if subnet.gateway is not None and subnet.gateway in owners
    ]
    return tuple(sorted(found, key=lambda one: _in_order(one.prefix)))


@question
def prefixes_beyond(network_id: NetworkId, view: View) -> tuple[IPNetwork, ...]:
    """What the routers that are gateways of a network lead to, but for the network itself, for what
    only some senders are led to, and for everything. By prefix, and none lies in another one."""
    found = set[IPNetwork]()
    for router_id in {one.router_id for one in view.ask(gateway_routers, network_id)}:
        for entry in view.ask(entries, Table(router_id)):
            if entry.network_id != network_id and entry.prefix.prefixlen:
                found.add(entry.prefix)
    widest = sorted(found, key=lambda prefix: (prefix.prefixlen, _in_order(prefix)))
    kept: list[IPNetwork] = []
    for prefix in widest:
        if not any(contains(other, prefix) for other in kept):
            kept.append(prefix)
    return tuple(sorted(kept, key=_in_order))


@question
def networks_of(router_id: RouterId, view: View) -> frozenset[NetworkId]:
    """The networks that a router is connected to."""
    return frozenset(one.network_id for one in view.ask(connections, router_id))


@question
def domain(network_id: NetworkId, view: View) -> frozenset[NetworkId]:
    """The networks that routers lead to from a network, itself among them. Linear in them."""
    found, waiting = {network_id}, [network_id]
    while waiting:
        here = waiting.pop()
        for place in view.by(RouterPort, "network_id", here):
            near = view.ask(networks_of, place.router_id)
            if here in near:
                waiting += near - found
                found |= near
    return frozenset(found)


@question
def is_led_to(place: Place, view: View) -> bool:
    """Whether a host has ports on a network, or on one from which routers lead there."""
    near = view.ask(domain, place.network_id)
    return any(view.any(Port, "place", Place(id, place.host_id)) for id in near)


def router_at(view: View, network_id: NetworkId, address: IPAddress) -> RouterId | None:
    """The router that has an address on a network."""
    for place in sorted(view.by(RouterPort, "addresses", address), key=lambda one: one.id):
        is_there = place.network_id == network_id
        if is_there and network_id in view.ask(networks_of, place.router_id):
            return place.router_id
    return None


def port_at(view: View, network_id: NetworkId, address: IPAddress) -> Port | None:
    """The port that has an address on a network and is reached there."""
    found = (p for p in view.by(Port, "addresses", address) if p.network_id == network_id)
    return min((p for p in found if _is_reached(view, p)), key=lambda p: p.id, default=None)


def _is_reached(view: View, port: Port) -> bool:
    is_plugged = port.host_id is not None and port.device is not None and not port.is_host
    return is_plugged and not view.any(Port, "replaces", port.id)


def _routes_for(view: View, table: Table) -> Iterator[RouterRoute]:
    """The routes for packets from the table's source."""
    for route in view.by(RouterRoute, "router_id", table.router_id):
        source = route.source
        if source is None or (table.source is not None and contains(source, table.source)):
            yield route


def _source_length(route: RouterRoute) -> int:
    return -1 if route.source is None else route.source.prefixlen


def _preference(route: RouterRoute) -> tuple[int, str]:
    return -_source_length(route), route.id


def next_hops_there(view: View, route: RouterRoute) -> tuple[NextHop, ...]:
    """The next hops of a route that are there: an address of a port, or of another router, on a
    network that the router is connected to. In the order of the route."""
    return tuple(_alive(view, route.router_id, route.next_hops))


def _entry(view: View, route: RouterRoute) -> Entry:
    if not route.next_hops:
        return Entry(route.prefix, Kind.DROPPED)
    hops = next_hops_there(view, route)
    return Entry(route.prefix, Kind.VIA if hops else Kind.UNREACHABLE, next_hops=hops)


def _alive(view: View, router_id: RouterId, hops: Iterable[IPAddress]) -> Iterator[NextHop]:
    connected = view.ask(connections, router_id)
    for hop in hops:
        near = [one for one in connected if hop in one.prefix]
        if not near:
            continue
        network_id = max(near, key=lambda one: one.prefix.prefixlen).network_id
        router = router_at(view, network_id, hop)
        if router is not None and router != router_id:
            yield NextHop(network_id, hop, router)
        elif router is None and port_at(view, network_id, hop) is not None:
            yield NextHop(network_id, hop)


def _in_order(prefix: IPNetwork) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen
