"""Security groups, and what is asked about them."""

from __future__ import annotations

from weft.api.schema.base import Answer
from weft.control.group_specs import AnyRule
from weft.control.specs import Spec


class GroupInfo(Answer, frozen=True, kw_only=True):
    """A security group."""

    id: str
    name: str
    tenant: str
    """The tenant's name."""
    tenant_id: str
    description: str
    labels: dict[str, str]
    selector: str | None
    """Ports whose labels are so are members, beside those that name it; null: none are."""
    networks: tuple[str, ...]
    """Where it selects; empty: on all networks of the tenant."""
    denied: tuple[str, ...]
    """``ingress``, ``egress``: where only that is let through which a rule allows."""
    rule_count: int
    member_count: int
    """Ports on all hosts."""


class GroupList(Answer, frozen=True, kw_only=True):
    """Security groups, by tenant and name."""

    groups: tuple[GroupInfo, ...]


class RuleInfo(Answer, frozen=True, kw_only=True):
    """A rule of a security group."""

    id: str
    text: str
    """All of it, as `weft group rule add` and files take it."""
    action: str
    direction: str
    """``ingress``, ``egress``, as the members of the group see it."""
    family: int | None
    protocol: int | None
    """As an IP header has it; null: any."""
    first_port: int | None
    """Of the destination; null: any."""
    last_port: int | None
    icmp_type: int | None
    icmp_code: int | None
    peer: str
    """Who is at the other end: any, group:NAME, network:NAME, label:SELECTOR, or a prefix."""
    excepts: tuple[str, ...]
    """Parts of the prefix that are not meant."""
    tier: str
    """``admin``, ``normal``, ``baseline``, in this order."""
    priority: int
    """In the tier; the smallest goes first."""
    is_stateless: bool
    """Nothing is remembered of what it allows."""
    keeps_flows: bool
    """Flows that it has allowed go on when it goes."""
    logs_per_s: int | None
    description: str


class RuleList(Answer, frozen=True, kw_only=True):
    """The rules of a group, in the order in which they are asked."""

    rules: tuple[RuleInfo, ...]


class GroupMember(Answer, frozen=True, kw_only=True):
    """A port that is a member of a group."""

    port_id: str
    names: tuple[str, ...]
    network: str
    host: str | None
    """null: it is on none (yet)."""
    addresses: tuple[str, ...]
    is_named: bool
    """Whether the port names the group; if not, the group selects its labels."""


class GroupDetail(GroupInfo, frozen=True, kw_only=True):
    """A security group with its rules and members."""

    rules: tuple[RuleInfo, ...]
    members: tuple[GroupMember, ...]
    """By network and name."""


class GroupQuery(Spec, frozen=True, kw_only=True):
    """Limits a list to one tenant."""

    tenant: str | None = None


class RuleRequest(Spec, frozen=True, kw_only=True):
    """A rule to add, or to put in the place of another."""

    rule: AnyRule
