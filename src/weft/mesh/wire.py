"""Messages as bytes: a version byte, then msgpack.

Hosts are listed once a message and referred to by number. Decoding refuses whatever is not exactly
a message, with `InvalidError` and nothing else: it reads what strangers may have sent.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from weft.errors import InvalidError
from weft.mesh.delta import Delta, Scope, Span
from weft.mesh.digest import Digest
from weft.mesh.messages import Ack, DigestMessage, Hello, Message, Part, Summary
from weft.store.entry import MAX_BODY_BYTES, Entry, Origin

VERSION = 1
MAX_BYTES = 8 * 1024 * 1024

Number: TypeAlias = int
"""As large as msgpack has them: which make sense is for `screen` to say, one by one."""
_Index: TypeAlias = Annotated[int, Meta(ge=0)]
_Body: TypeAlias = Annotated[bytes, Meta(max_length=MAX_BODY_BYTES)]
_Entry: TypeAlias = tuple[_Index, Number, Number, bool, str, str, _Body | None]
"""Origin, sequence, clock, is_owned, kind, id, body."""


class _Span(NamedTuple):
    origin: _Index
    base: Number
    mark: Number


class _Mark(NamedTuple):
    origin: _Index
    mark: Number


class _Wire(msgspec.Struct, array_like=True, frozen=True):
    pass


class _Hello(_Wire, tag=1, frozen=True):
    host: str
    origins: list[Origin]
    marks: list[Number]
    is_answer: bool


class _Summary(_Wire, tag=2, frozen=True):
    digest_hash: int
    checksum: int


class _Digest(_Wire, tag=3, frozen=True):
    origins: list[Origin]
    marks: list[Number]
    is_answer_wanted: bool
    refused: Number


class _Part(_Wire, tag=4, frozen=True):
    transfer: Number
    piece: Number
    is_last: bool
    scope: Scope
    origins: list[Origin]
    spans: list[_Span]
    purged: list[_Mark]
    entries: list[_Entry]


class _Ack(_Wire, tag=5, frozen=True):
    transfer: Number
    next_piece: Number


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Hello | _Summary | _Digest | _Part | _Ack)


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    return bytes([VERSION]) + _ENCODER.encode(_flatten(message))


def decode(data: bytes) -> Message:
    """The message in the bytes; InvalidError says what is wrong with them."""
    if len(data) > MAX_BYTES:
        raise InvalidError(f"mesh message: {len(data)} bytes, at most {MAX_BYTES} are taken")
    if not data:
        raise InvalidError("mesh message: empty")
    if data[0] != VERSION:
        raise InvalidError(
            f"mesh message: format {data[0]}, this weft speaks {VERSION}; "
            "run the same version of weft on all hosts"
        )
    try:
        return _restore(_DECODER.decode(memoryview(data)[1:]))
    except (msgspec.DecodeError, ValueError, IndexError, RecursionError) as error:
        raise InvalidError(f"mesh message: {error}") from error


def _flatten(message: Message) -> _Wire:
    if isinstance(message, Hello):
        marks = message.digest.marks
        return _Hello(message.host, list(marks), list(marks.values()), message.is_answer)
    if isinstance(message, DigestMessage):
        marks = message.digest.marks
        wanted, refused = message.is_answer_wanted, message.refused
        return _Digest(list(marks), list(marks.values()), wanted, refused)
    if isinstance(message, Part):
        return _flatten_part(message)
    if isinstance(message, Ack):
        return _Ack(*message)
    return _Summary(*message)


def _flatten_part(part: Part) -> _Part:
    delta = part.delta
    numbers: dict[Origin, int] = {}
    for origin in (*delta.spans, *delta.purged, *(entry.origin for entry in delta.entries)):
        numbers.setdefault(origin, len(numbers))
    return _Part(
        part.transfer,
        part.piece,
        part.is_last,
        delta.scope,
        list(numbers),
        [_Span(numbers[origin], *span) for origin, span in delta.spans.items()],
        [_Mark(numbers[origin], mark) for origin, mark in delta.purged.items()],
        [
            (
                numbers[entry.origin],
                entry.sequence,
                entry.clock,
                entry.is_owned,
                entry.kind,
                entry.id,
                entry.body,
            )
            for entry in delta.entries
        ],
    )


def _restore(wire: _Wire) -> Message:
    if isinstance(wire, _Hello):
        return Hello(wire.host, _digest(wire.origins, wire.marks), wire.is_answer)
    if isinstance(wire, _Digest):
        digest = _digest(wire.origins, wire.marks)
        return DigestMessage(digest, wire.is_answer_wanted, wire.refused)
    if isinstance(wire, _Part):
        return _part(wire)
    if isinstance(wire, _Ack):
        return Ack(wire.transfer, wire.next_piece)
    assert isinstance(wire, _Summary)
    return Summary(wire.digest_hash, wire.checksum)


def _part(wire: _Part) -> Part:
    origins = wire.origins
    spans = {origins[span.origin]: Span(span.base, span.mark) for span in wire.spans}
    purged = {origins[one.origin]: one.mark for one in wire.purged}
    delta = Delta(wire.scope, _entries(origins, wire.entries), spans, purged)
    return Part(wire.transfer, wire.piece, wire.is_last, delta)


def _entries(origins: Sequence[Origin], wire: Iterable[_Entry]) -> tuple[Entry, ...]:
    """A kind's name is held once, however many entries have it."""
    intern = sys.intern
    return tuple(
        [
            Entry(
                intern(kind),
                id,
                clock,
                origins[number],
                sequence,
                body,
                is_owned,
            )
            for number, sequence, clock, is_owned, kind, id, body in wire
        ]
    )


def _digest(origins: Iterable[Origin], marks: Iterable[int]) -> Digest:
    return Digest(dict(zip(origins, marks, strict=True)))
