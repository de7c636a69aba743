"""What programs have noted about a packet, in the words of records: one stage a decision."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping

from weft.control.answers.policy_test import reason_of, who_denies
from weft.control.references import host_name, network_label, port_label, router_label
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RuleAction
from weft.kernel.bpf.rehearsal import Judged, Ran, Routed
from weft.model.addresses import IPAddress
from weft.model.choices import Action, Direction
from weft.model.records import (
    Host,
    Network,
    Port,
    Router,
    RouterRoute,
    SecurityGroup,
    SecurityRule,
)
from weft.model.service_addresses import wireguard_address
from weft.observers.traces.packets import Outer
from weft.observers.traces.seen import Stage
from weft.semantics.members import groups_of
from weft.semantics.policy import Ruling
from weft.semantics.routers import Kind, entries, subnet_of
from weft.semantics.routing import End as WayEnd
from weft.semantics.routing import Way, entry_for, table_for, ways
from weft.semantics.tenants import tenant_name
from weft.store.interface import View

_DIRECTIONS = {
    layouts.Direction.EGRESS: Direction.EGRESS,
    layouts.Direction.INGRESS: Direction.INGRESS,
}
_ACTIONS = {
    RuleAction.RULE_DROP: Action.DROP,
    RuleAction.RULE_REJECT: Action.REJECT,
    RuleAction.RULE_ALLOW: Action.ALLOW,
}
_DONE = {Action.ALLOW: "allowed", Action.DROP: "dropped", Action.REJECT: "rejected"}


class Decider:
    """Who has decided that a packet is dropped by rules."""

    def __init__(self, port: Port, direction: Direction, rule: SecurityRule | None) -> None:
        self.port = port
        self.direction = direction
        self.rule = rule


def judged_stages(
    view: View, judged: Judged | None, ports: Mapping[Direction, Port | None]
) -> Iterator[Stage]:
    """What the rules of ports of this host said. ports: whose each direction is."""
    if judged is None:
        return
    if judged.is_exempt:
        yield Stage("rules", "such packets are never judged")
    elif judged.is_known:
        yield Stage("rules", "it belongs to the connection of the packet before: no rule is asked")
    for side in judged.asked:
        direction = _DIRECTIONS[side]
        port = ports.get(direction)
        if port is None:
            continue
        is_last = side == judged.asked[-1]
        action = _ACTIONS.get(judged.action, Action.DROP) if is_last else Action.ALLOW
        ruling = _ruling(view, judged.rules.get(side), action)
        why = _why(view, port, direction, ruling, judged.rules.get(side))
        record = ruling.rule or ruling.group
        yield Stage(
            direction.value,
            f"{_DONE[action]}: {why}",
            record.KIND if record is not None else "",
            record.id if record is not None else "",
        )


def decider(
    view: View, judged: Judged | None, ports: Mapping[Direction, Port | None]
) -> Decider | None:
    """Whose rules dropped a packet. None: none did."""
    if judged is None or not judged.asked or judged.action is RuleAction.RULE_ALLOW:
        return None
    direction = _DIRECTIONS[judged.asked[-1]]
    port = ports.get(direction)
    id = judged.rules.get(judged.asked[-1])
    rule = view.get(SecurityRule, str(uuid.UUID(bytes=id))) if id is not None else None
    return None if port is None else Decider(port, direction, rule)


def _ruling(view: View, id: bytes | None, action: Action) -> Ruling:
    if id is None:
        return Ruling(action)
    text = str(uuid.UUID(bytes=id))
    rule = view.get(SecurityRule, text)
    group = view.get(SecurityGroup, rule.group_id if rule is not None else text)
    return Ruling(action, rule, group)


def _why(view: View, port: Port, direction: Direction, ruling: Ruling, id: bytes | None) -> str:
    if id is not None and ruling.group is None:
        return f"rule {str(uuid.UUID(bytes=id))[:8]}, which is no record (any more)"
    if ruling.is_allowed and ruling.group is None:
        found = (view.get(SecurityGroup, each) for each in view.ask(groups_of, port.id))
        groups = [group for group in found if group is not None]
        if who_denies(view, port, direction, groups):
            return "the host, queries to Weft's DNS and DHCP of a client need no rule here"
    return reason_of(view, port, direction, ruling)


def router_stages(
    view: View, routed: Routed | None, port: Port, source: IPAddress, destination: IPAddress
) -> Iterator[Stage]:
    """The routers that a packet of a port passed, each with the line of its table that held."""
    if routed is None:
        return
    way = _way_taken(view, routed, port, source, destination)
    if way is None:
        yield Stage("router", f"{routed.routers} routers decide, and no record here says which")
        return
    for index, step in enumerate(way.steps):
        following = way.steps[index + 1].address if index + 1 < len(way.steps) else None
        decision, route = _at_router(view, step.router_id, source, destination, following, routed)
        router = view.get(Router, step.router_id)
        name = router_label(view, router if router is not None else step.router_id)
        record = route if route is not None else router
        yield Stage(
            "router",
            f"{name}: {decision}",
            record.KIND if record is not None else "",
            record.id if record is not None else "",
        )


def _way_taken(
    view: View, routed: Routed, port: Port, source: IPAddress, destination: IPAddress
) -> Way | None:
    """Of all ways that there are, the one that the programs have followed."""
    found = [
        way
        for way in ways(view, port.network_id, source, destination)
        if len(way.steps) == routed.routers
    ]
    there = (way for way in found if _ends_there(view, way, routed, destination))
    return next(there, None) or next(iter(found), None)


def _ends_there(view: View, way: Way, routed: Routed, destination: IPAddress) -> bool:
    network = view.get(Network, way.network_id) if way.network_id is not None else None
    if way.end is not WayEnd.PORT or network is None or network.vni != routed.vni:
        return False
    at = routed.next
    return at == destination or (way.port is not None and at in way.port.addresses)


def _at_router(
    view: View,
    router_id: str,
    source: IPAddress,
    destination: IPAddress,
    following: IPAddress | None,
    routed: Routed,
) -> tuple[str, RouterRoute | None]:
    table = table_for(view, router_id, source)  # type: ignore[arg-type]
    entry = entry_for(view.ask(entries, table), destination)
    if entry is None:
        return f"knows no way to {destination}", None
    if entry.kind is Kind.CONNECTED:
        assert entry.network_id is not None
        name, shared = network_label(view, entry.network_id), ""
        network, router = view.get(Network, entry.network_id), view.get(Router, router_id)
        if network is not None and router is not None and network.tenant_id != router.tenant_id:
            shared = f", which tenant {tenant_name(view, network.tenant_id)} shares with it"
        return f"{entry.prefix} is network {name}, to which it is connected{shared}", None
    route = next(
        (
            each
            for each in view.by(RouterRoute, "router_id", router_id)
            if each.prefix == entry.prefix and each.source == table.source
        ),
        None,
    )
    of = f" from {table.source}" if table.source is not None else ""
    match entry.kind:
        case Kind.VIA:
            hop = following or routed.next
            several = f", one of {len(entry.next_hops)}" if len(entry.next_hops) > 1 else ""
            return f"route {entry.prefix}{of} via {hop}{several}", route
        case Kind.DROPPED:
            return f"route {entry.prefix}{of} drops", route
    return f"route {entry.prefix}{of}: no next hop is there", route


def receiver_at(view: View, vni: int, mac: str, address: IPAddress) -> Port | None:
    """The port that a frame on a network is for."""
    networks = {each.id for each in view.by(Network, "vni", vni)}
    near = [each for each in view.by(Port, "addresses", address) if each.network_id in networks]
    if near:
        return next((each for each in near if each.mac == mac), near[0])
    ports = (each for id in networks for each in view.by(Port, "network_id", id))
    return next((each for each in ports if each.mac == mac), None)


def wire_stages(
    view: View,
    outer: Outer,
    receiver: Port | None,
    address: IPAddress,
    device: str,
    *,
    is_encrypted: bool,
) -> Iterator[Stage]:
    """How a packet to an address leaves for another host."""
    if receiver is not None and receiver.host_id is not None:
        via = "" if address in receiver.addresses else " (a next hop)"
        name = host_name(view, receiver.host_id)
        yield Stage(
            "receiver",
            f"{address} goes to {port_label(view, receiver)}{via} on host {name}",
            Port.KIND,
            receiver.id,
        )
    host = host_at(view, outer.destination)
    by = f" to host {host.name}" if host is not None else ""
    relays = f"{by}, which relays it" if outer.tag else by
    how = "WireGuard" if is_encrypted else "VXLAN"
    yield Stage(
        "tunnel",
        f"{how}{relays}: VNI {outer.vni}, {outer.source} to {outer.destination} by {device}",
        Host.KIND if host is not None else "",
        host.id if host is not None else "",
    )


def host_at(view: View, address: IPAddress) -> Host | None:
    """The host that has an address of the underlay, or one inside WireGuard."""
    hosts = view.list(Host)
    return next(
        (
            each
            for each in hosts
            if address in each.underlay or wireguard_address(each.id) == address
        ),
        None,
    )


def source_stage(view: View, port: Port, source: IPAddress, ran: Ran) -> Stage:
    """Whether the packet is from whom it says."""
    if ran.reason in (
        layouts.DropReason.DROP_SPOOFED_MAC,
        layouts.DropReason.DROP_SPOOFED_ADDRESS,
    ):
        return Stage("source", f"{source} with MAC {port.mac} is not its own", Port.KIND, port.id)
    if not port.is_spoof_checked:
        return Stage("source", "is not checked for this port", Port.KIND, port.id)
    return Stage("source", f"{source} with MAC {port.mac} is its own", Port.KIND, port.id)


def subnet_stage(view: View, port: Port, address: IPAddress) -> tuple[str, str]:
    """Kind and id of the subnet that an address of a port's network is in."""
    subnet = subnet_of(view, port.network_id, address)
    return ("", "") if subnet is None else (subnet.KIND, subnet.id)
