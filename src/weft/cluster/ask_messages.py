"""What two linked hosts say to each other when one asks the other: the payloads of `Kind.ASK`.

    asks:     Asked ----------------> Taken -> Taken … ----> (Dropped)
    answers:        Piece … x WINDOW          Piece …        Piece, the last; or Failed

An answer is cut into pieces, so that it holds up no other frame of the link. At most `WINDOW`
pieces are under way that the host that asked has not taken; so what either end keeps for an
inquiry, and what is queued on the link, is bounded, however long the answer is.

Decoding reads what a hostile member may have sent: it raises InvalidError and nothing else. A
message that is none costs the inquiry that it was about its time, and never the link. A newer weft
may add fields at the end, and further messages, which are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw

from weft.cluster.greeting import Number, Text
from weft.errors import InvalidError
from weft.model.codec import decode_hook, encode_hook
from weft.readiness import ready

T = TypeVar("T")

VERSION = 1
"""Said in the hello; a host that says 0 cannot be asked."""
WINDOW = 4
"""Pieces under way. More is quicker over a long way, and holds up other frames for longer."""
PIECE_BYTES = 16 * 1024
MOST_ASKED_BYTES = 8 * 1024
"""Of a request."""
MOST_ANSWER_BYTES = 16 * 1024 * 1024
"""Nobody gets more, whatever he says that he takes."""
MOST_WAIT_S = 3600.0
_RELAY_BYTES = 256
"""Around a request that is relayed."""
MOST_MESSAGE_BYTES = PIECE_BYTES + 1024
_LEAST_ITEM_BYTES = 8
"""An array's header, and some room."""

Name = Annotated[str, Meta(pattern=r"^[a-z]+(-[a-z]+)*\Z", max_length=64)]
Body = Annotated[bytes, Meta(max_length=PIECE_BYTES)]


class Asked(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The sender wants to know something."""

    number: Number
    """Of the sender's; names the inquiry in all that follows."""
    name: Name
    wait_s: Annotated[float, Meta(gt=0.0, le=MOST_WAIT_S)]
    most_bytes: Annotated[int, Meta(ge=0, le=MOST_ANSWER_BYTES)]
    body: Annotated[bytes, Meta(max_length=MOST_ASKED_BYTES + _RELAY_BYTES)]


class Piece(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A part of an answer."""

    number: Number
    body: Body
    """An array of items."""
    is_last: bool = False
    is_cut: bool = False
    """With the last one: there is more, and the host that asked takes no more."""


class Taken(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """One more piece may come."""

    number: Number


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """There is no answer."""

    number: Number
    why: Text
    """One of `inquiry.Why`, or what a newer weft says."""
    reason: Annotated[str, Meta(max_length=1000)]


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The host that asked waits no more."""

    number: Number


Message = Asked | Piece | Taken | Failed | Dropped
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
encode = msgspec.msgpack.encode


def decode(data: bytes) -> Message:
    """A message."""
    if len(data) > MOST_MESSAGE_BYTES:
        raise InvalidError(f"{len(data)} bytes, at most {MOST_MESSAGE_BYTES} are taken")
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidError(str(error)) from None


def encode_body(request: object) -> bytes:
    """A request, or an item of an answer, which may hold addresses and prefixes."""
    return msgspec.msgpack.encode(request, enc_hook=encode_hook)


def decode_body(data: bytes, type: type[T]) -> T:
    """A request, or the items of a piece."""
    try:
        return msgspec.msgpack.decode(data, type=ready(type), dec_hook=decode_hook)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidError(str(error)) from None


class Packer:
    """Puts items into pieces, until there are as many bytes as are taken."""

    def __init__(self, most_bytes: int) -> None:
        self.is_cut = False
        """An item came that had no room any more."""
        self._room_bytes = most_bytes
        self._items: list[Raw] = []
        self._bytes = 0

    def add(self, item: object) -> bytes | None:
        """Take an item in; the piece before it, when that one is full.

        InvalidError: no piece has room for it.
        """
        data = encode_body(item)
        size = len(data)
        if size > PIECE_BYTES - _LEAST_ITEM_BYTES:
            raise InvalidError(f"an item of {size} bytes, a piece has {PIECE_BYTES}")
        if size > self._room_bytes:
            self.is_cut = True
            return None
        self._room_bytes -= size
        full = None
        if self._bytes + size > PIECE_BYTES - _LEAST_ITEM_BYTES:
            full = self.rest()
        self._items.append(Raw(data))
        self._bytes += size
        return full

    def rest(self) -> bytes:
        """What is in no piece yet."""
        items, self._items, self._bytes = self._items, [], 0
        return joined(items)


def joined(items: Iterable[Raw]) -> bytes:
    """The body of a piece."""
    return encode(list(items))
