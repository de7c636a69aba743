"""Hosts ask each other: whoever wants to know what only another host knows asks it here.

    ask, ask_all --> own slots --> Asking --> link =====> Answering --> handler of the inquiry
                                                              `-------> Relaying --> Asking --> …

An inquiry goes over the link to the host that is meant or, where there is none, by way of the hosts
that `topology.routes` names (`relaying.py`). Every inquiry has a deadline, and the host that asks
says how much it takes. An answer comes whole, or cut where no more was to be taken, or there is an
error that names the host, the inquiry, and why. Nothing is asked again by itself.

What a host asks has slots of its own, per link and per host that is meant: a host that hangs holds
up two inquiries to itself, and none to others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Mapping
from typing import Any, TypeVar

import structlog

from weft.cluster import ask_messages
from weft.cluster.answering import Answering
from weft.cluster.ask_messages import (
    MOST_ANSWER_BYTES,
    MOST_ASKED_BYTES,
    MOST_WAIT_S,
    Asked,
    Dropped,
    Failed,
    Piece,
    Taken,
    encode_body,
)
from weft.cluster.asking import Asking, Request, Slots, read_items
from weft.cluster.inquiry import Answer, Handler, Inquiry, Reply, UnansweredError, Why
from weft.cluster.relaying import MOST_HOPS, RELAY, Relaying, relayed
from weft.errors import InvalidError
from weft.model.ids import HostId
from weft.model.records import Host
from weft.printable import printable
from weft.store.interface import View
from weft.topology.routes import Route

WAIT_S = 5.0
"""For an answer, unless who asks says otherwise."""
MOST_BYTES = 1024 * 1024
"""Of an answer, likewise."""
MOST_OF_ALL_BYTES = 32 * 1024 * 1024
"""Of the answers of all hosts, which share it evenly."""
LEAST_SHARE_BYTES = 64 * 1024
OWN_OF_TARGET = 2
"""What this host asks another at once."""
OWN_OF_LINK = 8
"""And what it asks over one link, for itself; with what it relays less than the other end takes."""

log = structlog.get_logger()
Q = TypeVar("Q")
A = TypeVar("A")


class Ask:
    """Asks other hosts, and answers them. Implements `mesh.transport.Listener` for the links of
    hosts that can be asked; the links pass their messages here (`interface.HostLinks.asking`)."""

    def __init__(
        self,
        me: HostId,
        view: View,
        send: Callable[[str, bytes], None],
        reached: Callable[[], Mapping[HostId, Route]],
        linked: Callable[[], Container[HostId]],
    ) -> None:
        """send: a message over the link to a host. reached: the ways to all hosts that are reached.
        linked: hosts with a link, also those that cannot be asked."""
        self._me = me
        self._view = view
        self._reached = reached
        self._linked = linked
        self._puzzled: set[HostId] = set()
        """Hosts whose senseless messages have been logged."""
        self._of_target = Slots(OWN_OF_TARGET)
        self._of_link = Slots(OWN_OF_LINK)
        self._asking = Asking(send)
        self._answering = Answering(send)
        self.know(RELAY, Relaying(self._next_to, self._asking.ask).answer)

    # For whoever answers.

    def know(self, inquiry: Inquiry[Q, A], handler: Handler[Q, A]) -> None:
        """Answer this inquiry from now on. The handler runs for any host of the cluster, several
        times at once; what it costs, it bounds itself."""
        self._answering.know(inquiry, handler)

    async def run(self) -> None:
        """Answer until cancelled."""
        await self._answering.run()

    # For whoever asks.

    async def ask(
        self,
        host: HostId,
        inquiry: Inquiry[Q, A],
        request: Q,
        *,
        wait_s: float = WAIT_S,
        most_bytes: int = MOST_BYTES,
    ) -> Answer[A]:
        """What another host answers. UnansweredError names it, the inquiry, and why."""
        body = encode_body(request)
        wait_s, most_bytes = min(wait_s, MOST_WAIT_S), min(most_bytes, MOST_ANSWER_BYTES)
        try:
            if len(body) > MOST_ASKED_BYTES:
                reason = f"the request has {len(body)} bytes, at most {MOST_ASKED_BYTES} are taken"
                raise UnansweredError(Why.SENSELESS, reason)
            async with asyncio.timeout(wait_s):
                return await self._collect(
                    host, Request(inquiry.name, body, wait_s, most_bytes), inquiry
                )
        except TimeoutError:
            error = UnansweredError(Why.LATE, f"no answer within {wait_s:g} s")
            raise error.named(self._name(host), inquiry.name) from None
        except UnansweredError as error:
            raise error.named(self._name(host), inquiry.name) from None

    async def ask_all(
        self,
        inquiry: Inquiry[Q, A],
        request: Q,
        *,
        wait_s: float = WAIT_S,
        most_bytes: int = MOST_OF_ALL_BYTES,
    ) -> AsyncGenerator[Reply[A], None]:
        """What all other hosts of the cluster answer, as it comes; of each that gives no answer,
        why. Hosts that are not reached are among them, for none is passed over in silence.

        most_bytes: of all together. To be closed by the one who leaves it early.
        """
        hosts = [host.id for host in self._view.list(Host) if host.id != self._me]
        share_bytes = share_of(most_bytes, len(hosts))
        tasks = [
            asyncio.ensure_future(self._reply(host, inquiry, request, wait_s, share_bytes))
            for host in hosts
        ]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # For the links: see `mesh.transport.Listener`.

    def link_up(self, peer: str) -> None:
        """A link to a host that can be asked."""
        self._asking.peers.add(HostId(peer))

    def link_down(self, peer: str) -> None:
        """It is gone, and with it what was under way."""
        host = HostId(peer)
        self._puzzled.discard(host)
        self._asking.link_down(host)
        self._answering.link_down(host)

    def receive(self, peer: str, data: bytes) -> None:
        """A message. One that makes no sense is passed over; the link bears it."""
        host = HostId(peer)
        try:
            message = ask_messages.decode(data)
        except InvalidError as error:
            if host not in self._puzzled:
                self._puzzled.add(host)
                reason = printable(str(error))[:200]
                log.warning("a host asks or answers without sense", host=host, reason=reason)
            return
        match message:
            case Asked():
                self._answering.on_asked(host, message)
            case Taken():
                self._answering.on_taken(host, message)
            case Dropped():
                self._answering.on_dropped(host, message)
            case Piece():
                self._asking.on_piece(host, message)
            case Failed():
                self._asking.on_failed(host, message)

    async def _reply(
        self,
        host: HostId,
        inquiry: Inquiry[Q, A],
        request: Q,
        wait_s: float,
        most_bytes: int,
    ) -> Reply[A]:
        try:
            answer = await self.ask(host, inquiry, request, wait_s=wait_s, most_bytes=most_bytes)
        except UnansweredError as error:
            return Reply(host, None, error)
        return Reply(host, answer)

    async def _collect(self, host: HostId, request: Request, inquiry: Inquiry[Any, A]) -> Answer[A]:
        items: list[A] = []
        is_cut = False
        async with (
            self._own_slot(host) as peer,
            contextlib.aclosing(self._pieces(host, peer, request)) as pieces,
        ):
            async for piece in pieces:
                items += read_items(piece, inquiry.item)
                is_cut = piece.is_cut
        return Answer(items, is_whole=not is_cut)

    async def _pieces(
        self, host: HostId, peer: HostId, request: Request
    ) -> AsyncGenerator[Piece, None]:
        """Of a host, by way of the linked one that is next."""
        if peer != host:
            request = relayed(request, host, self._me, MOST_HOPS - 1)
        try:
            async with contextlib.aclosing(self._asking.ask(peer, request)) as pieces:
                async for piece in pieces:
                    yield piece
        except UnansweredError as error:
            if peer == host:
                raise
            reason = f"by way of {self._name(peer)}: {error.reason}"
            raise UnansweredError(error.why, reason) from None

    @contextlib.asynccontextmanager
    async def _own_slot(self, host: HostId) -> AsyncIterator[HostId]:
        """The next host on the way, once it is this inquiry's turn."""
        self._next_to(host)  # without a way there is nothing to wait for
        async with self._of_target.one(host):
            peer = self._next_to(host)
            async with self._of_link.one(peer):
                yield peer

    def _next_to(self, host: HostId) -> HostId:
        """Over which link an inquiry goes; UnansweredError."""
        if host in self._asking.peers:
            return host
        route = self._reached().get(host)
        if route is None:
            raise UnansweredError(Why.NO_WAY, "there is no way to it")
        if route.via in self._asking.peers:
            return route.via
        if route.via != host:
            reason = f"there is no link to it, and none to {self._name(route.via)}, which relays"
            raise UnansweredError(Why.NO_WAY, reason)
        if host in self._linked():
            reason = f"its weft {self._version(host)} cannot be asked by other hosts"
            raise UnansweredError(Why.UNKNOWN, reason)
        raise UnansweredError(Why.NO_WAY, "the link to it has just gone down")

    def _name(self, host: HostId) -> str:
        record = self._view.get(Host, host)
        return record.name if record is not None else host

    def _version(self, host: HostId) -> str:
        record = self._view.get(Host, host)
        return record.version if record is not None else ""


def share_of(most_bytes: int, hosts: int) -> int:
    """What each of so many hosts may send."""
    even = most_bytes // max(hosts, 1)
    return min(max(even, LEAST_SHARE_BYTES), MOST_ANSWER_BYTES)
