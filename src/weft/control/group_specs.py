"""Requests about security groups (see `control.specs`).

A rule is said as text, which `control.rule_text` reads, or field by field; a selector and whoever
is at the other end are always text. Answers and exported files have a rule as text.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from weft.control.specs import DirectionWord, Labels, NetworkName, Spec, TenantName
from weft.model.addresses import IPNetwork
from weft.model.values import Octet, PerSecond, PortNumber, Priority, Protocol, Text

ActionWord = Literal["allow", "drop", "reject", "pass"]
TierWord = Literal["admin", "normal", "baseline"]
ProtocolWord = Literal["tcp", "udp", "sctp", "icmp", "icmpv6", "gre", "esp", "ah"]
DEFAULT_PRIORITY = 1000
MAX_RULES = 10_000
"""Of one group, in one request."""
RuleText: TypeAlias = Annotated[
    str,
    Meta(
        max_length=65536,
        description=(
            "ACTION ingress|egress [ipv4|ipv6] [PROTOCOL [PORT[-PORT] or TYPE[/CODE]]] "
            "[from|to PEER [except PREFIX,…]] [tier admin|normal|baseline] [priority N] "
            "[stateless] [keep] [log N/s] [(description)], such as: allow ingress tcp 80-90 "
            "from group:web"
        ),
    ),
]
SelectorText: TypeAlias = Annotated[
    str,
    Meta(
        max_length=65536,
        description=(
            "What labels must be, with commas between: KEY=VALUE|VALUE…, KEY!=VALUE|VALUE…, KEY "
            "(is there) or !KEY (is not there); * is every port."
        ),
    ),
]


class RuleSpec(Spec, frozen=True, kw_only=True):
    """A rule, field by field."""

    action: ActionWord
    direction: DirectionWord
    """Of the flows that it is about, as the members of the group see them."""
    family: Literal[4, 6] | None = None
    protocol: ProtocolWord | Protocol | None = None
    """A name, or the number in the IP header; null: any."""
    first_port: PortNumber | None = None
    """Of the destination, with TCP, UDP and SCTP; null: any."""
    last_port: PortNumber | None = None
    """null: `first_port`."""
    icmp_type: Octet | None = None
    """With ICMP and ICMPv6; null: any."""
    icmp_code: Octet | None = None
    peer: Annotated[str, Meta(max_length=65536)] = "any"
    """Who is at the other end: any, group:NAME, network:NAME, label:SELECTOR, a prefix or an
    address. Names are those of the group's own tenant."""
    excepts: tuple[IPNetwork, ...] = ()
    """Parts of the prefix that are not meant."""
    tier: TierWord = "normal"
    """Tiers are asked in the order admin, normal, baseline."""
    priority: Priority = DEFAULT_PRIORITY
    """In the tier; the smallest goes first, and on equal ones the strictest action holds."""
    is_stateless: bool = False
    """Nothing is remembered of what it allows: answers need a rule of their own."""
    keeps_flows: bool = False
    """Flows that it has allowed go on when it goes."""
    logs_per_s: PerSecond | None = None
    """How many new flows it logs at most, on each host; null: none."""
    description: Text = ""


AnyRule: TypeAlias = RuleText | RuleSpec
Rules: TypeAlias = Annotated[tuple[AnyRule, ...], Meta(max_length=MAX_RULES)]


class GroupSpec(Spec, frozen=True, kw_only=True):
    """A security group to make."""

    name: NetworkName
    tenant: TenantName = "default"
    """Its tenant, by name. One that is not there is made."""
    description: Text = ""
    labels: Labels = ()
    selector: SelectorText | None = None
    """Ports whose labels are so are members, beside those that name the group."""
    networks: tuple[str, ...] = ()
    """Where it selects; empty: on all networks of the tenant."""
    denied: tuple[DirectionWord, ...] = ()
    """In these directions a member's new flows are let through only if a rule allows them."""
    rules: Rules = ()


class GroupChanges(Spec, frozen=True, kw_only=True):
    """What shall be another way of a security group; what is left out stays as it is."""

    name: NetworkName | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    """All that it shall have."""
    selector: SelectorText | UnsetType | None = UNSET
    """null: only ports that name the group are members."""
    networks: tuple[str, ...] | UnsetType = UNSET
    denied: tuple[DirectionWord, ...] | UnsetType = UNSET
    rules: Rules | UnsetType = UNSET
    """All that it shall have. A rule that it has already stays, and the flows of it."""
