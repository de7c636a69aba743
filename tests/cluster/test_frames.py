"""Frames and greetings: whatever bytes come, in whatever pieces, they are read or refused."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.cluster import greeting
from weft.cluster.frames import Frame, FrameReader, Kind, encode
from weft.cluster.greeting import Confirm, Handover, Hello, Ping, Pong, Refusal
from weft.errors import InvalidError

PIECES = st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=200)), max_size=20)
IDS = st.text("0123456789abcdef", min_size=16, max_size=16)
NUMBERS = st.integers(0, 2**62 - 1)
TEXTS = st.text(max_size=255)
HELLOS = st.builds(
    Hello,
    protocol=NUMBERS,
    oldest_protocol=NUMBERS,
    host_id=IDS,
    name=TEXTS,
    version=TEXTS,
    cluster_id=IDS,
    is_cluster_certain=st.booleans(),
    instance=TEXTS,
    boot_id=TEXTS,
    secret_id=IDS,
    secret_serial=NUMBERS,
    ask_version=NUMBERS,
)
TYPES = (Hello, Refusal, Ping, Pong, Handover, Confirm)


def taken(reader: FrameReader) -> list[Frame]:
    frames = []
    while (frame := reader.take()) is not None:
        frames.append(frame)
    return frames


@given(PIECES, st.lists(st.integers(0, 300), max_size=50))
def test_frames_are_read_however_the_stream_is_cut(
    pieces: list[tuple[Kind, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(encode(kind, payload) for kind, payload in pieces)
    reader = FrameReader(200)
    frames = []
    for cut in cuts:
        reader.feed(stream[:cut])
        stream = stream[cut:]
        frames += taken(reader)
    reader.feed(stream)
    frames += taken(reader)
    assert frames == [Frame(kind, payload) for kind, payload in pieces]
    assert reader.held_bytes == 0


@given(st.integers(201, 2**32 - 1))
def test_a_frame_above_the_limit_is_refused_by_its_header_alone(length: int) -> None:
    reader = FrameReader(200)
    reader.feed(length.to_bytes(4, "big") + b"\x01")
    with pytest.raises(InvalidError, match="at most 200"):
        reader.take()


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_garbage_is_frames_or_refused_and_never_more(stream: list[bytes]) -> None:
    reader = FrameReader(200)
    for data in stream:
        reader.feed(data)
        try:
            frames = taken(reader)
        except InvalidError:
            return
        assert all(len(frame.payload) <= 200 for frame in frames)
        assert reader.held_bytes <= 200 + 5


@given(HELLOS)
def test_a_hello_is_read_back(hello: Hello) -> None:
    assert greeting.decode(greeting.encode(hello), Hello) == hello


@given(st.binary(max_size=400), st.sampled_from(TYPES))
def test_no_bytes_do_more_than_be_refused(data: bytes, type: type) -> None:
    try:
        greeting.decode(data, type)
    except InvalidError as error:
        assert len(str(error)) < 400


@given(HELLOS, st.data())
def test_a_damaged_hello_is_read_or_refused(hello: Hello, data: st.DataObject) -> None:
    damaged = bytearray(greeting.encode(hello))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        greeting.decode(bytes(damaged), Hello)
    except InvalidError:
        return


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, 1e300])
def test_a_clock_that_is_none_is_refused_or_not_used(seconds: float) -> None:
    data = greeting.encode(Pong(1, seconds))
    try:
        assert not math.isfinite(greeting.decode(data, Pong).wall_s)
    except InvalidError:
        return


def test_a_hello_of_a_newer_weft_is_read() -> None:
    said = {
        **msgspec.to_builtins(
            Hello(
                protocol=2,
                oldest_protocol=1,
                host_id="0" * 16,
                name="h",
                version="9",
                cluster_id="0" * 16,
                is_cluster_certain=True,
                instance="i",
                boot_id="",
                secret_id="0" * 16,
                secret_serial=1,
            )
        ),
        "colour": "green",
    }
    assert greeting.decode(greeting.encode(said), Hello).protocol == 2


def test_a_handover_that_is_damaged_shows_nothing_of_it() -> None:
    data = greeting.encode({"secret": b"s3cr3t" * 5, "serial": 1})
    with pytest.raises(InvalidError) as raised:
        greeting.decode(data, Handover)
    assert "s3cr3t" not in str(raised.value)
    assert "s3cr3t" not in repr(
        Handover(cluster_id="0" * 16, secret=b"s3cr3t" * 6, serial=1, predecessor_id="")
    )
