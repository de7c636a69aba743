"""Inquiries that go by way of another host: relaying is an inquiry too.

The host that asks has no link to the one that it means; so it asks the next host on the way to ask
on, and gets the items of that answer in the answer. Bounds, deadline and flow hold link by link, as
for every inquiry. `hops` counts down, so nothing goes round for ever.

A relay serves many, and what one of them holds up is not to hold up the others: neither a host that
takes its answers slowly, nor one that never answers. So for each next host there are slots of its
own, of which one link has at most `OF_LINK`, and one origin at most `OF_ORIGIN`.

An inquiry holds its slot while it waits for one on the next relay, which could make a circle of
hosts that all wait for each other. So there are slots for each number of hops that are left: what
holds one waits only for one of fewer hops.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from weft.cluster.ask_messages import MOST_ASKED_BYTES, Name, Piece
from weft.cluster.asking import Request, Slots, read_items
from weft.cluster.greeting import Id
from weft.cluster.inquiry import Cut, Inquiry, Terms, UnansweredError, Why
from weft.model.ids import HostId

MOST_HOPS = 5
"""Links on the way, at most. 1,000 hosts are four apart."""
MARGIN_S = 0.2
"""A relay waits so much less than the host that asks it, so that its error gets there in time."""
AT_ONCE = 8
"""Over one link, with as many hops left."""
OF_LINK = 6
OF_ORIGIN = 4
"""More than one host asks another at once (`ask.OWN_OF_TARGET`), so that a host which hangs leaves
some to others behind the same relay."""


class Relay(msgspec.Struct, frozen=True, array_like=True):
    """To ask on."""

    target: Id
    origin: Id
    """The host that wants to know. Word of honour: it shares out slots, and gives no rights."""
    hops: Annotated[int, Meta(ge=1, lt=MOST_HOPS)]
    """Links that are left from the relay on."""
    name: Name
    body: Annotated[bytes, Meta(max_length=MOST_ASKED_BYTES)]


RELAY: Inquiry[Relay, Raw] = Inquiry("relay", Relay, Raw)


def relayed(request: Request, target: HostId, origin: HostId, hops: int) -> Request:
    """The request to the next host, which is not the one that is meant."""
    relay = Relay(target, origin, hops, request.name, request.body)
    return request._replace(name=RELAY.name, body=msgspec.msgpack.encode(relay))


class Relaying:
    """Asks on for others."""

    def __init__(
        self,
        next_to: Callable[[HostId], HostId],
        ask: Callable[[HostId, Request], AsyncGenerator[Piece, None]],
    ) -> None:
        """next_to: the linked host that is next on the way to one; UnansweredError. ask: of a
        linked host."""
        self._next_to = next_to
        self._ask = ask
        self._of_origin = Slots(OF_ORIGIN)
        self._of_link = Slots(OF_LINK)
        self._at_once = Slots(AT_ONCE)

    async def answer(self, relay: Relay, terms: Terms) -> AsyncGenerator[Raw, None]:
        """Handler of `RELAY`."""
        target = HostId(relay.target)
        peer = self._next_to(target)
        if peer == terms.by or (peer != target and relay.hops < 2):
            raise UnansweredError(Why.NO_WAY, "a host on the way to it has no link to it")
        wait_s = max(terms.wait_s - MARGIN_S, MARGIN_S)
        request = Request(relay.name, relay.body, wait_s, terms.most_bytes)
        if peer != target:
            request = relayed(request, target, HostId(relay.origin), relay.hops - 1)
        async with (
            self._slot(peer, terms.by, relay),
            contextlib.aclosing(self._ask(peer, request)) as pieces,
        ):
            async for piece in pieces:
                for item in read_items(piece, Raw):
                    yield item
                if piece.is_cut:
                    raise Cut

    @contextlib.asynccontextmanager
    async def _slot(self, peer: HostId, by: HostId, relay: Relay) -> AsyncIterator[None]:
        async with (
            self._of_origin.one((peer, relay.hops, by, relay.origin)),
            self._of_link.one((peer, relay.hops, by)),
            self._at_once.one((peer, relay.hops)),
        ):
            yield
