"""Requests to etcd's JSON gateway and its answers.

Keys and values are bytes, in base64 on the wire; 64-bit numbers come as text. A field that has its
default is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from weft.readiness import ready

T = TypeVar("T")

MAX_OPERATIONS = 120
"""In one transaction, and as many comparisons. etcd takes 128 unless it is told otherwise."""
MAX_BYTES = 1_000_000
"""Of the values in one transaction. etcd takes 1.5 MiB in all."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A part of one."""


class Header(Answer, frozen=True):
    """Of an answer."""

    revision: int = 0
    """Of the whole etcd, after this."""


class KeyValue(Answer, frozen=True):
    """One key."""

    key: bytes = b""
    value: bytes = b""
    mod_revision: int = 0


class RangeAnswer(Answer, frozen=True):
    """What is there."""

    header: Header = Header()
    kvs: tuple[KeyValue, ...] = ()
    more: bool = False


class Operation(Answer, frozen=True):
    """One answer of a transaction."""

    response_range: RangeAnswer | None = None


class TxnAnswer(Answer, frozen=True):
    """What became of a transaction."""

    header: Header = Header()
    succeeded: bool = False
    """Whether all comparisons held."""
    responses: tuple[Operation, ...] = ()


class Event(Answer, frozen=True):
    """A change."""

    kv: KeyValue
    type: str = "PUT"


class WatchAnswer(Answer, frozen=True):
    """A piece of a watch's stream."""

    header: Header = Header()
    canceled: bool = False
    cancel_reason: str = ""
    compact_revision: int = 0
    """Not 0: changes since the wanted revision are no more, but those from here on."""
    events: tuple[Event, ...] = ()


class WatchMessage(Answer, frozen=True):
    """A line of it."""

    result: WatchAnswer | None = None
    error: dict[str, object] | None = None


class Member(Answer, frozen=True):
    """Of an etcd cluster."""

    id: int = msgspec.field(default=0, name="ID")
    name: str = ""
    """Empty: was added and has not started yet."""
    peer_urls: tuple[str, ...] = msgspec.field(default=(), name="peerURLs")
    client_urls: tuple[str, ...] = msgspec.field(default=(), name="clientURLs")
    is_learner: bool = msgspec.field(default=False, name="isLearner")


class MembersAnswer(Answer, frozen=True):
    """All members; of an addition, the new one too."""

    members: tuple[Member, ...] = ()
    member: Member = Member()


class Complaint(Answer, frozen=True):
    """Why a request failed."""

    message: str = ""
    error: str = ""
    code: int = 0


class TokenAnswer(Answer, frozen=True):
    """Who is logged in."""

    token: str = ""


class NoAnswer(Answer, frozen=True):
    """Nothing of interest."""


def decode(data: bytes, wanted: type[T]) -> T:
    """msgspec.DecodeError: it is not such an answer."""
    return msgspec.json.decode(data, type=ready(wanted), strict=False)


Request = dict[str, Any]


def put(key: bytes, value: bytes) -> Request:
    """For a transaction."""
    return {"request_put": {"key": key, "value": value}}


def delete(key: bytes, range_end: bytes | None = None) -> Request:
    """For a transaction: a key, or all from it up to `range_end`."""
    span = {"key": key} if range_end is None else {"key": key, "range_end": range_end}
    return {"request_delete_range": span}


def read(key: bytes) -> Request:
    """For a transaction."""
    return {"request_range": {"key": key}}


def is_at(key: bytes, revision: int) -> Request:
    """A comparison: the key was changed last at this revision; 0: it is not there."""
    return {"key": key, "target": "MOD", "mod_revision": revision, "result": "EQUAL"}


def transaction(
    compare: Sequence[Request], success: Sequence[Request], failure: Sequence[Request] = ()
) -> Request:
    """All of `success` if all of `compare` holds, else all of `failure`."""
    return {"compare": list(compare), "success": list(success), "failure": list(failure)}


def end_of(prefix: bytes) -> bytes:
    """The first key after all that begin with a prefix (which does not end in 0xff)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
