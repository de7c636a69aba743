"""What `weft trace` asks and is told."""

from __future__ import annotations

from weft.api.schema.base import Answer
from weft.api.schema.counters import UnansweredInfo
from weft.api.schema.policy import JudgedEnd, PolicyTestQuery


class TraceQuery(PolicyTestQuery, frozen=True, kw_only=True):
    """Says which flow, as `PolicyTestQuery` does."""

    one_way: bool = False
    """Whether to leave out what answers the packet."""


class TraceStage(Answer, frozen=True, kw_only=True):
    """One decision about a packet."""

    stage: str
    """What decided: ``egress``, ``router``, ``tunnel`` … (docs/trace.md); others may come."""
    decision: str
    """In a sentence."""
    kind: str | None
    """Kind of the record that it rests on, such as ``security-rule``; null: none."""
    id: str | None
    """Of that record."""


class TraceLeg(Answer, frozen=True, kw_only=True):
    """What became of the packet, or of its answer, on one host."""

    host: str
    host_id: str
    is_answer: bool
    """Whether it is about what answers the packet."""
    end: str
    """``delivered``, ``answered`` (by a gateway), ``host`` (the host has it, or sends it outside),
    ``wire`` (on its way to another host), ``dropped``, ``rejected``, ``unsent``."""
    reason: str
    """Why it was dropped: a drop reason of docs/packet-path.md, or empty."""
    stages: tuple[TraceStage, ...]
    """In the order in which they decided."""


class TraceInfo(Answer, frozen=True, kw_only=True):
    """What becomes of a packet, by the programs of the hosts that it passes."""

    source: JudgedEnd
    destination: JudgedEnd
    """As it was asked for."""
    protocol: int
    port: int | None
    source_port: int | None
    icmp_type: int | None
    icmp_code: int | None
    legs: tuple[TraceLeg, ...]
    verdict: str
    """How the packet ends, as in `TraceLeg.end`, or ``unknown``: a host on its way has not told."""
    answer: str | None
    """The same of what answers it; null: nothing does, or it was not asked for."""
    is_through: bool
    """Whether the packet gets there, and its answer back, if there is one."""
    obstacle: str
    """Why not, in a sentence; empty: nothing is in the way."""
    fix: str
    """What to do about it."""
    unanswered: UnansweredInfo | None
    """The host that has not told."""
