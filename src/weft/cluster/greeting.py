"""What two hosts say to each other before a link is up, and the small frames on it later.

Decoding reads what strangers may have sent: it raises InvalidError and nothing else. The keys of a
hello are names, and unknown ones are skipped, so that versions of weft can differ.
"""

from __future__ import annotations

import enum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from weft.errors import InvalidError
from weft.readiness import ready

PROTOCOL = 1
OLDEST_PROTOCOL = 1
"""A link needs one version that both ends speak."""

Id = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
Text = Annotated[str, Meta(max_length=255)]
LongText = Annotated[str, Meta(max_length=1000)]
Number = Annotated[int, Meta(ge=0, lt=2**62)]
Seconds = Annotated[float, Meta(gt=-1e12, lt=1e12)]

T = TypeVar("T")


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The host that speaks."""

    protocol: Number
    oldest_protocol: Number
    host_id: Id
    name: Text
    version: Text
    cluster_id: Id
    is_cluster_certain: bool
    instance: Text
    boot_id: Text
    secret_id: Id
    """Of the newest secret."""
    secret_serial: Number
    ask_version: Number = 0
    """How it asks and answers other hosts (`ask_messages.py`); 0: it does not."""


class Because(enum.StrEnum):
    """Why a link is refused or ended."""

    DUPLICATE = "duplicate"
    """There is one already; nothing is wrong."""
    UNWANTED = "unwanted"
    """Neither end wants it any more; nothing is wrong."""
    OURSELVES = "ourselves"
    """Both ends are one process; nothing is wrong."""
    LEAVING = "leaving"
    """weftd stops."""
    CLONE = "clone"
    REMOVED = "removed"
    FOREIGN = "foreign"
    PROTOCOL = "protocol"
    IDENTITY = "identity"
    CLOSED = "closed"
    """Another reason, which the text says."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """No link, or no longer, and why."""

    because: Text
    """One of `Because`, or what a newer weft says."""
    reason: LongText = ""
    fix: LongText = ""


class Ping(msgspec.Struct, frozen=True, array_like=True):
    """Sent to be answered."""

    number: Number


class Pong(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a ping."""

    number: Number
    wall_s: Seconds
    """Of the host that answers."""


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster's newer secret. Its `repr` shows its serial alone."""

    cluster_id: Id
    secret: Annotated[bytes, Meta(min_length=32, max_length=32)]
    serial: Number
    predecessor_id: Text
    """Empty: everybody has confirmed it already."""

    def __repr__(self) -> str:
        return f"Handover({self.serial})"


class Confirm(msgspec.Struct, frozen=True, array_like=True):
    """The secret that the sender has."""

    secret_id: Id


encode = msgspec.msgpack.encode


def decode(data: bytes, type: type[T]) -> T:
    """A message of this type; InvalidError if the bytes are none."""
    try:
        return msgspec.msgpack.decode(data, type=ready(type))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        reason = "not readable" if type is Handover else str(error)  # not it: no cycle
        raise InvalidError(f"{type.__name__.lower()}: {reason}") from None
