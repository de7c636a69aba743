"""What becomes of a packet on one host, and the inquiry by which hosts ask for each other's part.

A trace is a list of moves on each host: it is asked again from the first one, for what a host
makes of an answer depends on the packet before it, and nothing is remembered between two inquiries.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from weft.cluster.inquiry import Inquiry
from weft.model.addresses import IPAddress
from weft.model.values import HostIdText, Id, LongText, Octet, PortNumber, Protocol, Word

MOST_MOVES = 4
MOST_STAGES = 32
MOST_FRAME_BYTES = 2048


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """The first one of a flow."""

    protocol: Protocol
    source: IPAddress
    destination: IPAddress
    source_port: PortNumber = 0
    """Of ICMP the identifier."""
    destination_port: PortNumber = 0
    icmp_type: Octet = 0
    icmp_code: Octet = 0


class Move(enum.StrEnum):
    """What a packet comes to a host by."""

    SENT = "sent"
    """A port of the host sends it."""
    ENTERED = "entered"
    """The host sends it into its networks."""
    ARRIVED = "arrived"
    """From another host."""
    ANSWERED = "answered"
    """It answers the one of the move before, by whoever has got that."""


class Moving(msgspec.Struct, frozen=True, array_like=True):
    """One move."""

    move: Move
    port_id: Id | None = None
    """With SENT: whose."""
    packet: Packet | None = None
    """With SENT and ENTERED."""
    frame: Annotated[bytes, Meta(max_length=MOST_FRAME_BYTES)] = b""
    """With ARRIVED: as it left the other host."""
    is_encrypted: bool = False
    """It came through WireGuard."""


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """For what becomes of packets on the host that is asked, one after the other."""

    moves: Annotated[tuple[Moving, ...], Meta(min_length=1, max_length=MOST_MOVES)]


class Stage(msgspec.Struct, frozen=True, array_like=True):
    """One decision about a packet."""

    stage: Word
    """``port``, ``egress``, ``router`` …: see docs/trace.md. Others may come."""
    decision: LongText
    kind: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,31}\Z")] = ""
    """Of the record that made it; empty: none did."""
    id: Annotated[str, Meta(max_length=128, pattern=r"^[!-~]*\Z")] = ""


class End(enum.StrEnum):
    """How a packet's way on a host ends."""

    DELIVERED = "delivered"
    """To a port here."""
    ANSWERED = "answered"
    """By a gateway or router: the sender gets the answer."""
    HOST = "host"
    """The host has it: its own, or it routes it to the outside."""
    WIRE = "wire"
    """On its way to another host."""
    REJECTED = "rejected"
    """Dropped, and its sender told."""
    DROPPED = "dropped"
    UNSENT = "unsent"
    """Nobody sends it: nothing is plugged in, or the workload knows no way there."""


class Moved(msgspec.Struct, frozen=True, array_like=True):
    """What became of one move."""

    end: End
    stages: Annotated[tuple[Stage, ...], Meta(max_length=MOST_STAGES)]
    reason: Annotated[str, Meta(pattern=r"^[a-z0-9_]{0,62}\Z")] = ""
    """Why it was dropped: a drop reason of docs/packet-path.md."""
    fix: LongText = ""
    """What to do about that."""
    port_id: Id | None = None
    """That it was delivered to."""
    host_id: HostIdText | None = None
    """The host that it is on its way to, or by way of."""
    frame: Annotated[bytes, Meta(max_length=MOST_FRAME_BYTES)] = b""
    """As it left, with WIRE."""
    is_encrypted: bool = False


TRACES: Inquiry[Asked, Moved] = Inquiry("traces", Asked, Moved)
