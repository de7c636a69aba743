"""Which way a packet takes between networks. This page is the specification.

Of a packet that a port sends to a gateway of its network, or to another address of a router there:

1. What is for an address inside a subnet of the sender's own network goes there, or nowhere.
2. Else a router decides: the one that has the address which the packet was sent to. All gateways of
   a network have one MAC, so of these it is the router of the gateway of the sender's subnet; for a
   sender that is in no subnet, the router of the first subnet that has one.
3. A router is connected to a subnet if it has an address in it, and if the network is of its own
   tenant or shared with that.
4. Of the connected subnets and the routes that the destination is in, the longest prefix holds; of
   equals, the connected one. A route for a source is for packets from there alone, and holds before
   all routes for a shorter source, or for none, wherever its prefix does.
5. What is in a connected subnet goes to whoever has the address there, or nowhere.
6. A route leads to one of its next hops that are there: chosen by the packet's flow, so that each
   flow has its own, and keeps it for as long as it is there. A next hop is a port, which gets the
   packet; or another router, which decides anew, as in 4. A route without next hops drops.
7. Each router takes one from the hop limit. No packet passes more than `MAX_ROUTERS` of them.
8. Where the sender's gateway has no router, or a router without a route, the packet is for the
   outside: its host has it, if the network has a way out, and no other network has the address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import islice
from typing import NamedTuple

from weft.model.addresses import IPAddress
from weft.model.ids import NetworkId, RouterId
from weft.model.records import Network, Port, Router, RouterPort, Subnet
from weft.semantics.routers import (
    Entry,
    Kind,
    NextHop,
    Table,
    connections,
    entries,
    gateway_routers,
    may_connect,
    port_at,
    router_at,
    sources,
    subnet_of,
)
from weft.store.interface import View

MAX_ROUTERS = 8
"""As many as the packet path follows."""
MAX_WAYS = 256
"""Of one question: routers with many next hops each would have more than anybody can look at."""


class End(Enum):
    """Where a way ends."""

    PORT = "port"
    ROUTER = "router"
    """An address of a router, or a gateway: it answers."""
    OUTSIDE = "outside"
    DROPPED = "dropped"
    """By a route that says so."""
    UNREACHABLE = "unreachable"
    """Nobody has the address, or no next hop of the route is there."""
    NO_ROUTE = "no-route"
    """No router knows it, and no way leads outside."""
    NOT_SHARED = "not-shared"
    """No router knows it, for the network where it is was not shared with the router's tenant."""
    LOOP = "loop"
    """Through a router again, or through too many."""


class Step(NamedTuple):
    """A router that the packet passes."""

    router_id: RouterId
    address: IPAddress | None
    """At which the packet gets to it, and from which it tells of errors. None: no address of the
    packet's family."""


class Way(NamedTuple):
    """One way that a packet may take."""

    end: End
    steps: tuple[Step, ...] = ()
    network_id: NetworkId | None = None
    """Where it ends, if it ends at a port."""
    port: Port | None = None


def ways(
    view: View,
    network_id: NetworkId,
    source: IPAddress,
    destination: IPAddress,
    via: IPAddress | None = None,
) -> tuple[Way, ...]:
    """All ways that flows take from a network; more than one where a route has several next hops,
    and `MAX_WAYS` at most.

    via: the address that the packet is sent to. None: the gateway of its subnet.
    """
    if any(destination in each.cidr for each in view.by(Subnet, "network_id", network_id)):
        return (_delivered(view, network_id, destination, ()),)
    if via is None or _is_gateway(view, network_id, via):
        first = router_of(view, network_id, source)
    else:
        first = router_at(view, network_id, via)
    if first is None:
        return (_outside(view, network_id, source, destination, ()),)
    entered = via if via is not None else _address_on(view, first, network_id, source)
    found = _routed(view, first, entered, source, destination, ())
    return tuple(
        _outside(view, network_id, source, destination, way.steps)
        if way.end is End.NO_ROUTE and len(way.steps) == 1
        else way
        for way in islice(found, MAX_WAYS)
    )


def routed(
    view: View, router_id: RouterId, source: IPAddress, destination: IPAddress
) -> tuple[Way, ...]:
    """All ways from a router, wherever a packet comes to it from."""
    return tuple(islice(_routed(view, router_id, None, source, destination, ()), MAX_WAYS))


def router_of(view: View, network_id: NetworkId, source: IPAddress) -> RouterId | None:
    """The router that decides on what a sender sends to a gateway of its network."""
    subnet = subnet_of(view, network_id, source)
    found = view.ask(gateway_routers, network_id)
    if subnet is not None:
        return next((one.router_id for one in found if one.prefix == subnet.cidr), None)
    return next((one.router_id for one in found if one.prefix.version == source.version), None)


def table_for(view: View, router_id: RouterId, source: IPAddress) -> Table:
    """The table that a router has for packets from a source."""
    found = [prefix for prefix in view.ask(sources, router_id) if source in prefix]
    return Table(router_id, max(found, key=lambda prefix: prefix.prefixlen, default=None))


def entry_for(found: Iterable[Entry], destination: IPAddress) -> Entry | None:
    """The entry that holds for a destination."""
    holding = [entry for entry in found if destination in entry.prefix]
    return max(holding, key=lambda entry: entry.prefix.prefixlen, default=None)


def _routed(
    view: View,
    router_id: RouterId,
    entered: IPAddress | None,
    source: IPAddress,
    destination: IPAddress,
    before: tuple[Step, ...],
) -> Iterator[Way]:
    if len(before) == MAX_ROUTERS or router_id in (step.router_id for step in before):
        yield Way(End.LOOP, before)
        return
    steps = (*before, Step(router_id, entered))
    entry = entry_for(view.ask(entries, table_for(view, router_id, source)), destination)
    match entry:
        case None:
            yield Way(_why_not(view, router_id, destination), steps)
        case Entry(kind=Kind.CONNECTED, network_id=network_id):
            assert network_id is not None
            yield _delivered(view, network_id, destination, steps)
        case Entry(kind=Kind.VIA, next_hops=hops):
            for hop in hops:
                yield from _by_hop(view, hop, source, destination, steps)
        case Entry(kind=kind):
            yield Way(End.DROPPED if kind is Kind.DROPPED else End.UNREACHABLE, steps)


def _by_hop(
    view: View,
    hop: NextHop,
    source: IPAddress,
    destination: IPAddress,
    steps: tuple[Step, ...],
) -> Iterator[Way]:
    if hop.router_id is not None:
        yield from _routed(view, hop.router_id, hop.address, source, destination, steps)
    else:
        yield Way(End.PORT, steps, hop.network_id, port_at(view, hop.network_id, hop.address))


def _delivered(
    view: View, network_id: NetworkId, destination: IPAddress, steps: tuple[Step, ...]
) -> Way:
    if router_at(view, network_id, destination) or _is_gateway(view, network_id, destination):
        return Way(End.ROUTER, steps, network_id)
    port = port_at(view, network_id, destination)
    return Way(End.UNREACHABLE if port is None else End.PORT, steps, network_id, port)


def _outside(
    view: View,
    network_id: NetworkId,
    source: IPAddress,
    destination: IPAddress,
    steps: tuple[Step, ...],
) -> Way:
    network, subnet = view.get(Network, network_id), subnet_of(view, network_id, source)
    is_open = network is not None and not network.is_internal
    has_gateway = subnet is not None and subnet.gateway is not None
    is_known = any(destination in each.cidr for each in view.list(Subnet) if each.network_id)
    return Way(End.OUTSIDE if is_open and has_gateway and not is_known else End.NO_ROUTE, steps)


def _why_not(view: View, router_id: RouterId, destination: IPAddress) -> End:
    router = view.get(Router, router_id)
    for place in view.by(RouterPort, "router_id", router_id):
        network = view.get(Network, place.network_id)
        if router is None or network is None or may_connect(router, network):
            continue
        if subnet_of(view, network.id, destination) is not None:
            return End.NOT_SHARED
    return End.NO_ROUTE


def _is_gateway(view: View, network_id: NetworkId, address: IPAddress) -> bool:
    return any(each.gateway == address for each in view.by(Subnet, "network_id", network_id))


def _address_on(
    view: View, router_id: RouterId, network_id: NetworkId, source: IPAddress
) -> IPAddress | None:
    """The router's address that is the gateway of the sender's subnet."""
    near = [
        one
        for one in view.ask(connections, router_id)
        if one.network_id == network_id and one.prefix.version == source.version
    ]
    exact = next((one for one in near if source in one.prefix), None)
    found = exact or next(iter(near), None)
    return None if found is None else found.address
