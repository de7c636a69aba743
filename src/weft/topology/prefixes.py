"""Prefixes that two want: networks among themselves, and networks and what a host has beside them.

Pure functions of the records, so every host comes to the same answers.

Two networks whose subnets overlap cannot both have a way out: the host in between knows a packet by
its addresses alone. One of them keeps it, the other is cut off (`is_cut_off`) as long as that is
there: it forwards inside, between hosts and by routers, but nothing leads out of that subnet or
into it. Tenants may have it so; in one tenant it is a conflict.

A network and a host's own bridge, link or route can be told apart, for the host knows by which
device a connection came; see `is_contested`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import HostId, NetworkId, SubnetId
from weft.model.records import Host, HostPrefixes, Neighbours, Network, Port, Subnet
from weft.model.records.hosts import link_of
from weft.store.interface import View, question


class HostPrefix(NamedTuple):
    """A prefix on a host."""

    host_id: HostId
    prefix: IPNetwork


def overlaps(one: IPNetwork, other: IPNetwork) -> bool:
    """Whether they share an address."""
    return one.version == other.version and one.overlaps(other)


def is_in_the_way(subnet: IPNetwork, prefix: IPNetwork, *, is_link: bool) -> bool:
    """Whether a subnet and a prefix of a host's take packets from each other. The longest prefix
    wins, so a route that is shorter than the subnet only leads to what lies around it; but whoever
    is on the host's own link in there would be cut off."""
    return overlaps(subnet, prefix) and (is_link or prefix.prefixlen >= subnet.prefixlen)


def prefix_in_the_way(record: HostPrefixes | None, subnet: IPNetwork) -> IPNetwork | None:
    """The first of a host's own prefixes that is in a subnet's way."""
    if record is None:
        return None
    for prefix in record.links:
        if is_in_the_way(subnet, prefix, is_link=True):
            return prefix
    for prefix in record.routes:
        if is_in_the_way(subnet, prefix, is_link=False):
            return prefix
    return None


@question
def is_contested(subnet: HostPrefix, view: View) -> bool:
    """Whether on a host the main routing table cannot be trusted to lead into a subnet."""
    record = view.get(HostPrefixes, subnet.host_id)
    return record is not None and (
        record.has_rules or prefix_in_the_way(record, subnet.prefix) is not None
    )


@question
def is_on_a_link(subnet: HostPrefix, view: View) -> bool:
    """Whether a subnet lies inside a larger link of the host: a route to it in the main table would
    take a part of that link away."""
    record, prefix = view.get(HostPrefixes, subnet.host_id), subnet.prefix
    return record is not None and any(
        overlaps(link, prefix) and link.prefixlen < prefix.prefixlen for link in record.links
    )


@question
def takes_underlay(subnet: HostPrefix, view: View) -> bool:
    """Whether on a host a route to a subnet would lead away the packets to another host, or to this
    one.

    It is told by what this host knows by itself (its links, and who is on them), for others may
    say of their addresses what they like.
    """
    me, prefix = view.get(Host, subnet.host_id), subnet.prefix
    for address in me.underlay if me is not None else ():
        link = link_of(address)
        if link.version != prefix.version or not link.overlaps(prefix):
            continue
        beside = view.by(Host, "underlay_links", link)
        if any(other in prefix for host in beside for other in host.underlay if other in link):
            return True
    record = view.get(Neighbours, subnet.host_id)
    found = record.neighbours if record is not None else ()
    return any(each.has_link and each.address in prefix for each in found)


def contests(view: View) -> Iterator[tuple[HostId, Subnet, IPNetwork]]:
    """Of every host the subnets of networks that one of its own prefixes is in the way of, but for
    those of which somebody has said that it shall be so. Linear in the prefixes of all hosts, and
    in what is found."""
    near = _Near(s for s in view.list(Subnet) if not s.is_forced and _network(view, s) is not None)
    for record in sorted(view.list(HostPrefixes), key=lambda record: record.id):
        found: dict[str, tuple[Subnet, IPNetwork]] = {}
        for prefixes, is_link in ((record.links, True), (record.routes, False)):
            for prefix in prefixes:
                for subnet in near.overlapping(prefix):
                    if is_in_the_way(subnet.cidr, prefix, is_link=is_link):
                        found.setdefault(subnet.id, (subnet, prefix))
        for _, (subnet, prefix) in sorted(found.items()):
            yield record.host_id, subnet, prefix


class _Near:
    """Subnets, to be found by what overlaps them: prefixes lie in one another, or apart."""

    def __init__(self, subnets: Iterable[Subnet]) -> None:
        self._same: dict[IPNetwork, list[Subnet]] = {}
        for subnet in subnets:
            self._same.setdefault(subnet.cidr, []).append(subnet)
        self._cidrs = {
            version: sorted(cidr for cidr in self._same if cidr.version == version)
            for version in (4, 6)
        }
        self._lengths = {
            version: {cidr.prefixlen for cidr in cidrs} for version, cidrs in self._cidrs.items()
        }

    def overlapping(self, prefix: IPNetwork) -> Iterator[Subnet]:
        """Those around the prefix, and then those inside of it."""
        for length in self._lengths[prefix.version]:
            if length < prefix.prefixlen:
                yield from self._same.get(prefix.supernet(new_prefix=length), ())
        cidrs, last = self._cidrs[prefix.version], prefix[-1]
        for cidr in cidrs[bisect_left(cidrs, prefix) :]:
            if cidr[0] > last:  # type: ignore[operator]
                break
            yield from self._same[cidr]


@question
def is_cut_off(id: SubnetId, view: View) -> bool:
    """Whether a subnet of another network overlaps this one and goes before it."""
    subnet = view.get(Subnet, id)
    if subnet is None or _network(view, subnet) is None:
        return False
    return first_before(view, subnet) is not None


@question
def prefixes_cut_off(network_id: NetworkId, view: View) -> frozenset[IPNetwork]:
    """The prefixes of a network's subnets that are cut off."""
    subnets = view.by(Subnet, "network_id", network_id)
    return frozenset(subnet.cidr for subnet in subnets if view.ask(is_cut_off, subnet.id))


def addresses_with_a_way_out(view: View, port: Port) -> tuple[IPAddress, ...]:
    """Those of a port's addresses that are not in a subnet that is cut off."""
    closed = view.ask(prefixes_cut_off, port.network_id)
    return tuple(a for a in port.addresses if not any(a in cidr for cidr in closed))


def goes_before(view: View, one: Subnet, other: Subnet) -> bool:
    """Which of two subnets that overlap keeps the way out: the one that was there when the other
    was made, then that of a network that is not internal, then that whose network has the smaller
    id. One without a network has none."""
    ranks = [_rank(view, subnet) for subnet in (one, other)]
    return ranks[0] is not None and (ranks[1] is None or ranks[0] < ranks[1])


def overlapping_subnets(view: View, subnet: Subnet) -> Iterator[Subnet]:
    """All others that share an address with it, each once. Looks only at those that lie near."""
    found: dict[str, Subnet] = {}
    for place in subnet.places:
        found.update((other.id, other) for other in view.by(Subnet, "place", place))
    found.update((other.id, other) for other in view.by(Subnet, "places", subnet.place))
    for id in sorted(found):
        if id != subnet.id and overlaps(found[id].cidr, subnet.cidr):
            yield found[id]


def _network(view: View, subnet: Subnet) -> Network | None:
    return None if subnet.network_id is None else view.get(Network, subnet.network_id)


def first_before(view: View, subnet: Subnet) -> Subnet | None:
    """Of another network, that keeps the way out of the subnet's addresses. None: it is its own."""
    found = (
        other
        for other in overlapping_subnets(view, subnet)
        if other.network_id != subnet.network_id and goes_before(view, other, subnet)
    )
    return next(found, None)


def _rank(view: View, subnet: Subnet) -> tuple[bool, bool, str, str] | None:
    network = _network(view, subnet)
    if network is None:
        return None
    return subnet.is_latecomer, network.is_internal, network.id, subnet.id
