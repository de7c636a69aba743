"""Messages as bytes: a version byte, then msgpack.

Hosts are listed once a message and referred to by number. Decoding refuses whatever is not exactly
a message, with `InvalidError` and nothing else: it reads what strangers may have sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from weft.errors import InvalidError
from weft.mesh.delta import Delta, Scope, Span
from weft.mesh.digest import Digest
from weft.mesh.entry import Entry, Origin
from weft.mesh.messages import Ack, DigestMessage, Hello, Message, Part, Summary
from weft.store.clock import Version

VERSION = 1
MAX_BYTES = 8 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024
MAX_NUMBER = 2**62
"""Of clocks, incarnations and sequences: each fits SQLite's integers with room above."""

T = TypeVar("T")


class _Entry(NamedTuple):
    origin: int
    sequence: int
    clock: int
    is_owned: bool
    kind: str
    id: str
    body: bytes | None


class _Span(NamedTuple):
    origin: int
    base: int
    mark: int


class _Mark(NamedTuple):
    origin: int
    mark: int


class _Wire(msgspec.Struct, array_like=True, frozen=True):
    pass


class _Hello(_Wire, tag=1, frozen=True):
    host: str
    origins: list[Origin]
    marks: list[int]
    is_answer: bool


class _Summary(_Wire, tag=2, frozen=True):
    digest_hash: int
    checksum: int


class _Digest(_Wire, tag=3, frozen=True):
    origins: list[Origin]
    marks: list[int]
    is_answer_wanted: bool
    refused: int


class _Part(_Wire, tag=4, frozen=True):
    transfer: int
    piece: int
    is_last: bool
    scope: Scope
    origins: list[Origin]
    spans: list[_Span]
    purged: list[_Mark]
    entries: list[_Entry]


class _Ack(_Wire, tag=5, frozen=True):
    transfer: int
    next_piece: int


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
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
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
            _Entry(
                numbers[entry.origin],
                entry.sequence,
                entry.version.clock,
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
        return DigestMessage(digest, wire.is_answer_wanted, _number(wire.refused))
    if isinstance(wire, _Part):
        return _part(wire)
    if isinstance(wire, _Ack):
        return Ack(_number(wire.transfer), _number(wire.next_piece))
    assert isinstance(wire, _Summary)
    return Summary(wire.digest_hash, wire.checksum)


def _part(wire: _Part) -> Part:
    origins = wire.origins
    spans = {
        _at(origins, span.origin): Span(_number(span.base), _number(span.mark))
        for span in wire.spans
    }
    purged = {_at(origins, one.origin): _number(one.mark) for one in wire.purged}
    entries = tuple(_entry(origins, entry) for entry in wire.entries)
    delta = Delta(wire.scope, entries, spans, purged)
    return Part(_number(wire.transfer), _number(wire.piece), wire.is_last, delta)


def _entry(origins: list[Origin], wire: _Entry) -> Entry:
    origin = _at(origins, wire.origin)
    if wire.body is not None and len(wire.body) > MAX_BODY_BYTES:
        raise ValueError(f"{wire.kind} {wire.id}: body of {len(wire.body)} bytes")
    return Entry(
        wire.kind,
        wire.id,
        Version(_number(wire.clock), origin.host),
        origin,
        _number(wire.sequence),
        wire.body,
        wire.is_owned,
    )


def _digest(origins: Iterable[Origin], marks: list[int]) -> Digest:
    pairs: Mapping[Origin, int] = dict(zip(origins, map(_number, marks), strict=True))
    for origin in pairs:
        _check(origin)
    return Digest(pairs)


def _at(origins: list[Origin], index: int) -> Origin:
    if not 0 <= index < len(origins):
        raise ValueError(f"origin {index} of {len(origins)}")
    return _check(origins[index])


def _check(origin: Origin) -> Origin:
    if not origin.host:
        raise ValueError("an origin without a host")
    _number(origin.incarnation)
    return origin


def _number(value: int) -> int:
    if not 0 <= value < MAX_NUMBER:
        raise ValueError(f"number {value}: must be 0..{MAX_NUMBER - 1}")
    return value
