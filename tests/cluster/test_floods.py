"""Strangers who come in crowds: what they cost is bounded and given back, and members get in."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.cluster.hosts import QUICK, Nursery, TestHost, running, until
from tests.cluster.strangers import (
    DAY_S,
    Stranger,
    certificate_for,
    ended,
    hello,
    name_of,
    reason,
    tls,
)
from weft.cluster import door, greeting
from weft.cluster.certificates import tls_contexts
from weft.cluster.connection import Connection
from weft.cluster.frames import Kind, encode
from weft.cluster.tls_session import TlsSession

COUNT = 20


def kept() -> int:
    """TLS sessions and connections that are in memory."""
    return sum(isinstance(each, Connection | TlsSession) for each in gc.get_objects())


@contextlib.asynccontextmanager
async def nothing_is_kept(host: TestHost) -> AsyncIterator[None]:
    """Without the collector: it does not know how large TLS's buffers are, and comes too late."""
    gc.collect()
    gc.disable()
    try:
        before = kept()
        yield
        await until(lambda: kept() <= before, "connections that are over stay in memory")
    finally:
        gc.enable()


async def garbage(host: TestHost) -> None:
    reader, writer = await asyncio.open_connection(*host.endpoint)
    writer.write(os.urandom(512))
    await ended((reader, writer))


async def goes_at_once(host: TestHost) -> None:
    _, writer = await asyncio.open_connection(*host.endpoint)
    writer.transport.abort()


async def is_silent(host: TestHost) -> None:
    await ended(await asyncio.open_connection(*host.endpoint))


async def names_nothing(host: TestHost) -> None:
    with contextlib.suppress(OSError):
        await ended(await tls(host, _anybody(), "example.org"))


async def without_certificate(host: TestHost) -> None:
    with contextlib.suppress(OSError):
        await ended(await tls(host, _anybody(), name_of(host)))


async def expired(host: TestHost) -> None:
    now_s = int(host.transport._reception.links._wall_s())
    certificate = await certificate_for(
        host, "00000000000000aa", not_before_s=now_s - 9 * DAY_S, not_after_s=now_s - DAY_S
    )
    with contextlib.suppress(OSError):
        await ended(await tls(host, tls_contexts(certificate).client, name_of(host)))


async def greets_with_nonsense(host: TestHost) -> None:
    stranger = await Stranger.to(host)
    stranger.send(encode(Kind.HELLO, b"\xc1"))
    await ended(stranger.streams)


async def claims_to_be_another(host: TestHost) -> None:
    stranger = await Stranger.to(host)
    stranger.send(encode(Kind.HELLO, greeting.encode(hello(host, "00000000000000bb"))))
    await ended(stranger.streams)


async def never_greets(host: TestHost) -> None:
    await ended((await Stranger.to(host)).streams)


def _anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize(
    "stranger",
    [
        garbage,
        goes_at_once,
        is_silent,
        names_nothing,
        without_certificate,
        expired,
        greets_with_nonsense,
        claims_to_be_another,
        never_greets,
    ],
)
async def test_a_connection_that_is_over_is_not_kept(
    cluster: Nursery, stranger: Callable[[TestHost], Awaitable[None]]
) -> None:
    host = cluster.host(pace=QUICK._replace(tls_s=0.3, greeting_s=0.5))
    async with running(host):
        await host.transport._rotation.ready.wait()
        await stranger(host)
        await until(lambda: not host.transport._door.waiting_count)
        async with nothing_is_kept(host):
            await asyncio.gather(*(stranger(host) for _ in range(COUNT // 4)))


async def until_tried_again(host: TestHost, seen_at_s: float) -> None:
    await until(lambda: host.transport.problems()[0].at_s > seen_at_s)


async def until_up(host: TestHost, other: TestHost, times: int) -> None:
    await until(lambda: host.heard.events.count(("up", other.id)) >= times)


async def test_a_host_that_is_refused_keeps_nothing_of_its_attempts(
    cluster: Nursery, foreign: Nursery
) -> None:
    host, stranger = cluster.host(), foreign.host()
    async with running(host, stranger):
        stranger.want_at(host.endpoint)
        await until(stranger.reasons)
        async with nothing_is_kept(stranger):
            for _ in range(COUNT):
                seen = stranger.transport.problems()[0].at_s
                stranger.transport.network_changed()
                await until_tried_again(stranger, seen)


async def test_a_link_that_ended_is_not_kept(cluster: Nursery) -> None:
    one, other = cluster.host(), cluster.host()
    async with running(one, other):
        one.want(other)
        await until(lambda: one.linked() and other.linked())
        async with nothing_is_kept(one):
            for _ in range(COUNT // 4):
                before = one.heard.events.count(("up", other.id))
                one.transport.close_link(other.id, "to try it")
                await until_up(one, other, before + 1)
            await until(lambda: one.linked() and other.linked())


async def flood(host: TestHost, visit: Callable[[TestHost], Awaitable[None]], width: int) -> None:
    """So many at a time, until cancelled."""

    async def again() -> None:
        while True:
            with contextlib.suppress(OSError):
                await visit(host)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(width):
            tasks.create_task(again())


@pytest.mark.parametrize("visit", [garbage, is_silent, names_nothing, without_certificate])
async def test_a_member_links_through_a_flood_from_its_own_address(
    cluster: Nursery, visit: Callable[[TestHost], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MAX_WAITING", 24)
    host, member = cluster.host(max_waiting_of_one=16), cluster.host()
    async with running(host, member):
        await host.transport._rotation.ready.wait()
        crowd = asyncio.create_task(flood(host, visit, width=40))
        try:
            await until(host.reasons)
            member.want(host)
            await until(lambda: member.linked() and host.linked())
            assert host.transport._door.waiting_count <= 3 * 24
            before = len(member.heard.events)
            host.transport.close_link(member.id, "to try it again")
            await until(lambda: len(member.heard.events) >= before + 2)
        finally:
            crowd.cancel()
            await asyncio.wait([crowd])


async def test_joins_with_wrong_tokens_in_a_crowd_are_refused_and_a_right_one_gets_in(
    cluster: Nursery, foreign: Nursery
) -> None:
    host, member = cluster.host(), cluster.host()
    strangers = [Nursery(foreign.folder / str(n)).host() for n in range(6)]
    async with running(host, member, *strangers):
        for one in strangers:
            one.want_at(host.endpoint)
        for one in strangers:
            await reason(one, "another cluster")
        member.want(host)
        await until(lambda: (member.linked(), host.linked()) == ({host.id}, {member.id}))


class Recorder:
    """Passes one connection on to a host, and keeps what the client sent."""

    def __init__(self, host: TestHost) -> None:
        self.host = host
        self.sent: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(*self.host.endpoint)

        async def pump(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, kept: list[bytes]
        ) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    kept.append(data)
                    sink.write(data)
            sink.transport.abort()

        await asyncio.gather(pump(reader, there[1], self.sent), pump(there[0], writer, []))


async def test_what_a_member_sent_once_proves_nothing_when_it_is_sent_again(
    cluster: Nursery,
) -> None:
    host, member = cluster.host(), cluster.host()
    recorder = Recorder(host)
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    async with running(host, member):
        address, port = server.sockets[0].getsockname()
        member.want_at(type(host.endpoint)(address, port))
        await until(lambda: host.linked() == {member.id})
        member.transport.send(host.id, b"once")
        await until(lambda: host.heard.messages == [(member.id, b"once")])
        for ending in (len(recorder.sent), 1, 2):
            reader, writer = await asyncio.open_connection(
                *host.endpoint, local_addr=("127.0.0.3", 0)
            )
            for data in recorder.sent[:ending]:
                writer.write(data)
                await asyncio.sleep(0)
            writer.write_eof()
            await ended((reader, writer))
        await until(lambda: not host.transport._door.waiting_count)
        assert host.heard.messages == [(member.id, b"once")]
        assert [each for each in host.heard.events if each[0] == "up"] == [("up", member.id)]
        assert host.linked() == {member.id}
        server.close()
    await server.wait_closed()
