"""What to do about a packet that does not get through."""

from __future__ import annotations

from weft.control.group_references import group_label
from weft.control.references import network_label, workload_name
from weft.model.addresses import IPAddress
from weft.model.choices import Direction
from weft.model.records import Port, SecurityGroup
from weft.observers.traces.packets import ICMP, ICMPV6, SCTP, TCP, UDP, Shown
from weft.observers.traces.telling import Decider
from weft.semantics.members import groups_of
from weft.store.interface import View

_WORDS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
_FIXES = {
    "no_flow": "it begins no connection, and the network is strict; trace how it begins",
    "flows_full": "close connections of the port, or raise flows_per_port in the settings",
    "no_tunnel": "see how the host there is reached: weft status hosts",
    "no_port": "its device is not in force (yet): weft status",
    "unencrypted": "the two hosts do not agree on encryption: weft encrypt status",
    "unknown_peer": "the host there does not know the sender's host (yet): weft status hosts",
    "unknown_vni": "the host there has no port on the network (any more): weft port ls",
    "ttl": "routers send it in a circle, or through too many of them: weft router ls",
    "too_many": "the port asks more often than dns_queries_per_s in the settings allows",
    "reserved": "no workload may send this; use another address or port",
    "kernel": "the kernel refuses it: weft doctor",
}


def fix_for(view: View, reason: str, port: Port | None, destination: IPAddress) -> str:
    """By its drop reason; empty: there is nothing to say. port: the sender."""
    network = network_label(view, port.network_id) if port is not None else "NETWORK"
    match reason:
        case "spoofed_mac" | "spoofed_address":
            name = workload_name(port) if port is not None else "PORT"
            return f"if {name} shall use that address: weft attach … --allow-address ADDRESS"
        case "unknown_neighbour" | "unknown_address" | "unknown_mac":
            return f"nobody has {destination}; see who is there: weft port ls"
        case "isolated":
            return (
                f"connect {network} and the other network to one router:"
                f" weft router connect ROUTER {network}"
            )
        case "no_route":
            return (
                f"give the router a route to {destination}, or {network} a gateway: weft router ls"
            )
        case "internal":
            return f"{network} is internal; a port on another network reaches the outside"
    return _FIXES.get(reason, "")


def fix_for_rules(view: View, decider: Decider, shown: Shown) -> str:
    """What would let it pass the rules that dropped it."""
    port, direction = decider.port, decider.direction
    if decider.rule is not None:
        group = view.get(SecurityGroup, decider.rule.group_id)
        name = group_label(view, group) if group is not None else decider.rule.group_id
        return f"if it shall pass: weft group rule rm {name} {decider.rule.id[:8]}"
    groups = [view.get(SecurityGroup, each) for each in view.ask(groups_of, port.id)]
    names = sorted(group_label(view, each) for each in groups if each is not None)
    is_egress = direction is Direction.EGRESS
    peer = f"--to {shown.destination}" if is_egress else f"--from {shown.source}"
    rule = f"allow {direction.value} {_what(shown)} {peer}"
    if names:
        return f"if it shall pass: weft group rule add {names[0]} {rule}"
    return f"if it shall pass, put {workload_name(port)} into a group with a rule: {rule}"


def _what(shown: Shown) -> str:
    if shown.protocol in _WORDS and len(shown.payload) >= 4:
        return f"--{_WORDS[shown.protocol]} {int.from_bytes(shown.payload[2:4])}"
    if shown.protocol in (ICMP, ICMPV6) and shown.payload:
        return f"--icmp {shown.payload[0]}"
    return f"--protocol {shown.protocol}"
