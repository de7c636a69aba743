"""Routers that hosts made or connected without knowing of each other, and that do not go together.

Nothing stops: `semantics.routers` says which one holds, by ids, so it is the same everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

from weft.control.answers.conflict import Conflict
from weft.control.references import network_label, router_label, workload_and_host
from weft.control.router_checks import places_apart
from weft.model.addresses import IPAddress
from weft.model.ids import NetworkId, RouterId, TenantId
from weft.model.records import Port, Router, RouterPort
from weft.store.interface import View
from weft.topology.prefixes import overlaps


def router_conflicts(view: View) -> Iterator[Conflict]:
    """All of them."""
    yield from _names(view)
    yield from _addresses(view)
    yield from _overlaps(view)


def _names(view: View) -> Iterator[Conflict]:
    called: dict[tuple[TenantId, str], list[RouterId]] = defaultdict(list)
    for router in view.list(Router):
        called[router.tenant_id, router.name].append(router.id)
    for (_, name), found in sorted(called.items()):
        if len(found) > 1:
            ids = tuple(sorted(found))
            yield Conflict(
                "router",
                ids,
                name,
                f"{len(ids)} routers are called {name}: {', '.join(ids)}; by its name alone none "
                "of them can be used",
                f"weft router set {ids[-1]} --name NEW-NAME",
            )


def _addresses(view: View) -> Iterator[Conflict]:
    held: dict[tuple[NetworkId, IPAddress], set[RouterId]] = defaultdict(set)
    for place in view.list(RouterPort):
        for address in place.addresses:
            held[place.network_id, address].add(place.router_id)
    for (network_id, address), found in sorted(held.items(), key=lambda each: str(each[0])):
        ports = [p for p in view.by(Port, "addresses", address) if p.network_id == network_id]
        if len(found) + len(ports) < 2:
            continue
        ids = tuple(sorted(found))
        routers = [f"router {router_label(view, id)}" for id in ids]
        holders = " and ".join([*routers, *(workload_and_host(view, port) for port in ports)])
        network = network_label(view, network_id)
        yield Conflict(
            "router",
            ids,
            str(address),
            f"address {address} on network {network}: held by {holders}; one of them alone gets "
            "what is sent to it",
            f"weft router connect {router_label(view, ids[-1])} {network} --address ANOTHER",
        )


def _overlaps(view: View) -> Iterator[Conflict]:
    for router in sorted(view.list(Router), key=lambda each: each.id):
        for one, other in combinations(places_apart(view, router.id), 2):
            if one.network_id == other.network_id or not overlaps(one.prefix, other.prefix):
                continue
            names = [network_label(view, each.network_id) for each in (one, other)]
            label = router_label(view, router)
            yield Conflict(
                "router",
                (router.id,),
                str(other.prefix),
                f"router {label}: subnet {one.prefix} of network {names[0]} overlaps "
                f"{other.prefix} of network {names[1]}; what is for both goes to one of them",
                f"weft router disconnect {label} {names[1]}",
            )
