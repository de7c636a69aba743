"""What becomes of a flow between two ends, and why, from records alone: what `weft policy test`
says.

Each end is a port, or an address: of a port that the way leads to, or of nobody that Weft knows. At
least one end is a port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from weft.control.answers.policy_ends import End, Ends, ends_meant
from weft.control.group_references import group_label
from weft.control.group_rules import text_of
from weft.control.references import network_label, workload_name
from weft.model.addresses import IPAddress
from weft.model.choices import Action, Direction
from weft.model.records import Network, Port, Router, SecurityGroup
from weft.semantics.policy import (
    Exemption,
    Packet,
    Remote,
    Ruling,
    asks_dns,
    denied_on,
    exemption,
    judge,
)
from weft.semantics.routing import End as WayEnd
from weft.semantics.routing import Way, ways
from weft.semantics.tenants import tenant_name
from weft.semantics.unowned import remote_at
from weft.store.interface import View

_NO_WAY = {
    WayEnd.DROPPED: "a route drops what is for it",
    WayEnd.UNREACHABLE: "nobody has the address there, or no next hop is there",
    WayEnd.NO_ROUTE: "no router leads there, nor does the way outside",
    WayEnd.NOT_SHARED: "its network is not shared with the router's tenant",
    WayEnd.LOOP: "routers send it in a circle, or through too many of them",
}

_WHY_EXEMPT = {
    Exemption.OWN: "it is for an address of its own",
    Exemption.DISCOVERY: "neighbours and routers are found without a rule",
    Exemption.MEMBERSHIP: "members of multicast groups are reported without a rule",
    Exemption.DHCP: "DHCP as a client needs no rule",
    Exemption.DNS: "queries to Weft's DNS need no rule",
    Exemption.HOST: "its host may reach it from its own place, whatever rules say",
}


class Judgement(NamedTuple):
    """What one port's groups say."""

    port: Port
    direction: Direction
    ruling: Ruling
    is_exempt: bool
    reason: str


class Judged(NamedTuple):
    """A flow, and what becomes of it."""

    source: End
    destination: End
    packet: Packet
    routers: tuple[str, ...]
    """Names of those that it passes."""
    obstacle: str
    """Why nothing leads there; empty: something does."""
    judgements: tuple[Judgement, ...]
    """Egress of the sender, ingress of the receiver, as far as these are ports."""

    @property
    def verdict(self) -> str:
        """``allowed``, ``dropped``, ``rejected``, or ``no-way``."""
        if self.obstacle:
            return "no-way"
        for each in self.judgements:
            if not each.ruling.is_allowed:
                return "rejected" if each.ruling.action is Action.REJECT else "dropped"
        return "allowed"


def try_flow(
    view: View,
    source: str,
    destination: str,
    packet: Callable[[int], Packet],
    family: int | None = None,
) -> Judged:
    """Where a flow goes, and what is said of it. packet: what it begins with, by the version of IP.
    Raises NotFoundError, ConflictError where a name means several ports, and InvalidError where no
    end is a port or they have no family in common."""
    meant = ends_meant(view, source, destination, family)
    chosen = packet(meant.source.address.version)
    if meant.source.port is None:
        return _judged(view, meant, chosen, None)
    port = meant.source.port
    found = [
        _as_recorded(view, way, meant.destination.address)
        for way in ways(view, port.network_id, meant.source.address, meant.destination.address)
    ]
    return _judged(view, meant, chosen, _best(found, meant.destination.port))


def _best(found: Sequence[Way], wanted: Port | None) -> Way:
    """Of several ways one that ends where it should, else the first."""
    there = (way for way in found if way.port is not None and way.port == wanted)
    return next(there, None) or next((way for way in found if way.end is WayEnd.PORT), found[0])


def _as_recorded(view: View, way: Way, address: IPAddress) -> Way:
    """A way that ends at a port into which nothing is plugged (yet), or at a host's own place, ends
    there all the same as far as rules go."""
    if way.end is not WayEnd.UNREACHABLE or way.network_id is None:
        return way
    holders = (p for p in view.by(Port, "addresses", address) if p.network_id == way.network_id)
    port = min(holders, key=lambda each: each.id, default=None)
    return way if port is None else way._replace(end=WayEnd.PORT, port=port)


def _judged(view: View, meant: Ends, packet: Packet, way: Way | None) -> Judged:
    source, destination = meant
    obstacle = ""
    routers: tuple[str, ...] = ()
    if way is not None:
        destination, obstacle = _arrived(view, destination, way)
        routers = tuple(_router_name(view, step.router_id) for step in way.steps)
        if source.port is not None:
            remote = _remote(view, destination, source.port)
            if asks_dns(view, source.port, remote, packet):
                obstacle, routers = "", ()
    judgements = []
    if source.port is not None:
        remote = _remote(view, destination, source.port)
        judgements.append(_judge(view, source.port, Direction.EGRESS, remote, packet))
    if destination.port is not None:
        remote = _remote(view, source, destination.port)
        judgements.append(_judge(view, destination.port, Direction.INGRESS, remote, packet))
    return Judged(source, destination, packet, routers, obstacle, tuple(judgements))


def _arrived(view: View, wanted: End, way: Way) -> tuple[End, str]:
    """Where a way ends, and what is wrong with that."""
    end = End(wanted.address, way.network_id, way.port)
    if way.end in _NO_WAY:
        return (wanted if wanted.port is not None else end), _NO_WAY[way.end]
    if wanted.port is not None and way.port != wanted.port:
        other = f"{workload_name(way.port)} has" if way.port is not None else "the way outside has"
        return wanted, f"there {other} the address {wanted.address}"
    return end, ""


def _remote(view: View, end: End, port: Port) -> Remote:
    """As a port sees the other end."""
    if end.port is not None and end.address in end.port.addresses:
        return Remote(end.address, end.network_id, end.port)
    return remote_at(view, end.network_id or port.network_id, end.address)


def _judge(
    view: View, port: Port, direction: Direction, remote: Remote, packet: Packet
) -> Judgement:
    why = exemption(view, port, direction, remote, packet)
    if why is not None:
        ruling = Ruling(Action.ALLOW)
        return Judgement(port, direction, ruling, is_exempt=True, reason=_WHY_EXEMPT[why])
    ruling = judge(view, port, direction, remote, packet)
    reason = reason_of(view, port, direction, ruling)
    return Judgement(port, direction, ruling, is_exempt=False, reason=reason)


def reason_of(view: View, port: Port, direction: Direction, ruling: Ruling) -> str:
    """Why a port's rules decide as they do."""
    rule, group = ruling.rule, ruling.group
    if rule is not None and group is not None:
        what = f"rule {rule.id[:8]} of group {group_label(view, group)}, tier {rule.tier.value}"
        return f"{what}: {text_of(view, rule, group)}"
    if group is not None:
        return f"group {group_label(view, group)} denies {direction.value}, and no rule allows it"
    if ruling.is_allowed:
        return f"no rule is about it, and nothing denies {direction.value}"
    return f"{_whose_default(view, port)} denies {direction.value}, and no rule allows it"


def who_denies(
    view: View, port: Port, direction: Direction, groups: Iterable[SecurityGroup]
) -> str:
    """Who denies a direction where no rule allows a flow of a port that is in these groups; empty:
    nobody does."""
    for group in groups:
        if direction in group.denied:
            return f"group {group_label(view, group)}"
    is_denied = direction in denied_on(view, port.network_id)
    return _whose_default(view, port) if is_denied else ""


def _whose_default(view: View, port: Port) -> str:
    network = view.get(Network, port.network_id)
    if network is not None and network.denied is None:
        return f"tenant {tenant_name(view, network.tenant_id)}"
    return f"network {network_label(view, port.network_id)}"


def _router_name(view: View, id: str) -> str:
    router = view.get(Router, id)
    return router.name if router is not None else id
