"""Frames on a link: four bytes of length, one byte of kind, then so many bytes.

A length above the limit ends the link before anything is kept for it. Kinds that are not known are
skipped, so that a newer weft may send some.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from weft.errors import InvalidError
from weft.mesh.wire import MAX_BYTES

HEADER_BYTES = 5
MAX_FRAME_BYTES = MAX_BYTES
MAX_GREETING_BYTES = 4096
"""Of each frame before the link is up."""


class Kind(enum.IntEnum):
    """What a frame is about."""

    HELLO = 1
    """The host that speaks; the first frame both ways."""
    READY = 2
    """The host that does not decide would have this link."""
    ACCEPT = 3
    """The host that decides has taken this link."""
    REFUSE = 4
    """No link, or its end, and why."""
    PING = 5
    PONG = 6
    MESSAGE = 7
    """Of the mesh."""
    WANTED = 8
    """One byte: whether the sender wants this link for itself."""
    SECRET = 9
    """The cluster's newer secret, for a host that proved that it has the secret before."""
    CONFIRM = 10
    """The id of the secret that the sender has."""
    ASK = 11
    """What one host asks the other, or answers (`ask_messages.py`)."""


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    payload: bytes


def encode(kind: Kind, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    return len(payload).to_bytes(4, "big") + bytes((kind,)) + payload


class FrameReader:
    """Cuts a stream into frames, however it arrives."""

    def __init__(self, limit_bytes: int = MAX_GREETING_BYTES) -> None:
        self.limit_bytes = limit_bytes
        """Of a payload; may be raised between two frames."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._buffer += data

    @property
    def held_bytes(self) -> int:
        """What came and was not taken yet."""
        return len(self._buffer)

    def take(self) -> Frame | None:
        """The next whole frame. InvalidError: what comes is none."""
        buffer = self._buffer
        if len(buffer) < HEADER_BYTES:
            return None
        length = int.from_bytes(buffer[:4], "big")
        if length > self.limit_bytes:
            raise InvalidError(f"a frame of {length} bytes, at most {self.limit_bytes} are taken")
        end = HEADER_BYTES + length
        if len(buffer) < end:
            return None
        frame = Frame(buffer[4], bytes(memoryview(buffer)[HEADER_BYTES:end]))
        del buffer[:end]
        return frame
