"""What may not be of a router, and who uses one: checks of intents about routers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from weft.control.references import network_label, router_label, users_of
from weft.errors import ConflictError, InUseError, InvalidError
from weft.model.addresses import IPAddress, contains
from weft.model.ids import NetworkId, RouterId
from weft.model.records import Network, Router, RouterPort, RouterRoute, Subnet
from weft.semantics.routers import Connection, connections, may_connect, networks_of, router_at
from weft.semantics.routing import End, Way, routed
from weft.semantics.tenants import tenant_name
from weft.store.interface import View
from weft.topology.prefixes import overlaps


def check_connectable(view: View, router: Router, network: Network) -> None:
    """ConflictError: the network is another tenant's, and not shared with the router's."""
    if may_connect(router, network):
        return
    owner, other = (tenant_name(view, id) for id in (network.tenant_id, router.tenant_id))
    raise ConflictError(
        f"router {router_label(view, router)}: network {owner}/{network.name} is tenant {owner}'s, "
        f"and not shared with {other}; share it: weft network set {owner}/{network.name} "
        f"--share-with {other}"
    )


def check_addresses(
    addresses: Iterable[IPAddress], subnets: Sequence[Subnet], network: Network
) -> None:
    """InvalidError: one is in no subnet of the network, or two are in one."""
    found: dict[str, IPAddress] = {}
    for address in addresses:
        subnet = next((each for each in subnets if address in each.cidr), None)
        if subnet is None:
            known = ", ".join(str(each.cidr) for each in subnets) or "none"
            raise InvalidError(
                f"address {address}: outside the subnets of network {network.name} ({known}); "
                "choose one inside"
            )
        other = found.setdefault(subnet.id, address)
        if other is not address:
            raise InvalidError(
                f"addresses {other} and {address}: both are in subnet {subnet.cidr}, in which a "
                "router has one; leave one out"
            )


def check_apart(view: View, router: Router) -> None:
    """ConflictError: two networks that a router is connected to have addresses in common."""
    for one, other in combinations(places_apart(view, router.id), 2):
        if one.network_id != other.network_id and overlaps(one.prefix, other.prefix):
            names = [network_label(view, each.network_id) for each in (one, other)]
            raise ConflictError(
                f"router {router_label(view, router)}: subnet {one.prefix} of network {names[0]} "
                f"overlaps {other.prefix} of network {names[1]}, and a router cannot tell them "
                "apart; connect one of them"
            )


def check_routes(view: View, router: Router) -> None:
    """InvalidError: a next hop is on no network of the router, or is the router itself.
    ConflictError: a route leads in a circle."""
    connected = view.ask(connections, router.id)
    for route in _routes(view, router.id):
        for hop in route.next_hops:
            if hop in (one.address for one in connected):
                raise InvalidError(f"{_label(route)}: the next hop {hop} is the router itself")
            if not any(hop in one.prefix for one in connected):
                known = ", ".join(str(one.prefix) for one in connected) or "none"
                raise InvalidError(
                    f"{_label(route)}: the next hop {hop} is in no subnet that router "
                    f"{router_label(view, router)} is connected to ({known}); connect its network "
                    "first, and take its routes away before"
                )
    for route in _routes(view, router.id):
        circle = _circle(view, router, route)
        if circle is not None:
            names = ", ".join(router_label(view, step.router_id) for step in circle.steps)
            raise ConflictError(
                f"{_label(route)}: leads in a circle, through {names} and there again; choose "
                "another next hop"
            )


def check_unused(view: View, router: Router, places: Iterable[RouterPort]) -> None:
    """InUseError: other routers have routes by way of these places of a router."""
    found = [
        f"{_label(route)} of router {router_label(view, other)}"
        for place in places
        for route, other in _routes_by(view, place)
        if route.router_id != router.id
    ]
    if found:
        raise InUseError(f"router {router_label(view, router)}: in use by {users_of(found)}")


def check_sharing(view: View, network: Network) -> None:
    """InvalidError: a network is shared with its own tenant. InUseError: a router of a tenant with
    which it is not shared is connected to it."""
    if network.tenant_id in network.shared_with:
        tenant = tenant_name(view, network.tenant_id)
        raise InvalidError(
            f"network {network.name}: is tenant {tenant}'s own; share it with others"
        )
    routers = [view.get(Router, each.router_id) for each in _places_on(view, network.id)]
    users = [each for each in routers if each is not None and not may_connect(each, network)]
    if users:
        names = users_of(sorted(router_label(view, router) for router in users))
        raise InUseError(
            f"network {network.name}: in use by router {names}; disconnect it before its tenant "
            "loses its share"
        )


def _places_on(view: View, network_id: NetworkId) -> Iterable[RouterPort]:
    return view.by(RouterPort, "network_id", network_id)


def routers_on(view: View, network_id: NetworkId) -> list[str]:
    """What is called that is connected to a network, in order."""
    ids = {place.router_id for place in _places_on(view, network_id)}
    routers = (view.get(Router, id) for id in ids)
    return sorted(router_label(view, each) for each in routers if each is not None)


def _routes_by(view: View, place: RouterPort) -> Iterator[tuple[RouterRoute, Router]]:
    for route in view.list(RouterRoute):
        router = view.get(Router, route.router_id)
        if router is None or not set(route.next_hops) & set(place.addresses):
            continue
        near = {one.network_id for one in view.ask(connections, router.id)}
        if place.network_id in near:
            yield route, router


def places_apart(view: View, router_id: RouterId) -> Iterator[Connection]:
    """What a router is connected to, also where several networks have one prefix."""
    for place in view.by(RouterPort, "router_id", router_id):
        for subnet in view.by(Subnet, "network_id", place.network_id):
            for address in place.addresses:
                if address in subnet.cidr:
                    yield Connection(subnet.cidr, place.network_id, address)


def _circle(view: View, router: Router, route: RouterRoute) -> Way | None:
    """A way by a route that comes back to a router. Asked of the ends of its prefix, and of all
    routes inside of it."""
    if not any(_is_other_router(view, router.id, hop) for hop in route.next_hops):
        return None
    inside = {one.prefix for one in view.list(RouterRoute) if contains(route.prefix, one.prefix)}
    source = (route.source or route.prefix)[0]
    for destination in sorted({route.prefix[-1], *(prefix[0] for prefix in inside)}, key=int):
        for way in routed(view, router.id, source, destination):
            if way.end is End.LOOP:
                return way
    return None


def _is_other_router(view: View, router_id: RouterId, hop: IPAddress) -> bool:
    """Whether another router has an address on a network of a router."""
    networks = view.ask(networks_of, router_id)
    found = {router_at(view, network_id, hop) for network_id in networks}
    return bool(found - {None, router_id})


def _routes(view: View, router_id: RouterId) -> list[RouterRoute]:
    found = view.by(RouterRoute, "router_id", router_id)
    return sorted(found, key=lambda route: (str(route.prefix), str(route.source)))


def _label(route: RouterRoute) -> str:
    source = "" if route.source is None else f" from {route.source}"
    return f"route to {route.prefix}{source}"
