"""Messages survive the wire, and rubbish is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weft.errors import InvalidError
from weft.mesh import wire
from weft.mesh.delta import Delta, Span
from weft.mesh.digest import Digest
from weft.mesh.messages import Ack, DigestMessage, Hello, Message, Part, Summary
from weft.store.entry import Entry, Origin

_hosts = st.sampled_from(["a", "b", "c" * 16])
_numbers = st.integers(0, 2**64 - 1)
_origins = st.builds(Origin, _hosts, _numbers)
_digests = st.dictionaries(_origins, _numbers.filter(bool), max_size=5).map(Digest)


@st.composite
def _entries(draw: st.DrawFn) -> Entry:
    origin = draw(_origins)
    return Entry(
        draw(st.text(max_size=9)),
        draw(st.text(max_size=9)),
        draw(_numbers),
        origin,
        draw(_numbers),
        draw(st.none() | st.binary(max_size=40)),
        draw(st.booleans()),
    )


_deltas = st.builds(
    Delta,
    st.sampled_from(["increment", "full", "repair"]),
    st.lists(_entries(), max_size=5).map(tuple),
    st.dictionaries(_origins, st.builds(Span, _numbers, _numbers), max_size=4),
    st.dictionaries(_origins, _numbers, max_size=4),
)
_messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, _hosts, _digests, st.booleans()),
    st.builds(Summary, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    st.builds(DigestMessage, _digests, st.booleans(), _numbers),
    st.builds(Part, _numbers, _numbers, st.booleans(), _deltas),
    st.builds(Ack, _numbers, _numbers),
)


@given(_messages)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    assert wire.decode(wire.encode(message)) == message


@given(_messages, st.data())
def test_truncated_and_altered_messages_are_read_or_refused(
    message: Message, data: st.DataObject
) -> None:
    whole = bytearray(wire.encode(message))
    place = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(InvalidError):
        wire.decode(bytes(whole[:place]))
    whole[place] = data.draw(st.integers(0, 255))
    _read_or_refuse(bytes(whole))


@given(st.binary(max_size=200))
@example(b"\x01" + b"\x91" * 5000)
@example(b"\x01" + msgspec.msgpack.encode([3, [["", 1]], [1], False, 0]))
@example(b"\x01" + msgspec.msgpack.encode([3, [["a", 1]], [], False, 0]))
@example(b"\x01" + msgspec.msgpack.encode([5, -1, 2**63]))
@example(b"\x01" + msgspec.msgpack.encode([4, 1, 0, True, "full", [], [[7, 0, 1]], [], []]))
def test_rubbish_is_refused_and_raises_nothing_else(data: bytes) -> None:
    _read_or_refuse(data)
    _read_or_refuse(b"\x01" + data)


def test_another_format_and_too_much_are_named() -> None:
    with pytest.raises(InvalidError, match="format 9"):
        wire.decode(b"\x09")
    with pytest.raises(InvalidError, match="at most"):
        wire.decode(bytes(wire.MAX_BYTES + 1))


def _read_or_refuse(data: bytes) -> None:
    try:
        wire.decode(data)
    except InvalidError as error:
        assert str(error).startswith("mesh message")
