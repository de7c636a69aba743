"""Routers: create, change, connect to networks, give routes, remove."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from weft.control.addresses import Addresses
from weft.control.context import Context
from weft.control.references import (
    check_labels,
    check_network_name,
    find_network_for,
    find_router,
    network_label,
    router_label,
)
from weft.control.router_checks import (
    check_addresses,
    check_apart,
    check_connectable,
    check_routes,
    check_unused,
)
from weft.control.router_specs import ConnectionSpec, RouterChanges, RouterSpec, RouteSpec
from weft.control.tenants import tenant_for
from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import (
    NetworkId,
    RouterId,
    RouterPortId,
    RouterRouteId,
    TenantId,
    derived_id,
    derived_mac,
    new_id,
)
from weft.model.records import Network, Record, Router, RouterPort, RouterRoute
from weft.semantics.networks import subnets_of
from weft.semantics.routers import places_of, routers_by_name, routes_of
from weft.store.interface import Change, Delete, Put, View
from weft.store.overlay import Overlay


class Routers:
    """Routers, their places on networks, and their routes."""

    def __init__(self, context: Context, addresses: Addresses) -> None:
        self._context = context
        self._addresses = addresses

    def find(self, reference: str) -> Router:
        """The router that a reference names; NotFoundError."""
        return find_router(self._context.view, reference)

    def list(self) -> Sequence[Router]:
        """All routers, by tenant and name."""
        return routers_by_name(self._context.view)

    async def create(self, spec: RouterSpec) -> Router:
        """Make a router, with its networks and routes.

        ConflictError: the name or an address is taken, networks overlap, one is not shared with the
        tenant, routes lead in a circle.
        """

        async def attempt() -> Router:
            changes: list[Change] = []
            check_network_name(spec.name)
            tenant_id = tenant_for(self._context.view, spec.tenant, changes)
            self._check_name_is_free(spec.name, tenant_id)
            router = Router(
                id=RouterId(new_id(self._context.random_bytes)),
                name=spec.name,
                tenant_id=tenant_id,
                description=spec.description,
                labels=check_labels(spec.labels),
            )
            return await self._write(router, spec.networks, spec.routes, changes)

        return await self._addresses.with_space(attempt)

    async def change(self, reference: str, changes: RouterChanges) -> Router:
        """Make a router as the changes say, on all hosts."""

        async def attempt() -> Router:
            router = self.find(reference)
            name, labels, description = changes.name, changes.labels, changes.description
            changed = replace(
                router,
                name=router.name if name is UNSET else check_network_name(name),
                description=router.description if description is UNSET else description,
                labels=router.labels if labels is UNSET else check_labels(labels),
            )
            if changed.name != router.name:
                self._check_name_is_free(changed.name, router.tenant_id)
            networks = None if changes.networks is UNSET else changes.networks
            routes = None if changes.routes is UNSET else changes.routes
            return await self._write(changed, networks, routes)

        return await self._addresses.with_space(attempt)

    async def connect(self, reference: str, spec: ConnectionSpec) -> Router:
        """Connect a router to a network. If it is, with these addresses, nothing happens."""

        async def attempt() -> Router:
            router = self.find(reference)
            id = find_network_for(self._context.view, spec.network, router.tenant_id).id
            others = [each for each in self._connected(router) if each.network != id]
            return await self._write(router, [*others, spec], None)

        return await self._addresses.with_space(attempt)

    async def disconnect(self, reference: str, network: str) -> Router:
        """Undo that. InUseError: routes of other routers lead through its address there.
        InvalidError: routes of its own do."""
        async with self._context.lock:
            router = self.find(reference)
            found = find_network_for(self._context.view, network, router.tenant_id)
            connected = self._connected(router)
            left = [each for each in connected if each.network != found.id]
            if len(left) == len(connected):
                label = network_label(self._context.view, found.id)
                raise NotFoundError(
                    f"router {router_label(self._context.view, router)}: is not connected to "
                    f"network {label}"
                )
            return await self._write(router, left, None)

    async def add_route(self, reference: str, spec: RouteSpec) -> Router:
        """Give a router a route. One that it has to the same prefix, from the same source, gets
        these next hops instead of its own."""
        async with self._context.lock:
            router = self.find(reference)
            others = [one for one in self._routes(router) if not _is_same(one, spec)]
            return await self._write(router, None, [*others, spec])

    async def remove_route(
        self, reference: str, prefix: IPNetwork, source: IPNetwork | None = None
    ) -> Router:
        """Take a route away; NotFoundError: there is none."""
        async with self._context.lock:
            router = self.find(reference)
            routes = self._routes(router)
            left = [one for one in routes if (one.prefix, one.source) != (prefix, source)]
            if len(left) == len(routes):
                origin = "" if source is None else f" from {source}"
                raise NotFoundError(
                    f"router {router_label(self._context.view, router)}: has no route to {prefix}"
                    f"{origin}"
                )
            return await self._write(router, None, left)

    async def remove(self, reference: str) -> Router:
        """Remove a router with its connections and routes. InUseError: routes of other routers lead
        through it."""
        async with self._context.lock:
            view, router = self._context.view, self.find(reference)
            places = places_of(view, router.id)
            check_unused(view, router, places)
            changes = [Delete(type(part), part.id) for part in self._parts(router.id)]
            await self._context.commit([*changes, Delete(Router, router.id)])
            return router

    async def _write(
        self,
        router: Router,
        networks: Iterable[ConnectionSpec] | None,
        routes: Iterable[RouteSpec] | None,
        before: Iterable[Change] = (),
    ) -> Router:
        """Write a router with all that it shall have, if that goes together. None: what it has."""
        view = self._context.view
        parts: list[Record] = []
        parts += places_of(view, router.id) if networks is None else self._placed(router, networks)
        parts += routes_of(view, router.id) if routes is None else _routes(router, routes)
        kept = {part.id: part for part in parts}
        gone = [part for part in self._parts(router.id) if part.id not in kept]
        changes: list[Change] = [*before, *_put(view, [router, *parts])]
        changes += [Delete(type(part), part.id) for part in gone]
        after = Overlay(view)
        await after.write(changes)
        check_unused(view, router, (part for part in gone if isinstance(part, RouterPort)))
        check_apart(after, router)
        check_routes(after, router)
        if changes:
            held = [change.record for change in changes if isinstance(change, Put)]
            await self._context.commit(changes, must_hold=held)
        return router

    def _parts(self, router_id: RouterId) -> Sequence[Record]:
        view = self._context.view
        return [*places_of(view, router_id), *routes_of(view, router_id)]

    def _connected(self, router: Router) -> Sequence[ConnectionSpec]:
        found = places_of(self._context.view, router.id)
        return [ConnectionSpec(network=one.network_id, addresses=one.addresses) for one in found]

    def _routes(self, router: Router) -> Sequence[RouteSpec]:
        found = routes_of(self._context.view, router.id)
        return [RouteSpec(prefix=o.prefix, via=o.next_hops, source=o.source) for o in found]

    def _placed(self, router: Router, specs: Iterable[ConnectionSpec]) -> Iterator[RouterPort]:
        view, seen = self._context.view, set[NetworkId]()
        for spec in specs:
            known = view.get(Network, spec.network)
            network = known or find_network_for(view, spec.network, router.tenant_id)
            if network.id in seen:
                raise InvalidError(f"network {network.name}: is there twice; name it once")
            seen.add(network.id)
            check_connectable(view, router, network)
            id = RouterPortId(derived_id("router-port", router.id, network.id))
            yield RouterPort(
                id=id,
                router_id=router.id,
                network_id=network.id,
                mac=derived_mac("router-port", id),
                addresses=tuple(self._addresses_of(router, network, spec)),
            )

    def _addresses_of(
        self, router: Router, network: Network, spec: ConnectionSpec
    ) -> Sequence[IPAddress]:
        subnets = subnets_of(self._context.view, network)
        gateways = [subnet.gateway for subnet in subnets if subnet.gateway is not None]
        wanted = gateways if spec.addresses is UNSET else list(spec.addresses)
        if not wanted:
            raise InvalidError(
                f"network {network.name}: has no gateway that the router could be; name an address "
                "for it: --address"
            )
        check_addresses(wanted, subnets, network)
        for address in wanted:
            holder = self._holder(network, address)
            if holder is not None and holder.router_id == router.id:
                continue
            if holder is not None:
                other = self._context.view.get(Router, holder.router_id)
                name = (
                    holder.router_id if other is None else router_label(self._context.view, other)
                )
                raise ConflictError(
                    f"address {address}: is router {name}'s on network {network.name}; name "
                    "another: --address"
                )
            if address not in gateways:
                self._addresses.check_free(address, subnets)
        return wanted

    def _holder(self, network: Network, address: IPAddress) -> RouterPort | None:
        found = self._context.view.by(RouterPort, "addresses", address)
        return next((place for place in found if place.network_id == network.id), None)

    def _check_name_is_free(self, name: str, tenant_id: TenantId) -> None:
        for router in self._context.view.by(Router, "name", name):
            if router.tenant_id == tenant_id:
                raise ConflictError(f"router {name}: exists already (id {router.id})")


def _routes(router: Router, specs: Iterable[RouteSpec]) -> Iterator[RouterRoute]:
    seen = set[tuple[IPNetwork, IPNetwork | None]]()
    for spec in specs:
        key = spec.prefix, spec.source
        if key in seen:
            raise InvalidError(
                f"route to {spec.prefix}: is there twice; name all its next hops once"
            )
        seen.add(key)
        source = "" if spec.source is None else str(spec.source)
        route = RouterRoute(
            id=RouterRouteId(derived_id("router-route", router.id, str(spec.prefix), source)),
            router_id=router.id,
            prefix=spec.prefix,
            source=spec.source,
            next_hops=spec.via,
        )
        try:
            route.check()
        except ValueError as error:
            raise InvalidError(f"{error}; correct the route") from None
        yield route


def _is_same(one: RouteSpec, other: RouteSpec) -> bool:
    return (one.prefix, one.source) == (other.prefix, other.source)


def _put(view: View, records: Iterable[Record]) -> Iterator[Change]:
    for record in records:
        if view.get(type(record), record.id) != record:
            yield Put(record)
