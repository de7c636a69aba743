"""The host's routes into a network's prefix, as rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf.tables.nftables import NFTABLES, NftKey
from weft.engine.plumbing.tables.host_routes import HOST_ROUTES, OWN_ROUTES, HostRouteValue
from weft.engine.plumbing.tables.rules import RULES, RuleValue
from weft.engine.rows import Row
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import HostId
from weft.store.interface import View
from weft.topology.prefixes import HostPrefix, is_contested, is_on_a_link, takes_underlay


def host_routes(
    host_id: HostId, cidr: IPNetwork, source: IPAddress | None, view: View
) -> Iterator[Row]:
    """In the main table, unless that would take a part of the host's own link away from it, which
    only a place that the host has on the network is worth. Where the main table may lead somewhere
    else, in Weft's own."""
    there = HostPrefix(host_id, cidr)
    is_inside = source is None and view.ask(is_on_a_link, there)
    if not is_inside and not view.ask(takes_underlay, there):
        yield HOST_ROUTES.row(cidr, HostRouteValue(source))
    if view.ask(is_contested, there):
        yield from own_route(cidr)
        yield NFTABLES.row(NftKey("contested", cidr), True)


def own_route(cidr: IPNetwork) -> Iterator[Row]:
    """In the routing table of Weft's own, which is asked before the main one."""
    yield OWN_ROUTES.row(cidr, HostRouteValue())
    yield RULES.row(cidr.version, RuleValue())
