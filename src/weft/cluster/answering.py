"""The end of a link that answers: what others ask, each in a task of its own, in pieces.

A host may have `MOST_OF_ONE` inquiries under way here, whatever it asks and however slowly it takes
the answers; what is over that is refused at once. So what a member costs is bounded by itself, and
takes nothing from the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from weft.cluster.ask_messages import (
    WINDOW,
    Asked,
    Dropped,
    Failed,
    Message,
    Packer,
    Piece,
    Taken,
    decode_body,
    encode,
)
from weft.cluster.inquiry import Cut, Handler, Inquiry, Terms, UnansweredError, Why
from weft.errors import InvalidError, WeftError
from weft.model.ids import HostId

MOST_OF_ONE = 48
"""Inquiries of one link that are answered at once: some more than a host asks at once over a link
(`ask.py`), for what it has given up takes a moment to end."""
ANSWER_S = 20.0
"""A handler is given up after so long, whatever the other host says how long it waits."""

log = structlog.get_logger()


class _Known(NamedTuple):
    inquiry: Inquiry[Any, Any]
    handler: Handler[Any, Any]


class _Exchange:
    """An inquiry under way."""

    def __init__(self, peer: HostId, number: int) -> None:
        self.peer = peer
        self.number = number
        self.credit = WINDOW
        """Pieces that may be sent now."""
        self.taken = asyncio.Event()
        self.is_over = False
        """Nobody waits for the answer; nothing is to be said any more."""
        self.task: asyncio.Task[None] | None = None


class Answering:
    """Answers what linked hosts ask, as long as it runs."""

    def __init__(self, send: Callable[[str, bytes], None]) -> None:
        self._send = send
        self._known: dict[str, _Known] = {}
        self._under_way: dict[HostId, dict[int, _Exchange]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def know(self, inquiry: Inquiry[Any, Any], handler: Handler[Any, Any]) -> None:
        """Answer this inquiry by this handler from now on."""
        assert inquiry.name not in self._known, f"two handlers of {inquiry.name}"
        self._known[inquiry.name] = _Known(inquiry, handler)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._tasks = None

    def link_down(self, peer: HostId) -> None:
        """Give up what the host has asked."""
        for exchange in self._under_way.pop(peer, {}).values():
            self._give_up(exchange)

    def on_asked(self, peer: HostId, asked: Asked) -> None:
        """Begin to answer, or refuse."""
        under_way = self._under_way.setdefault(peer, {})
        if asked.number in under_way:
            return
        exchange = _Exchange(peer, asked.number)
        known = self._known.get(asked.name)
        if known is None:
            self._fail(exchange, Why.UNKNOWN, "its weft does not know this inquiry")
        elif len(under_way) >= MOST_OF_ONE:
            self._fail(exchange, Why.BUSY, f"{MOST_OF_ONE} inquiries are under way already")
        elif self._tasks is None:
            self._fail(exchange, Why.BUSY, "its weftd is starting or stopping")
        else:
            under_way[asked.number] = exchange
            exchange.task = self._tasks.create_task(
                self._answer(exchange, asked, known), name=f"inquiry {asked.name}"
            )
            exchange.task.add_done_callback(lambda task: self._forget(exchange))

    def on_taken(self, peer: HostId, taken: Taken) -> None:
        """One more piece may go."""
        exchange = self._under_way.get(peer, {}).get(taken.number)
        if exchange is not None:
            exchange.credit = min(exchange.credit + 1, WINDOW)
            exchange.taken.set()

    def on_dropped(self, peer: HostId, dropped: Dropped) -> None:
        """Nobody waits any more."""
        exchange = self._under_way.get(peer, {}).get(dropped.number)
        if exchange is not None:
            self._give_up(exchange)

    def _forget(self, exchange: _Exchange) -> None:
        under_way = self._under_way.get(exchange.peer, {})
        if under_way.get(exchange.number) is exchange:
            del under_way[exchange.number]

    def _give_up(self, exchange: _Exchange) -> None:
        exchange.is_over = True
        if exchange.task is not None:
            exchange.task.cancel()

    async def _answer(self, exchange: _Exchange, asked: Asked, known: _Known) -> None:
        wait_s = min(asked.wait_s, ANSWER_S)
        try:
            async with asyncio.timeout(wait_s):
                await self._stream(exchange, asked, known, wait_s)
        except TimeoutError:
            self._fail(exchange, Why.LATE, f"it was not through within {wait_s:g} s")
        except UnansweredError as error:
            self._fail(exchange, error.why, error.reason)
        except WeftError as error:
            self._fail(exchange, Why.FAILED, str(error))
        except Exception:
            log.exception("inquiry not answered", inquiry=asked.name, by=exchange.peer)
            self._fail(exchange, Why.FAILED, "fault in weftd there; its log has more")

    async def _stream(
        self, exchange: _Exchange, asked: Asked, known: _Known, wait_s: float
    ) -> None:
        try:
            request = decode_body(asked.body, known.inquiry.request)
        except InvalidError as error:
            raise UnansweredError(Why.SENSELESS, f"it cannot read the request: {error}") from None
        packer = Packer(asked.most_bytes)
        terms = Terms(exchange.peer, wait_s, asked.most_bytes)
        is_cut = False
        async with contextlib.aclosing(known.handler(request, terms)) as items:
            try:
                async for item in items:
                    full = packer.add(item)
                    if full is not None:
                        await self._send_piece(exchange, full)
                    if packer.is_cut:
                        break
            except Cut:
                is_cut = True
        await self._send_piece(
            exchange, packer.rest(), is_last=True, is_cut=is_cut or packer.is_cut
        )

    async def _send_piece(
        self, exchange: _Exchange, body: bytes, *, is_last: bool = False, is_cut: bool = False
    ) -> None:
        while not exchange.credit:
            exchange.taken.clear()
            await exchange.taken.wait()
        exchange.credit -= 1
        self._say(exchange, Piece(exchange.number, body, is_last, is_cut))

    def _fail(self, exchange: _Exchange, why: Why, reason: str) -> None:
        self._say(exchange, Failed(exchange.number, why, reason[:1000]))

    def _say(self, exchange: _Exchange, message: Message) -> None:
        if not exchange.is_over:
            self._send(exchange.peer, encode(message))
