"""The end of a link that asks: inquiries under way, and the pieces that come in answer.

What comes is counted before it is kept: a host that sends pieces that were not asked for, or more
than it was told is taken, loses the inquiry, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

from weft.cluster.ask_messages import (
    PIECE_BYTES,
    WINDOW,
    Asked,
    Dropped,
    Failed,
    Message,
    Piece,
    Taken,
    decode_body,
    encode,
)
from weft.cluster.inquiry import UnansweredError, Why
from weft.errors import InvalidError
from weft.model.ids import HostId
from weft.printable import printable

T = TypeVar("T")

_PIECE_COST_BYTES = 64
"""Counted for each piece, so that an answer of empty ones ends as well."""


class Request(NamedTuple):
    """What is asked, ready for the link."""

    name: str
    body: bytes
    wait_s: float
    most_bytes: int


class _Pending:
    """An inquiry that waits for its next piece."""

    def __init__(self, peer: HostId, most_bytes: int) -> None:
        self.peer = peer
        self.is_over = False
        """The other end says no more of it."""
        self._pieces: deque[Piece] = deque()
        self._error: UnansweredError | None = None
        self._arrived = asyncio.Event()
        self._room_bytes = 2 * most_bytes + PIECE_BYTES
        """Twice, for pieces need not be full."""

    def take(self, piece: Piece) -> None:
        """It came. After an error, or the last one, it is passed over."""
        if self.is_over or self._error is not None:
            return
        self._room_bytes -= len(piece.body) + _PIECE_COST_BYTES
        if len(self._pieces) >= WINDOW or self._room_bytes < 0:
            self.fail(Why.SENSELESS, "it sent more than it was asked for")
            return
        self.is_over = piece.is_last
        self._pieces.append(piece)
        self._arrived.set()

    def fail(self, why: Why, reason: str) -> None:
        """There will be no more pieces."""
        if self._error is None and not self.is_over:
            self._error = UnansweredError(why, reason)
            self._arrived.set()

    async def next(self) -> Piece:
        """The next piece; UnansweredError."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        return self._pieces.popleft()


class Asking:
    """Asks linked hosts."""

    def __init__(self, send: Callable[[str, bytes], None]) -> None:
        self.peers: set[HostId] = set()
        """Linked hosts that can be asked."""
        self._send = send
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}

    async def ask(self, peer: HostId, request: Request) -> AsyncGenerator[Piece, None]:
        """The pieces of the answer, the last one being `is_last`; UnansweredError.

        Nothing here ends it when nothing comes: whoever asks has a deadline. To be closed by the
        one who leaves it early (`contextlib.aclosing`), so that the other end hears of it.
        """
        if peer not in self.peers:
            raise UnansweredError(Why.NO_WAY, "the link to it went down meanwhile")
        number = next(self._numbers)
        pending = self._pending[number] = _Pending(peer, request.most_bytes)
        name, body, wait_s, most_bytes = request
        self._say(peer, Asked(number, name, wait_s, most_bytes, body))
        try:
            is_last = False
            while not is_last:
                piece = await pending.next()
                is_last = piece.is_last
                yield piece
                if not is_last:
                    self._say(peer, Taken(number))
        finally:
            del self._pending[number]
            if not pending.is_over:
                self._say(peer, Dropped(number))

    def link_down(self, peer: HostId) -> None:
        """The host says no more."""
        self.peers.discard(peer)
        for pending in self._of(peer):
            pending.fail(Why.NO_WAY, "the link to it went down meanwhile")
            pending.is_over = True

    def on_piece(self, peer: HostId, piece: Piece) -> None:
        """A part of an answer, if it was asked for."""
        pending = self._pending.get(piece.number)
        if pending is not None and pending.peer == peer:
            pending.take(piece)

    def on_failed(self, peer: HostId, failed: Failed) -> None:
        """There is no answer."""
        pending = self._pending.get(failed.number)
        if pending is not None and pending.peer == peer:
            why = Why(failed.why) if failed.why in list(Why) else Why.FAILED
            pending.fail(why, printable(failed.reason))
            pending.is_over = True

    def _of(self, peer: HostId) -> list[_Pending]:
        return [one for one in self._pending.values() if one.peer == peer]

    def _say(self, peer: HostId, message: Message) -> None:
        self._send(peer, encode(message))


def read_items(piece: Piece, type: type[T]) -> Sequence[T]:
    """The items of a piece; UnansweredError."""
    try:
        return decode_body(piece.body, list[type])  # type: ignore[valid-type]
    except InvalidError as error:
        raise UnansweredError(Why.SENSELESS, f"its answer cannot be read: {error}") from None


class Slots:
    """So many at once of each key; the others wait for their turn, first come, first served."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rooms: dict[Hashable, asyncio.Semaphore] = {}
        self._users: dict[Hashable, int] = {}

    @contextlib.asynccontextmanager
    async def one(self, key: Hashable) -> AsyncIterator[None]:
        """A slot, once there is one."""
        room = self._rooms.setdefault(key, asyncio.Semaphore(self._most))
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with room:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._rooms[key]
