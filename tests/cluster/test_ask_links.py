"""Hosts ask each other over real links, between other frames; whatever comes, the link stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import msgspec
import pytest

from tests.cluster.ask_world import COUNT, Count, Said
from tests.cluster.hosts import Nursery, TestHost, running, until
from weft.cluster.ask import Ask
from weft.cluster.ask_messages import MOST_MESSAGE_BYTES, PIECE_BYTES, WINDOW
from weft.cluster.frames import Kind
from weft.cluster.greeting import Hello
from weft.cluster.inquiry import Terms, UnansweredError, Why
from weft.model.ids import HostId
from weft.model.records import Host
from weft.store.memory import MemoryStore
from weft.topology.routes import Route


class Asker:
    """A host with all that it takes to ask and to answer."""

    def __init__(self, host: TestHost, hosts: Sequence[TestHost]) -> None:
        self.host = host
        self.reached: dict[HostId, Route] = {}
        store = MemoryStore([Host(id=each.id, name=each.id[-2:]) for each in hosts])
        transport = host.transport
        self.ask = Ask(
            host.id, store, transport.send_ask, lambda: self.reached, lambda: transport.links()
        )
        self.ask.know(COUNT, self._count)
        transport.asking = self.ask

    async def _count(self, asked: Count, terms: Terms) -> AsyncGenerator[Said, None]:
        for number in range(asked.numbers):
            yield Said(self.host.id, number, os.urandom(asked.size_bytes))


@contextlib.asynccontextmanager
async def linked(cluster: Nursery) -> AsyncIterator[tuple[Asker, Asker]]:
    """Two hosts."""
    hosts = cluster.hosts(2)
    a, b = (Asker(host, hosts) for host in hosts)
    tasks = [asyncio.create_task(each.ask.run()) for each in (a, b)]
    try:
        async with running(*hosts):
            hosts[0].want(hosts[1])
            await until(lambda: hosts[0].linked() and hosts[1].linked())
            yield a, b
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_both_ends_of_a_link_ask_and_are_answered(cluster: Nursery) -> None:
    async with linked(cluster) as (a, b):
        for one, other in ((a, b), (b, a)):
            answer = await one.ask.ask(other.host.id, COUNT, Count(3))
            assert [item.number for item in answer.items] == [0, 1, 2]
            assert answer.items[0].host == other.host.id


async def test_a_message_of_the_mesh_overtakes_a_long_answer(cluster: Nursery) -> None:
    async with linked(cluster) as (a, b):
        came: list[int] = []
        receive = a.ask.receive

        def count(peer: str, data: bytes) -> None:
            came.append(len(data))
            receive(peer, data)

        a.ask.receive = count  # type: ignore[method-assign]
        asking = asyncio.ensure_future(
            a.ask.ask(b.host.id, COUNT, Count(1200, 10_000), wait_s=30.0, most_bytes=16_000_000)
        )
        await until(lambda: len(came) > 100)
        overtaken: list[int] = []
        a.host.heard.receive = lambda peer, data: overtaken.append(len(came))  # type: ignore[method-assign]
        b.host.transport.send(a.host.id, b"news")
        sent = len(came)
        await until(lambda: overtaken)
        assert overtaken[0] - sent <= 2 * WINDOW
        assert not asking.done()
        assert len((await asking).items) == 1200
        assert max(came) <= MOST_MESSAGE_BYTES and PIECE_BYTES < MOST_MESSAGE_BYTES
        assert a.host.heard.events == [("up", b.host.id)]


async def test_a_host_of_an_older_weft_keeps_its_link_and_is_said_to_be_old(
    cluster: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = cluster.hosts(2)
    a, old = hosts
    hello = old.transport._hello

    def without() -> Hello:
        return msgspec.structs.replace(hello(), ask_version=0)

    monkeypatch.setattr(old.transport._reception, "_hello", without)
    asker = Asker(a, hosts)
    task = asyncio.create_task(asker.ask.run())
    async with running(*hosts):
        a.want(old)
        await until(lambda: a.linked() and old.linked())
        with pytest.raises(UnansweredError, match="there is no way to it"):
            await asker.ask.ask(old.id, COUNT, Count())
        info = a.transport.links()[old.id]
        asker.reached = {old.id: Route(old.id, old.id, info.address, 1, 0)}
        with pytest.raises(UnansweredError, match="upgrade weft there") as raised:
            await asker.ask.ask(old.id, COUNT, Count())
        assert raised.value.why is Why.UNKNOWN
        # It sends a kind of frame that this one does not know, and the other way round.
        for one, other in ((a, old), (old, a)):
            link = one.transport._table.get(other.id)
            assert link is not None
            link._connection.send(Kind.ASK, b"what?")
            link._connection.send(99, b"newer still")  # type: ignore[arg-type]
            one.transport.send(other.id, b"news")
            await until(lambda other=other: other.heard.messages)  # type: ignore[misc]
        assert a.heard.events == [("up", old.id)] and old.heard.events == [("up", a.id)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_rubbish_and_floods_cost_no_link_and_little_time(cluster: Nursery) -> None:
    async with linked(cluster) as (a, villain):
        for number in range(3000):
            villain.host.transport.send_ask(a.host.id, os.urandom(number % 300))
        villain.host.transport.send_ask(a.host.id, bytes(1_000_000))
        began_s = time.monotonic()
        answer = await villain.ask.ask(a.host.id, COUNT, Count(1), wait_s=30.0)
        assert len(answer.items) == 1 and time.monotonic() - began_s < 10
        assert a.host.heard.events == [("up", villain.host.id)]


async def test_what_is_asked_when_a_host_stops_ends_at_once(cluster: Nursery) -> None:
    async with linked(cluster) as (a, b):
        asking = asyncio.ensure_future(
            a.ask.ask(b.host.id, COUNT, Count(100_000, 10_000), wait_s=30.0, most_bytes=16_000_000)
        )
        await asyncio.sleep(0.05)
        b.host.transport.close_link(a.host.id, "closed by the test")
        with pytest.raises(UnansweredError, match="the link to it went down"):
            await asking
