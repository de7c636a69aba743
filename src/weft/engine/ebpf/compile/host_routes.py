"""The host's routes into a network's prefix, as rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf.tables.nftables import NFTABLES, NftKey
from weft.engine.plumbing.tables.host_routes import HOST_ROUTES, OWN_ROUTES, HostRouteValue
from weft.engine.plumbing.tables.rules import RULES, RuleValue
from weft.engine.rows import Row
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import HostId
from weft.model.records import Host, HostPrefixes, Neighbours
from weft.model.records.hosts import link_of
from weft.store.interface import View
from weft.topology.prefixes import is_around, is_contested


def host_routes(
    host_id: HostId, cidr: IPNetwork, source: IPAddress | None, view: View
) -> Iterator[Row]:
    """In the main table, unless that would take a part of the host's own link away from it, which
    only a place that the host has on the network is worth. Where the main table may lead somewhere
    else, in Weft's own."""
    is_around_link = source is None and view.detail(HostPrefixes, host_id, is_around, cidr)
    if not is_around_link and not _takes_underlay(host_id, cidr, view):
        yield HOST_ROUTES.row(cidr, HostRouteValue(source))
    if view.detail(HostPrefixes, host_id, is_contested, cidr):
        yield from own_route(cidr)
        yield NFTABLES.row(NftKey("contested", cidr), True)


def own_route(cidr: IPNetwork) -> Iterator[Row]:
    """In the routing table of Weft's own, which is asked before the main one."""
    yield OWN_ROUTES.row(cidr, HostRouteValue())
    yield RULES.row(cidr.version, RuleValue())


def _takes_underlay(host_id: HostId, cidr: IPNetwork, view: View) -> bool:
    """Whether a route to the prefix would lead away the packets to another host, or to this one.

    It is told by what this host knows by itself (its links, and who is on them), for others may
    say of their addresses what they like.
    """
    me = view.get(Host, host_id)
    for address in me.underlay if me is not None else ():
        link = link_of(address)
        if link.version != cidr.version or not link.overlaps(cidr):
            continue
        beside = view.by(Host, "underlay_links", link)
        if any(other in cidr for host in beside for other in host.underlay if other in link):
            return True
    return bool(view.detail(Neighbours, host_id, _has_neighbour_in, cidr))


def _has_neighbour_in(record: Neighbours | None, cidr: IPNetwork) -> bool:
    found = record.neighbours if record is not None else ()
    return any(each.has_link and each.address in cidr for each in found)
