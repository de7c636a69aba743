"""Connections as the API tells them: what hosts have seen, in the words of the records."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from weft.api.context import Context
from weft.api.render import host_of
from weft.api.schema import FlowEnd, FlowInfo, FlowRule
from weft.control.group_rules import text_of
from weft.control.references import host_name
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import Network, Port, SecurityGroup, SecurityRule
from weft.model.records.security import ICMP, ICMPV6, SCTP, TCP, UDP, WITH_PORTS
from weft.observers.flows.seen import FlowSeen
from weft.semantics.networks import full_name
from weft.semantics.tenants import full_group_name

PROTOCOLS = {TCP: "tcp", UDP: "udp", SCTP: "sctp", ICMP: "icmp", ICMPV6: "icmpv6"}
_Name = tuple[object, ...]


def flow_infos(context: Context, seen: Iterable[tuple[HostId, FlowSeen]]) -> list[FlowInfo]:
    """Those that began last first. What two hosts have seen of one connection is one."""
    found: dict[_Name, FlowInfo] = {}
    for host, flow in seen:
        info, name = flow_info(context, host, flow), _name(flow)
        known = found.get(name)
        found[name] = info if known is None else _joined(known, info)
    return sorted(found.values(), key=lambda one: -one.began_s)


def flow_info(context: Context, host: HostId, flow: FlowSeen) -> FlowInfo:
    """As one host has seen it."""
    is_icmp = flow.protocol in (ICMP, ICMPV6)
    has_ports = flow.protocol in WITH_PORTS
    known = flow.network_id and context.control.view.get(Network, flow.network_id)
    source_port = flow.source_port if has_ports or is_icmp else None
    destination_port = flow.destination_port if has_ports else None
    return FlowInfo(
        protocol=PROTOCOLS.get(flow.protocol, str(flow.protocol)),
        source=_end(context, flow, flow.source, source_port),
        destination=_end(context, flow, flow.destination, destination_port),
        icmp_type=flow.destination_port >> 8 if is_icmp else None,
        icmp_code=flow.destination_port & 255 if is_icmp else None,
        network=full_name(context.control.view, known) if known else None,
        network_id=flow.network_id,
        state=flow.state.value,
        verdict="denied" if flow.denied_by is not None else "allowed",
        denied_by=flow.denied_by.value if flow.denied_by is not None else None,
        egress_rule=_rule(context, flow.egress_rule),
        ingress_rule=_rule(context, flow.ingress_rule),
        packets=flow.packets,
        bytes=flow.octets,
        answer_packets=flow.answer_packets,
        answer_bytes=flow.answer_octets,
        began_s=flow.began_s,
        seen_s=flow.seen_s,
        ended_s=flow.ended_s,
        hosts=(host_name(context.control.view, host),),
    )


def _end(context: Context, flow: FlowSeen, address: IPAddress, port: int | None) -> FlowEnd:
    found: Port | None = None
    for each in context.control.view.by(Port, "addresses", address):
        if each.network_id == flow.network_id:
            found = each
    return FlowEnd(
        address=str(address),
        port=port,
        port_id=found.id if found else None,
        name=found.names[0] if found and found.names else None,
        host=host_of(context, found) if found else None,
    )


def _rule(context: Context, id: str | None) -> FlowRule | None:
    if id is None:
        return None
    view = context.control.view
    rule = view.get(SecurityRule, id)
    group = view.get(SecurityGroup, rule.group_id if rule is not None else id)
    text = text_of(view, rule, group) if rule is not None and group is not None else None
    return FlowRule(
        id=id, group=full_group_name(view, group) if group is not None else None, text=text
    )


def _name(flow: FlowSeen) -> _Name:
    """Two hosts have the same for the same connection. An ended one is another than one that
    stands, for ports are used again."""
    ends = flow.source, flow.source_port, flow.destination, flow.destination_port
    return flow.network_id, flow.protocol, *ends, flow.ended_s is None


def _joined(one: FlowInfo, other: FlowInfo) -> FlowInfo:
    """The one that the rules deny says more; rules are told by the host of the port."""
    if other.verdict == "denied" and one.verdict == "allowed":
        one, other = other, one
    return msgspec.structs.replace(
        one,
        began_s=min(one.began_s, other.began_s),
        seen_s=max(one.seen_s, other.seen_s),
        egress_rule=one.egress_rule or other.egress_rule,
        ingress_rule=one.ingress_rule or other.ingress_rule,
        hosts=tuple(sorted({*one.hosts, *other.hosts})),
    )
