"""Words from a short list, and what a word is taken for that only a newer weft knows.

During an upgrade hosts of two versions share records. A record with an unknown word must not be set
aside, or a port would be unreachable because of a word that this host has no use for. So each list
has a fallback: the member that does least harm where the word is not understood. The word itself
is kept when a host changes another field of the record (`store.shown.carry_unchanged`).

Requests of users are no records: in those an unknown word is an error (`control.specs`).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Self


class Multicasting(StrEnum):
    """To which ports of a network multicast goes."""

    SNOOP = "snoop"
    """To those that have joined the group."""
    FLOOD = "flood"
    """To all. The fallback: nobody misses what he has joined."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(cls.FLOOD)


class Allocator(StrEnum):
    """Who hands out the addresses of a subnet."""

    WEFT = "weft"
    DOCKER = "docker"
    """Docker counts up from the start of the prefix, so Weft gives from the end."""
    OTHER = "other"
    """The fallback: somebody else, beside whom Weft gives from the end as well."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(cls.OTHER)


class ReservationReason(StrEnum):
    """Why an address may not be given."""

    GATEWAY = "gateway"
    DOCKER = "docker"
    """Docker asked for it by name, for something that is no port (yet)."""
    REST = "rest"
    """It was used a moment ago."""
    OTHER = "other"
    """The fallback: it is held all the same."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(cls.OTHER)


class TransportProtocol(StrEnum):
    """Of published ports."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    OTHER = "other"
    """The fallback: nothing is published by this host."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(cls.OTHER)


class LivesWith(StrEnum):
    """What must exist for a port to exist."""

    FRONTEND = "frontend"
    """Its frontend says when it goes, and knows what is alive. The fallback: weftd removes nothing
    of which it does not know how it ends."""
    NAMESPACE = "namespace"
    """The network namespace that it is plugged into; weftd sees when that is gone."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(cls.FRONTEND)


class EncryptionStage(IntEnum):
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

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(cls.REFUSES)
