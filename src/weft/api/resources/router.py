"""Routers. What connects them to networks and gives them routes is in `cli.router`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.api.resources.base import Applied, Column, Document, Option, Resource, Verb
from weft.api.resources.matching import has_all_of
from weft.api.schema.routers import ConnectionInfo, RouteInfo, RouterInfo, RouterList
from weft.control.group_rules import local_name
from weft.control.references import routers_named
from weft.control.router_specs import RouterChanges, RouterSpec
from weft.control.specs import Spec
from weft.errors import ConflictError, ExhaustedError, InUseError, InvalidError, NotFoundError
from weft.model.records import Network, Router, RouterPort, RouterRoute
from weft.semantics.networks import full_name as full_network_name
from weft.semantics.routers import (
    may_connect,
    next_hops_there,
    places_of,
    routers_by_name,
    routes_of,
)
from weft.semantics.tenants import tenant_name
from weft.store.interface import View

if TYPE_CHECKING:
    from weft.api.context import Context


def full_name(one: RouterInfo) -> str:
    """As commands name it."""
    return _full(one.tenant, one.name)


def route_text(one: RouteInfo) -> str:
    """A route on a line."""
    source = f" from {one.source}" if one.source else ""
    hops = (f"{hop} (not there)" if hop in one.missing else hop for hop in one.via)
    return f"{one.prefix}{source} " + (f"via {', '.join(hops)}" if one.via else "dropped")


def _full(tenant: str, name: str) -> str:
    return name if tenant == "default" else f"{tenant}/{name}"


def _info(context: Context, router: Router) -> RouterInfo:
    view = context.control.view
    return RouterInfo(
        id=router.id,
        name=router.name,
        tenant=tenant_name(view, router.tenant_id),
        tenant_id=router.tenant_id,
        description=router.description,
        labels=dict(router.labels),
        networks=tuple(_connection(view, router, one) for one in places_of(view, router.id)),
        routes=tuple(_route(view, one) for one in routes_of(view, router.id)),
    )


def _connection(view: View, router: Router, place: RouterPort) -> ConnectionInfo:
    network = view.get(Network, place.network_id)
    return ConnectionInfo(
        network=place.network_id if network is None else full_network_name(view, network),
        network_id=place.network_id,
        addresses=tuple(map(str, place.addresses)),
        mac=place.mac,
        is_shared=network is not None and may_connect(router, network),
    )


def _route(view: View, route: RouterRoute) -> RouteInfo:
    there = {hop.address for hop in next_hops_there(view, route)}
    return RouteInfo(
        prefix=str(route.prefix),
        source=None if route.source is None else str(route.source),
        via=tuple(map(str, route.next_hops)),
        missing=tuple(str(hop) for hop in route.next_hops if hop not in there),
    )


def _list(context: Context, query: Spec) -> RouterList:
    return RouterList(routers=tuple(_info(context, one) for one in context.control.routers.list()))


def _facts(one: RouterInfo) -> list[tuple[str, str]]:
    described = [("description", one.description)] if one.description else []
    return [
        ("id", one.id),
        *described,
        *((f"label {key}", value) for key, value in one.labels.items()),
        *(("network", _connection_text(each)) for each in one.networks),
        *(("route", route_text(each)) for each in one.routes),
    ]


def _connection_text(one: ConnectionInfo) -> str:
    unshared = "" if one.is_shared else " (not shared with its tenant)"
    return f"{one.network}  {', '.join(one.addresses)}{unshared}"


def _named(view: View, spec: RouterSpec) -> Router | None:
    found = routers_named(view, f"{spec.tenant}/{spec.name}")
    if len(found) > 1:
        ids = " and ".join(router.id for router in found)
        raise ConflictError(
            f"router {_full(spec.tenant, spec.name)}: several are called so, {ids}; remove one of "
            "them first"
        )
    return found[0] if found else None


def _document(view: View, router: Router) -> Document:
    return {
        "name": router.name,
        "tenant": tenant_name(view, router.tenant_id),
        "networks": [_placed(view, router, place) for place in places_of(view, router.id)],
        "routes": [
            {
                "prefix": str(route.prefix),
                "via": [str(hop) for hop in route.next_hops],
                "source": None if route.source is None else str(route.source),
            }
            for route in routes_of(view, router.id)
        ],
        "description": router.description,
        "labels": dict(router.labels),
    }


def _placed(view: View, router: Router, place: RouterPort) -> Document:
    network = view.get(Network, place.network_id)
    name: str = place.network_id
    if network is not None:
        is_own = network.tenant_id == router.tenant_id
        tenant = "" if is_own else f"{tenant_name(view, network.tenant_id)}/"
        name = f"{tenant}{network.name}"
    return {
        "network": name,
        "addresses": [str(address) for address in place.addresses],
    }


def _brief(document: Document) -> Document:
    routes: Any = document["routes"]
    brief = [{field: one[field] for field in one if one[field] is not None} for one in routes]
    return {**document, "routes": brief}


def _normal(spec: RouterSpec, given: Document) -> Document:
    """Networks of the router's own tenant are named without it."""
    if "networks" not in given:
        return given
    said: Any = given["networks"]
    networks = [{**one, "network": local_name(one["network"], spec.tenant)} for one in said]
    return {**given, "networks": networks}


def _networks_fit(
    wanted: Sequence[Mapping[str, object]], actual: Sequence[Mapping[str, object]]
) -> bool:
    """The same networks, with the addresses that are said."""
    there = {str(one["network"]): set(_texts(one["addresses"])) for one in actual}
    said = {str(one["network"]): one.get("addresses") for one in wanted}
    return said.keys() == there.keys() and all(
        addresses is None or set(_texts(addresses)) == there[name]
        for name, addresses in said.items()
    )


def _routes_fit(
    wanted: Sequence[Mapping[str, object]], actual: Sequence[Mapping[str, object]]
) -> bool:
    """In any order, of next hops too."""
    there = {(one["prefix"], one["source"]): one for one in map(_sorted, actual)}
    said = {(one["prefix"], one.get("source")): one for one in map(_sorted, wanted)}
    return said.keys() == there.keys() and all(has_all_of(said[key], there[key]) for key in said)


def _sorted(route: Mapping[str, object]) -> Mapping[str, object]:
    return {**route, "via": sorted(_texts(route.get("via", ())))}


def _texts(values: object) -> Iterable[str]:
    return [str(value) for value in values] if isinstance(values, list | tuple) else []


ROUTER: Resource[Router, RouterSpec, RouterChanges, RouterInfo] = Resource(
    noun="router",
    plural="routers",
    help="Make, list, inspect, connect, change and remove routers.",
    record=Router,
    spec=RouterSpec,
    changes=RouterChanges,
    info=RouterInfo,
    detail=RouterInfo,
    listing=RouterList,
    parameters=("router",),
    answer=_info,
    inspect=None,
    find=lambda control, path: control.routers.find(path["router"]),
    list=_list,
    create=lambda control, spec: control.routers.create(spec),
    change=lambda control, router, changes: control.routers.change(router.id, changes),
    remove=lambda control, router, query: control.routers.remove(router.id),
    verbs={
        "create": Verb(
            summary="Make a router",
            more="With --network it is connected to that, as the gateway of its subnets.",
            examples=("r1", "r1 --network web --network db", "r1 --tenant acme"),
            errors=(InvalidError, NotFoundError, ConflictError, ExhaustedError),
            said=lambda one: ", ".join(each.network for each in one.networks) or "made",
        ),
        "ls": Verb(summary="List routers, with their networks and routes", examples=("",)),
        "inspect": Verb(
            summary="Show a router with its networks and routes",
            examples=("r1", "acme/r1 --json"),
            errors=(NotFoundError,),
        ),
        "set": Verb(
            summary="Give a router another name, description or other labels",
            examples=("r1 --name edge", "r1 --label team=a"),
            errors=(InvalidError, NotFoundError, ConflictError, InUseError, ExhaustedError),
            said=lambda one: "is so now",
        ),
        "rm": Verb(
            summary="Remove routers through which no other router leads",
            more="Its connections and routes go with it.",
            examples=("r1",),
            errors=(NotFoundError, InUseError),
        ),
    },
    columns=(
        Column("ROUTER", full_name),
        Column("NETWORKS", lambda one: "\n".join(each.network for each in one.networks)),
        Column("ADDRESSES", lambda one: "\n".join(", ".join(o.addresses) for o in one.networks)),
        Column("ROUTES", lambda one: "\n".join(map(route_text, one.routes))),
    ),
    options=(
        Option("name", "--name", "Another name."),
        Option("tenant", "--tenant", "Whose it is [default]; one that is not there is made."),
        Option("description", "--description", "A line for people."),
        Option("labels", "--label", "KEY=VALUE; repeatable."),
    ),
    facts=_facts,
    called=lambda one: (full_name(one), ", ".join(each.network for each in one.networks)),
    applied=Applied(
        identity=("name", "tenant"),
        key=lambda spec: _full(spec.tenant, spec.name),
        find=_named,
        document=_document,
        exported=routers_by_name,
        brief=_brief,
        normal=_normal,
        fits={"networks": _networks_fit, "routes": _routes_fit},
        freed={"routes": []},
        remove=lambda control, router: control.routers.remove(router.id),
    ),
)
