"""A connection as its host has seen it, and the inquiry by which hosts ask for each other's."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from weft.cluster.inquiry import Inquiry
from weft.model.addresses import IPAddress
from weft.model.values import Count, Id, PortNumber, Protocol, UnixSeconds

MOST = 10_000
"""Connections that one host tells at once."""


class FlowWord(enum.StrEnum):
    """How a connection stands."""

    NEW = "new"
    """Nothing has come back yet."""
    ESTABLISHED = "established"
    CLOSING = "closing"
    """One end has closed it."""
    CLOSED = "closed"
    """Both have, or it was reset."""
    DENIED = "denied"
    """The rules let none of it pass."""


class Denial(enum.StrEnum):
    """Whose rules have denied it."""

    EGRESS = "egress"
    """Of the port that began it."""
    INGRESS = "ingress"
    """Of the port that it was for."""


class FlowSeen(msgspec.Struct, frozen=True, array_like=True):
    """One connection, as one host has seen it. `source` is who began it."""

    protocol: Protocol
    source: IPAddress
    destination: IPAddress
    source_port: PortNumber
    """Of ICMP the identifier."""
    destination_port: PortNumber
    """Of ICMP type and code: type * 256 + code."""
    network_id: Id | None
    """None: no record says on which network it is."""
    state: FlowWord
    packets: Count
    """That the source has sent."""
    octets: Count
    answer_packets: Count
    answer_octets: Count
    began_s: UnixSeconds
    """Unix time."""
    seen_s: UnixSeconds
    """When the last packet came."""
    ended_s: UnixSeconds | None = None
    """When it was found to be over. None: it is not."""
    denied_by: Denial | None = None
    egress_rule: Id | None = None
    """The rule that let it out, or denied it. None: the default, or a port without rules."""
    ingress_rule: Id | None = None


class FlowsAsked(msgspec.Struct, frozen=True, array_like=True):
    """For connections of the host that is asked."""

    network_ids: Annotated[tuple[Id, ...], Meta(max_length=50)] = ()
    """With an end on one of these, wherever a router leads it from. Empty: on any."""
    addresses: Annotated[tuple[IPAddress, ...], Meta(max_length=200)] = ()
    """With one of these at either end. Empty: with any."""
    is_denied: bool | None = None
    """None: whether or not."""
    since_s: UnixSeconds | None = None
    """Seen in the last so many seconds, also those that have ended. None: those that have not; if
    just what is denied is asked for, all that is remembered of it."""
    most: Annotated[int, Meta(ge=1, le=MOST)] = 1000
    """So many, the ones that began last."""
    changed_s: UnixSeconds | None = None
    """That began, ended or were denied in the last so many seconds; `since_s` is then not asked.
    None: whenever that was."""


FLOWS: Inquiry[FlowsAsked, FlowSeen] = Inquiry("flows", FlowsAsked, FlowSeen)
