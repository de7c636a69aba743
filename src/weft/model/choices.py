"""Words from a short list, and what a word is taken for that only a newer weft knows.

During an upgrade hosts of two versions share records. A record with an unknown word must not be set
aside, or a port would be unreachable because of a word that this host has no use for. So each list
has a fallback: the member that does least harm where the word is not understood. The word itself
is kept when a host changes another field of the record (`store.shown.carry_unchanged`).

Requests of users are no records: in those an unknown word is an error (`control.specs`).
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from typing import cast


class _FallsBack:
    """Mixed into a list of words: its last one is the fallback."""

    @classmethod
    def _missing_(cls, value: object) -> Enum:
        return list(cast("type[Enum]", cls))[-1]


class Multicasting(_FallsBack, StrEnum):
    """To which ports of a network multicast goes."""

    SNOOP = "snoop"
    """To those that have joined the group."""
    FLOOD = "flood"
    """To all. The fallback: nobody misses what he has joined."""


class Advertising(_FallsBack, StrEnum):
    """Which ports with an address in a subnet get IPv6 router advertisements of it."""

    ATTACHED = "attached"
    """Those of ``weft attach``: not containers, to whose devices their engine tells everything."""
    ALL = "all"
    OFF = "off"
    """None. The fallback: nobody is told what is not understood."""


class Allocator(_FallsBack, StrEnum):
    """Who hands out the addresses of a subnet."""

    WEFT = "weft"
    DOCKER = "docker"
    """Docker counts up from the start of the prefix, so Weft gives from the end."""
    OTHER = "other"
    """The fallback: somebody else, beside whom Weft gives from the end as well."""


class ReservationReason(_FallsBack, StrEnum):
    """Why an address may not be given."""

    GATEWAY = "gateway"
    DOCKER = "docker"
    """Docker asked for it by name, for something that is no port (yet)."""
    REST = "rest"
    """It was used a moment ago."""
    OTHER = "other"
    """The fallback: it is held all the same."""


class TransportProtocol(_FallsBack, StrEnum):
    """Of published ports."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    OTHER = "other"
    """The fallback: nothing is published by this host."""


class LivesWith(_FallsBack, StrEnum):
    """What must exist for a port to exist."""

    NAMESPACE = "namespace"
    """The network namespace that it is plugged into; weftd sees when that is gone."""
    FRONTEND = "frontend"
    """Its frontend says when it goes, and knows what is alive. The fallback: weftd removes nothing
    of which it does not know how it ends."""


class Direction(_FallsBack, StrEnum):
    """Of traffic, as the workload sees it."""

    INGRESS = "ingress"
    EGRESS = "egress"
    OTHER = "other"
    """The fallback: none that there is here."""


class Action(_FallsBack, StrEnum):
    """What becomes of a new flow."""

    ALLOW = "allow"
    PASS = "pass"
    """The next tier decides."""
    REJECT = "reject"
    """It is dropped, and its sender is told."""
    DROP = "drop"
    """The fallback: what is not understood does not get in."""


class Tier(_FallsBack, StrEnum):
    """Who says it; the first tier with a rule for a flow decides."""

    ADMIN = "admin"
    """Whoever runs the cluster, before everybody else."""
    BASELINE = "baseline"
    """Whoever runs the cluster, where nobody else says anything."""
    NORMAL = "normal"
    """Whoever runs the workload. The fallback."""


class PeerKind(_FallsBack, StrEnum):
    """How a rule says who is at the other end."""

    ANY = "any"
    GROUP = "group"
    NETWORK = "network"
    CIDR = "cidr"
    PORTS = "ports"
    """Ports with certain labels."""
    OTHER = "other"
    """The fallback. A rule that allows is then for nobody, every other for anybody."""


class Operator(_FallsBack, StrEnum):
    """What a selector wants of a label."""

    IN = "in"
    NOT_IN = "not-in"
    """It has another value, or is not there."""
    EXISTS = "exists"
    ABSENT = "absent"
    OTHER = "other"
    """The fallback: what nobody knows, no port has."""


class EncryptionStage(_FallsBack, IntEnum):
    """How far a host is with encryption; `topology.encryption` says when it goes on."""

    OFF = 0
    """Sends plain and takes plain; has no WireGuard device."""
    ACCEPTS = 1
    """Sends plain, takes both; its device knows every other host's key."""
    SENDS = 2
    """Sends encrypted, takes both."""
    REFUSES = 3
    """Sends encrypted, and takes nothing else. The fallback: nothing is sent plain to a host that
    does more than is known here."""
