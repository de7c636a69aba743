"""Security groups: who may talk to whom.

A group has members and rules. A rule is about the flows of the group's members, and says of one
kind of flow what becomes of it. What follows from all rules together is `semantics/policy.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from weft.model.addresses import IPNetwork, contains
from weft.model.choices import Action, Direction, Operator, PeerKind, Tier
from weft.model.ids import GroupId, NetworkId, RuleId, TenantId
from weft.model.records.base import Part, Record
from weft.model.records.tenants import DEFAULT_TENANT
from weft.model.values import (
    NetworkName,
    Octet,
    PerSecond,
    PortNumber,
    Priority,
    Protocol,
    Text,
    Words,
)

TCP, UDP, ICMP, ICMPV6, SCTP = 6, 17, 1, 58, 132
WITH_PORTS = frozenset({TCP, UDP, SCTP})
WITH_TYPES = frozenset({ICMP, ICMPV6})
MAX_REQUIREMENTS = 32
MAX_VALUES = 256
MAX_EXCEPTS = 256


class Requirement(Part, frozen=True, kw_only=True):
    """What a label of a port must be."""

    key: Words
    operator: Operator = Operator.IN
    values: Annotated[tuple[Words, ...], Meta(max_length=MAX_VALUES)] = ()
    """Of IN and NOT_IN."""


class Selector(Part, frozen=True, kw_only=True):
    """Ports whose labels are all as required. Without requirements: every port."""

    requirements: Annotated[tuple[Requirement, ...], Meta(max_length=MAX_REQUIREMENTS)] = ()


class SecurityGroup(Record, frozen=True, kw_only=True):
    """Ports that rules are about, as members or as who is at the other end."""

    KIND = "security-group"
    INDEXED = ("name", "tenant_id")
    id: GroupId
    name: NetworkName
    tenant_id: TenantId = DEFAULT_TENANT
    description: Text = ""
    labels: tuple[tuple[Words, Words], ...] = ()
    selector: Selector | None = None
    """Ports of the tenant that it selects are members, beside those that name the group."""
    networks: tuple[NetworkId, ...] = ()
    """Where it selects; empty: on all networks of the tenant."""
    denied: tuple[Direction, ...] = ()
    """In these directions a member's new flows are let through only if a rule allows them."""


class Peer(Part, frozen=True, kw_only=True):
    """Who is at the other end. `kind` says which of the other fields counts."""

    kind: PeerKind = PeerKind.ANY
    group_id: GroupId | None = None
    network_id: NetworkId | None = None
    """Whoever is on it."""
    cidr: IPNetwork | None = None
    """Whoever has such an address, a port or not."""
    excepts: Annotated[tuple[IPNetwork, ...], Meta(max_length=MAX_EXCEPTS)] = ()
    """Prefixes in `cidr` that are not meant."""
    selector: Selector | None = None
    """Ports of the group's tenant."""

    def __post_init__(self) -> None:
        """Raise ValueError when what `kind` needs is not there, or an exception lies outside."""
        needed = {
            PeerKind.GROUP: self.group_id,
            PeerKind.NETWORK: self.network_id,
            PeerKind.CIDR: self.cidr,
            PeerKind.PORTS: self.selector,
        }
        if needed.get(self.kind, self) is None:
            raise ValueError(f"a rule for a {self.kind} that does not say which")
        if self.cidr is None:
            return
        for part in self.excepts:
            if not contains(self.cidr, part):
                raise ValueError(f"except {part}: lies outside {self.cidr}")


class SecurityRule(Record, frozen=True, kw_only=True):
    """What becomes of one kind of new flow of a group's members."""

    KIND = "security-rule"
    INDEXED = ("group_id", "peer_group_id")
    id: RuleId
    group_id: GroupId
    """Whose members it is about."""
    direction: Direction
    action: Action
    tier: Tier = Tier.NORMAL
    priority: Priority = 1000
    """In its tier; the smallest goes first. On equal ones the stricter action holds."""
    peer: Peer = Peer()
    family: Literal[4, 6] | None = None
    protocol: Protocol | None = None
    """None: any."""
    first_port: PortNumber | None = None
    """Of the destination, with TCP, UDP and SCTP; None: any."""
    last_port: PortNumber | None = None
    icmp_type: Octet | None = None
    """With ICMP and ICMPv6; None: any."""
    icmp_code: Octet | None = None
    is_stateless: bool = False
    """Nothing is remembered of what it allows: answers need a rule of their own."""
    keeps_flows: bool = False
    """Flows that it has allowed go on when it goes."""
    logs_per_s: PerSecond | None = None
    """How many new flows it logs at most, on each host. None: it logs none."""
    description: Text = ""

    def check(self) -> None:
        """See `Record.check`."""
        if (self.first_port is None) != (self.last_port is None):
            raise ValueError("a range of ports has a first and a last one")
        if self.first_port is not None and self.last_port is not None:
            if self.protocol not in WITH_PORTS:
                raise ValueError("only TCP, UDP and SCTP have ports")
            if self.first_port > self.last_port:
                raise ValueError(f"ports {self.first_port} to {self.last_port}: none")
        if self.icmp_type is not None and self.protocol not in WITH_TYPES:
            raise ValueError("only ICMP and ICMPv6 have types")
        if self.icmp_code is not None and self.icmp_type is None:
            raise ValueError("a code of ICMP needs its type")

    @property
    def peer_group_id(self) -> GroupId | None:
        """The group that is at the other end, if one is."""
        return self.peer.group_id if self.peer.kind is PeerKind.GROUP else None
