"""Connections as the API tells them: what hosts have seen, in the words of the records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from weft.api.context import Context
from weft.api.render import host_of
from weft.api.schema import FlowEnd, FlowInfo, FlowRule
from weft.control.group_rules import text_of
from weft.control.references import host_name
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, NetworkId
from weft.model.records import Network, SecurityGroup, SecurityRule
from weft.model.records.security import ICMP, ICMPV6, SCTP, TCP, UDP, WITH_PORTS
from weft.observers.flows.seen import FlowsAsked, FlowSeen
from weft.semantics.far_ends import NOBODY, FarEnd, ends_of
from weft.semantics.networks import full_name
from weft.semantics.tenants import full_group_name

PROTOCOLS = {TCP: "tcp", UDP: "udp", SCTP: "sctp", ICMP: "icmp", ICMPV6: "icmpv6"}
APART_S = 10.0
"""What two hosts have seen further apart is not one connection: workloads use ports again. The
hosts' clocks, and when each of them looked, make less of a difference."""
_Ends = tuple[FarEnd, FarEnd]
Name = tuple[object, ...]


class FlowWords:
    """Finds words for connections. For one answer: what it has looked up once it remembers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ends: dict[tuple[str, IPAddress, IPAddress], _Ends] = {}
        self._rules: dict[str, FlowRule] = {}

    def info(self, host: HostId, flow: FlowSeen) -> FlowInfo:
        """As one host has seen it."""
        is_icmp = flow.protocol in (ICMP, ICMPV6)
        has_ports = flow.protocol in WITH_PORTS
        source, destination = self._ends_of(flow)
        network = self._network(source.network_id) or self._network(flow.network_id)
        source_port = flow.source_port if has_ports or is_icmp else None
        destination_port = flow.destination_port if has_ports else None
        return FlowInfo(
            protocol=PROTOCOLS.get(flow.protocol, str(flow.protocol)),
            source=self._end(source, flow.source, source_port),
            destination=self._end(destination, flow.destination, destination_port),
            icmp_type=flow.destination_port >> 8 if is_icmp else None,
            icmp_code=flow.destination_port & 255 if is_icmp else None,
            network=self._full_name(network),
            network_id=network.id if network else flow.network_id,
            state=flow.state.value,
            verdict="denied" if flow.denied_by is not None else "allowed",
            denied_by=flow.denied_by.value if flow.denied_by is not None else None,
            egress_rule=self._rule(flow.egress_rule),
            ingress_rule=self._rule(flow.ingress_rule),
            packets=flow.packets,
            bytes=flow.octets,
            answer_packets=flow.answer_packets,
            answer_bytes=flow.answer_octets,
            began_s=flow.began_s,
            seen_s=flow.seen_s,
            ended_s=flow.ended_s,
            hosts=(host_name(self._context.control.view, host),),
        )

    def _ends_of(self, flow: FlowSeen) -> _Ends:
        if flow.network_id is None:
            return NOBODY, NOBODY
        key = flow.network_id, flow.source, flow.destination
        found = self._ends.get(key)
        if found is None:
            network_id = NetworkId(flow.network_id)
            found = ends_of(self._context.control.view, network_id, flow.source, flow.destination)
            self._ends[key] = found
        return found

    def _network(self, id: str | None) -> Network | None:
        return self._context.control.view.get(Network, id) if id is not None else None

    def _full_name(self, network: Network | None) -> str | None:
        return full_name(self._context.control.view, network) if network is not None else None

    def _end(self, end: FarEnd, address: IPAddress, port: int | None) -> FlowEnd:
        network = self._network(end.network_id)
        return FlowEnd(
            address=str(address),
            port=port,
            port_id=end.port.id if end.port else None,
            name=end.port.names[0] if end.port and end.port.names else None,
            host=host_of(self._context, end.port) if end.port else None,
            network=self._full_name(network),
            network_id=end.network_id,
        )

    def _rule(self, id: str | None) -> FlowRule | None:
        if id is None:
            return None
        if id not in self._rules:
            view = self._context.control.view
            rule = view.get(SecurityRule, id)
            group = view.get(SecurityGroup, rule.group_id if rule is not None else id)
            text = text_of(view, rule, group) if rule is not None and group is not None else None
            name = full_group_name(view, group) if group is not None else None
            self._rules[id] = FlowRule(id=id, group=name, text=text)
        return self._rules[id]


class Wanted:
    """Which of those are wanted that a host has told: it knows addresses, and where a router leads
    one of them may be on another network than the one that is asked for."""

    def __init__(self, asked: FlowsAsked) -> None:
        self._networks = frozenset(asked.network_ids)
        self._addresses = frozenset(str(address) for address in asked.addresses)

    def has(self, info: FlowInfo) -> bool:
        """Whether it is."""
        networks, addresses = self._networks, self._addresses
        if not networks or (info.network_id in networks and not addresses):
            return True
        return any(
            (end.network_id or info.network_id) in networks
            and (not addresses or end.address in addresses)
            for end in (info.source, info.destination)
        )


def joined(infos: Iterable[FlowInfo]) -> list[FlowInfo]:
    """Those that began last first. What two hosts have seen of one connection is one, and so is
    what a host denies again and again."""
    found: defaultdict[Name, list[FlowInfo]] = defaultdict(list)
    for info in sorted(infos, key=lambda one: one.began_s):
        known = found[name_of(info)]
        for at, one in enumerate(known):
            if _are_one(one, info):
                known[at] = _joined(one, info)
                break
        else:
            known.append(info)
    return sorted((one for known in found.values() for one in known), key=lambda one: -one.began_s)


def name_of(info: FlowInfo) -> Name:
    """All hosts have the same for the same connection, wherever routers led it."""
    ends = ((one.network_id, one.address, one.port) for one in (info.source, info.destination))
    return info.network_id, info.protocol, info.icmp_type, info.icmp_code, *ends


def _are_one(one: FlowInfo, other: FlowInfo) -> bool:
    if set(one.hosts) & set(other.hosts):
        return one.verdict == other.verdict == "denied"
    return one.began_s - APART_S <= other.seen_s and other.began_s - APART_S <= one.seen_s


def _joined(one: FlowInfo, other: FlowInfo) -> FlowInfo:
    """Who denies says more than who let it pass; else the sender's host has counted all that was
    sent. Rules are told by the host of their port."""
    if _weight(other) > _weight(one):
        one, other = other, one
    both = one.hosts == other.hosts
    ended_s = one.ended_s, other.ended_s
    return msgspec.structs.replace(
        one,
        packets=one.packets + other.packets if both else one.packets,
        bytes=one.bytes + other.bytes if both else one.bytes,
        began_s=min(one.began_s, other.began_s),
        seen_s=max(one.seen_s, other.seen_s),
        ended_s=max((each for each in ended_s if each is not None), default=None)
        if None not in ended_s
        else None,
        egress_rule=one.egress_rule or other.egress_rule,
        ingress_rule=one.ingress_rule or other.ingress_rule,
        hosts=tuple(sorted({*one.hosts, *other.hosts})),
    )


def _weight(info: FlowInfo) -> tuple[bool, bool]:
    return info.verdict == "denied", info.source.host in info.hosts
