"""Which new flows are let through: what security groups mean. This page is the specification.

A flow is judged twice, as egress of the port that begins it and as ingress of the port that it is
for, each by what the groups of that port say; it goes on if both let it. Of each judgement:

1. The rules of all groups of which the port is a member count, in the direction of the flow, whose
   peer is who is at the other end and whose protocol, ports and family are the flow's.
2. The tiers are asked in order: admin, normal, baseline. In a tier the rule with the smallest
   priority holds; on equal ones the strictest action (drop, reject, allow, pass), then the smallest
   id.
3. It allows, drops or rejects, or passes the flow on to the next tier.
4. Where no rule of the normal tier counts, and a group of the port's denies that direction, the
   flow is dropped, and the baseline is not asked.
5. Where no tier decides, the flow is dropped if the network (or, if that says nothing, its tenant)
   denies that direction, and let through otherwise.

What belongs to a flow that was let through (answers, ICMP errors about it, later fragments) is not
judged again. Some things are never judged at all: see `Exemption`.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from weft.model.addresses import IPAddress, IPNetwork, link_local_from_mac
from weft.model.choices import Action, Direction, PeerKind, Tier
from weft.model.ids import NetworkId, TenantId
from weft.model.records import (
    Host,
    Network,
    Port,
    RouterPort,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Tenant,
)
from weft.model.records.security import ICMPV6, TCP, UDP, WITH_PORTS, WITH_TYPES
from weft.model.service_addresses import DNS4, DNS6, GATEWAY_MAC
from weft.semantics.members import groups_of, is_selected
from weft.store.interface import View

TIERS = (Tier.ADMIN, Tier.NORMAL, Tier.BASELINE)
STRICTNESS = (Action.DROP, Action.REJECT, Action.ALLOW, Action.PASS)
_DHCP = {4: (68, 67), 6: (546, 547)}
"""Ports of a client and of a server."""
_DNS_PORT = 53
_SERVERS = frozenset({DNS4, DNS6, link_local_from_mac(GATEWAY_MAC)})
"""Of Weft's DNS, on every network alike."""
_DISCOVERY = range(133, 138)
_MEMBERSHIP = frozenset({130, 131, 132, 143})
_IGMP = 2


class Packet(NamedTuple):
    """What a flow begins with, apart from who sends it to whom."""

    protocol: int
    source_port: int = 0
    destination_port: int = 0
    """Of TCP, UDP and SCTP."""
    icmp_type: int = 0
    icmp_code: int = 0
    """Of ICMP and ICMPv6."""


class Remote(NamedTuple):
    """Who is at the other end."""

    address: IPAddress
    network_id: NetworkId | None = None
    """The network that the way to the address leads to. None: it is outside of all networks."""
    port: Port | None = None
    """Who has the address there, if a port has."""
    users: tuple[Port, ...] = ()
    """If none has: the ports there that may use it as a source."""

    @property
    def ports(self) -> tuple[Port, ...]:
        """Whoever rules about ports and groups may mean."""
        return self.users if self.port is None else (self.port,)


class Exemption(Enum):
    """Why something is never judged. ARP, which is no IP, is not judged either."""

    OWN = "own"
    """It is sent to an address of the port's own."""
    DISCOVERY = "discovery"
    """Neighbour and router discovery (RFC 4861)."""
    MEMBERSHIP = "membership"
    """Reports and queries of multicast groups (IGMP, MLD)."""
    DHCP = "dhcp"
    """DHCP and DHCPv6 of a port as a client."""
    DNS = "dns"
    """A query to Weft's DNS, unless the network says that such are judged."""
    HOST = "host"
    """It comes from the own host's place on the network, which the port or the network admits."""


class Ruling(NamedTuple):
    """What becomes of a flow, and why."""

    action: Action
    """Never PASS."""
    rule: SecurityRule | None = None
    group: SecurityGroup | None = None
    """Whose rule it is, or who denies the direction. None as well as `rule`: it is the default of
    the network or the tenant."""

    @property
    def is_allowed(self) -> bool:
        """Whether the flow is let through."""
        return self.action is Action.ALLOW


def is_let_through(
    view: View, port: Port, direction: Direction, remote: Remote, packet: Packet
) -> bool:
    """Whether a new flow in that direction goes on, as far as this port goes."""
    return (
        exemption(view, port, direction, remote, packet) is not None
        or judge(view, port, direction, remote, packet).is_allowed
    )


def judge(view: View, port: Port, direction: Direction, remote: Remote, packet: Packet) -> Ruling:
    """What becomes of a new flow in that direction that is not exempt, as far as this port goes."""
    groups = [view.get(SecurityGroup, id) for id in view.ask(groups_of, port.id)]
    found = [group for group in groups if group is not None]
    matching = [
        (rule, group)
        for group in found
        for rule in view.by(SecurityRule, "group_id", group.id)
        if rule.direction is direction and is_meant(view, rule, group, remote, packet)
    ]
    for tier in TIERS:
        in_tier = [each for each in matching if each[0].tier is tier]
        if in_tier:
            rule, group = min(in_tier, key=lambda each: rank(each[0]))
            if rule.action is not Action.PASS:
                return Ruling(rule.action, rule, group)
        elif tier is Tier.NORMAL:
            denying = next((group for group in found if direction in group.denied), None)
            if denying is not None:
                return Ruling(Action.DROP, None, denying)
    is_denied = direction in denied_on(view, port.network_id)
    return Ruling(Action.DROP if is_denied else Action.ALLOW)


def rank(rule: SecurityRule) -> tuple[int, int, str]:
    """The smallest in a tier holds."""
    return rule.priority, STRICTNESS.index(rule.action), rule.id


def denied_on(view: View, network_id: NetworkId) -> tuple[Direction, ...]:
    """The directions in which a network's ports get nothing that no rule allows."""
    network = view.get(Network, network_id)
    if network is None:
        return ()
    if network.denied is not None:
        return network.denied
    tenant = view.get(Tenant, network.tenant_id)
    return () if tenant is None else tenant.denied


def is_meant(
    view: View, rule: SecurityRule, group: SecurityGroup, remote: Remote, packet: Packet
) -> bool:
    """Whether a rule of that group is about such a flow."""
    if rule.family is not None and rule.family != remote.address.version:
        return False
    return _is_protocol(rule, packet) and _is_peer(view, rule, group, remote)


def exemption(
    view: View, port: Port, direction: Direction, remote: Remote, packet: Packet
) -> Exemption | None:
    """Why a packet is never judged; None: it is."""
    if remote.address in port.addresses:
        return Exemption.OWN
    if packet.protocol == _IGMP:
        return Exemption.MEMBERSHIP
    if packet.protocol == ICMPV6 and packet.icmp_type in _MEMBERSHIP:
        return Exemption.MEMBERSHIP
    if packet.protocol == ICMPV6 and packet.icmp_type in _DISCOVERY:
        return Exemption.DISCOVERY
    if _is_dhcp(direction, remote, packet):
        return Exemption.DHCP
    network = view.get(Network, port.network_id)
    if network is None:
        return None
    if direction is Direction.INGRESS:
        is_admitted = port.admits_host or network.admits_host
        return Exemption.HOST if is_admitted and _is_host_of(port, remote) else None
    is_free = not network.judges_dns and asks_dns(view, port, remote, packet)
    return Exemption.DNS if is_free else None


def asks_dns(view: View, port: Port, remote: Remote, packet: Packet) -> bool:
    """Whether what a port sends is a query that Weft's DNS server gets: to a gateway of its
    network, to a resolver of its host, or to the server's own address."""
    if packet.protocol not in (UDP, TCP) or packet.destination_port != _DNS_PORT:
        return False
    if remote.port is not None:
        return False
    address = remote.address
    if address in _SERVERS or address in gateways(view, port.network_id):
        return True
    host = None if port.host_id is None else view.get(Host, port.host_id)
    return host is not None and address in (*host.resolvers, *host.former_resolvers)


def gateways(view: View, network_id: NetworkId) -> set[IPAddress]:
    """Addresses at which a network's ports reach gateways and routers on it."""
    found = {each.gateway for each in view.by(Subnet, "network_id", network_id) if each.gateway}
    routers = view.by(RouterPort, "network_id", network_id)
    return found | {address for each in routers for address in each.addresses}


def _is_dhcp(direction: Direction, remote: Remote, packet: Packet) -> bool:
    ends = packet.source_port, packet.destination_port
    own, other = ends if direction is Direction.EGRESS else ends[::-1]
    return packet.protocol == UDP and (own, other) == _DHCP[remote.address.version]


def _is_host_of(port: Port, remote: Remote) -> bool:
    """Whether it is the own host that sends, from its place on the port's network."""
    place = remote.port
    return (
        place is not None
        and place.is_host
        and place.host_id == port.host_id
        and place.network_id == port.network_id
    )


def _is_protocol(rule: SecurityRule, packet: Packet) -> bool:
    if rule.protocol is None:
        return True
    if rule.protocol != packet.protocol:
        return False
    if packet.protocol in WITH_PORTS and rule.first_port is not None:
        assert rule.last_port is not None
        return rule.first_port <= packet.destination_port <= rule.last_port
    if packet.protocol in WITH_TYPES and rule.icmp_type is not None:
        return rule.icmp_type == packet.icmp_type and rule.icmp_code in (None, packet.icmp_code)
    return True


def _is_peer(view: View, rule: SecurityRule, group: SecurityGroup, remote: Remote) -> bool:
    peer = rule.peer
    match peer.kind:
        case PeerKind.ANY:
            return True
        case PeerKind.CIDR:
            assert peer.cidr is not None
            return is_in(remote.address, peer.cidr, peer.excepts)
        case PeerKind.NETWORK:
            return remote.network_id == peer.network_id
        case PeerKind.GROUP:
            return any(peer.group_id in view.ask(groups_of, port.id) for port in remote.ports)
        case PeerKind.PORTS:
            assert peer.selector is not None
            return any(
                _tenant_of(view, port) == group.tenant_id and is_selected(port, peer.selector)
                for port in remote.ports
            )
        case _:  # only a newer weft knows whom it means
            return rule.action is not Action.ALLOW


def _tenant_of(view: View, port: Port) -> TenantId | None:
    network = view.get(Network, port.network_id)
    return None if network is None else network.tenant_id


def is_in(address: IPAddress, cidr: IPNetwork, excepts: tuple[IPNetwork, ...] = ()) -> bool:
    """Whether an address is in a prefix, and in no exception."""
    return address in cidr and not any(address in part for part in excepts)
