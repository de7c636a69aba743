"""What `weft policy test` asks and is told."""

from __future__ import annotations

from typing import Literal

from weft.api.schema.base import Answer
from weft.api.schema.groups import RuleInfo
from weft.control.specs import Spec
from weft.model.values import Octet, PortNumber


class PolicyTestQuery(Spec, frozen=True, kw_only=True):
    """Says which flow. Without a protocol it is ICMP, and without a type a ping."""

    source: str
    """A port's name or id, a container's name, or an address."""
    destination: str
    protocol: str | None = None
    """A name, such as tcp, or a number."""
    port: PortNumber | None = None
    """Of the destination, with TCP, UDP and SCTP."""
    source_port: PortNumber | None = None
    icmp_type: Octet | None = None
    icmp_code: Octet | None = None
    family: Literal[4, 6] | None = None
    """null: that of the addresses, or IPv4 if both ends have some."""


class JudgedEnd(Answer, frozen=True, kw_only=True):
    """One end of a flow that was tested."""

    address: str
    port_id: str | None
    """null: no port's."""
    name: str | None
    """How the workload is called."""
    network: str | None
    """null: outside of all networks."""
    network_id: str | None


class JudgementInfo(Answer, frozen=True, kw_only=True):
    """What the security groups of one port say of a flow."""

    port_id: str
    name: str
    direction: str
    """``egress`` of the sender, ``ingress`` of the receiver."""
    verdict: str
    """``allow``, ``drop``, ``reject``."""
    is_exempt: bool
    """Whether such packets are never judged."""
    group: str | None
    """Whose rule it is, or who denies the direction; null: it is the default of network or
    tenant."""
    rule: RuleInfo | None
    """null: no rule decided."""
    reason: str


class PolicyTestInfo(Answer, frozen=True, kw_only=True):
    """What becomes of a flow, from records alone."""

    source: JudgedEnd
    destination: JudgedEnd
    protocol: int
    port: int | None
    icmp_type: int | None
    icmp_code: int | None
    routers: tuple[str, ...]
    """Names of those that it passes."""
    verdict: str
    """``allowed``, ``dropped``, ``rejected``, or ``no-way``: nothing leads there."""
    obstacle: str
    """Why nothing leads there."""
    judgements: tuple[JudgementInfo, ...]
    """Egress of the sender, then ingress of the receiver, as far as these are ports."""
