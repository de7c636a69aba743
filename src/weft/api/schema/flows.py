"""Connections of ports that have rules."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from weft.api.schema.base import Answer
from weft.api.schema.counters import UnansweredInfo
from weft.control.specs import Spec


class FlowEnd(Answer, frozen=True, kw_only=True):
    """One end of a connection."""

    address: str
    port: int | None
    """Of TCP, UDP and SCTP; of ping its identifier. null: the protocol has none."""
    port_id: str | None
    """The port that has the address now. null: none has."""
    name: str | None
    """That port's first name."""
    host: str | None
    """The name of the host on which it is."""
    network: str | None
    """The network on which this end is, with its tenant but for the default one. null: it is
    outside of all that routers lead to."""
    network_id: str | None


class FlowRule(Answer, frozen=True, kw_only=True):
    """The rule that decided, or the group that denies what its rules do not allow."""

    id: str
    group: str | None
    """The security group, with its tenant but for the default one. null: the rule is gone, or
    the group is."""
    text: str | None
    """The rule as `weft group rule ls` prints it. null: it is gone, or it is no rule: the group
    denies the direction."""


class FlowInfo(Answer, frozen=True, kw_only=True):
    """One connection. `source` is who began it."""

    protocol: str
    """``tcp``, ``udp``, ``sctp``, ``icmp``, ``icmpv6``, or its number."""
    source: FlowEnd
    destination: FlowEnd
    icmp_type: int | None
    icmp_code: int | None
    network: str | None
    """The network on which it began, with its tenant but for the default one; where that is none,
    the one to which it came. null: it is gone."""
    network_id: str | None
    state: Literal["new", "established", "closing", "closed", "denied"]
    """``new``: nothing has come back yet. ``closing``: one end has closed it. ``closed``: both
    have, or it was reset. ``denied``: the rules let none of it pass."""
    verdict: Literal["allowed", "denied"]
    denied_by: Literal["egress", "ingress"] | None
    """Whose rules: of the source's port, or of the destination's."""
    egress_rule: FlowRule | None
    """The rule that let it out, or denied that. null: no rule of its own decided."""
    ingress_rule: FlowRule | None
    packets: int
    """That the source has sent, with their headers in `bytes`; of what is denied those that were
    dropped."""
    bytes: int
    answer_packets: int
    answer_bytes: int
    began_s: float
    seen_s: float
    """When its last packet came."""
    ended_s: float | None
    """When it was found to be over; null: it is not."""
    hosts: tuple[str, ...]
    """The hosts that have seen it, by name."""


class FlowTableInfo(Answer, frozen=True, kw_only=True):
    """How full the table of connections of this host was at the last look, seconds ago."""

    entries: dict[str, int]
    """By family, ``ipv4`` and ``ipv6``; a connection has two."""
    room: dict[str, int]
    """How many there may be."""
    refused: int
    """Entries for which there was no room, since the host started."""
    over_share: int
    """Entries that were refused since their port has as many as it may."""


class FlowList(Answer, frozen=True, kw_only=True):
    """Connections of this host, or of all, those that began last first."""

    flows: tuple[FlowInfo, ...]
    is_whole: bool
    """false: there are more, which began earlier."""
    unanswered: tuple[UnansweredInfo, ...] = ()
    """Hosts that have not told theirs, or not all."""
    table: FlowTableInfo
    """Of this host, whichever was asked for."""


class FlowLine(Answer, frozen=True, kw_only=True):
    """One line of what `GET /v1/flows/watch` answers."""

    event: Literal["began", "denied", "ended", "missed", "unanswered"]
    """``missed``: connections that nobody is told of, for there were too many. ``unanswered``: a
    host has not told its own, and is asked again; what it then tells reaches back two minutes."""
    flow: FlowInfo | None = None
    missed: int = 0
    """How many, with ``missed``."""
    unanswered: UnansweredInfo | None = None
    """Which host, with ``unanswered``; it is named again when it has answered in between."""


class FlowsQuery(Spec, frozen=True, kw_only=True):
    """Says which connections."""

    port: str | None = None
    """With this port at one end: a name or an id."""
    network: str | None = None
    host: str | None = None
    """As this host has seen them. null: the one that is asked."""
    all: bool = False
    """As all hosts have seen them."""
    verdict: Literal["allowed", "denied"] | None = None
    since_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] | None = None
    """Seen in the last so many seconds, also those that have ended. null: those that have not; of
    what was denied, all that is remembered if just that is asked for."""
    most: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    """Of each host."""


class FlowsWatchQuery(Spec, frozen=True, kw_only=True):
    """Says of which connections to tell."""

    port: str | None = None
    network: str | None = None
    host: str | None = None
    """As this host has seen them. null: the one that is asked."""
    all: bool = False
    """As all hosts have seen them, those of others some seconds later."""
    verdict: Literal["allowed", "denied"] | None = None
