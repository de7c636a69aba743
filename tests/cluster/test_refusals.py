"""Whoever does not belong to the cluster is refused, once in the log, and harms nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cluster.hosts import QUICK, Nursery, TestHost, running, until
from weft.cluster import greeting
from weft.cluster.certificates import Certificate, mint, tls_contexts
from weft.cluster.frames import Kind, encode
from weft.cluster.greeting import Hello
from weft.cluster.link import Pace
from weft.cluster.server_name import server_name
from weft.model.ids import HostId

DAY_S = 86400


@contextlib.asynccontextmanager
async def calm(cluster: Nursery, pace: Pace = QUICK) -> AsyncIterator[TestHost]:
    """A host with a link that nothing may disturb; afterwards it still takes new ones."""
    a, b, late = cluster.host(pace=pace), cluster.host(), cluster.host()
    async with running(a, b, late):
        a.want(b)
        await until(lambda: a.linked() == {b.id} and b.linked())
        yield a
        assert [each for each in a.heard.events if each[1] == b.id] == [("up", b.id)]
        a.transport.send(b.id, b"still here")
        await until(lambda: b.heard.messages == [(a.id, b"still here")])
        late.want(a)
        await until(lambda: late.linked() == {a.id})


async def reason(host: TestHost, text: str) -> None:
    await until(
        lambda: any(text in each for each in host.reasons()), f"no {text!r} in {host.reasons()}"
    )


def logged(capsys: pytest.CaptureFixture[str], text: str) -> int:
    return sum(text in line for line in capsys.readouterr().out.splitlines())


async def test_another_cluster_is_refused_and_told(
    cluster: Nursery, foreign: Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    async with calm(cluster) as a:
        stranger = foreign.host()
        async with running(stranger):
            stranger.want_at(a.endpoint)
            await reason(stranger, "the host there is of another cluster")
            await reason(a, "it is of another cluster")
            count = len(stranger.transport.problems())
            at_s = stranger.transport.problems()[0].at_s
            await until(lambda: stranger.transport.problems()[0].at_s > at_s + 1)
            assert len(stranger.transport.problems()) == count == 1
            assert stranger.linked() == set()
        lines = capsys.readouterr().out
        assert lines.count("it is of another cluster") == 1
        assert lines.count("the host there is of another cluster") == 1


async def test_a_joined_host_with_a_wrong_token_says_how_to_join(
    cluster: Nursery, foreign: Nursery, tmp_path: Path
) -> None:
    foreign.host()
    joiner = foreign.host()
    async with calm(cluster) as a, running(joiner):
        joiner.want_at(a.endpoint)
        await reason(joiner, "another cluster")
        assert "weft up --join" in joiner.transport.problems()[0].fix


async def tls(
    host: TestHost, context: ssl.SSLContext, name: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        *host.endpoint, ssl=context, server_hostname=name or "", ssl_handshake_timeout=5
    )


def name_of(host: TestHost) -> str:
    return server_name(host.secrets.current_id, host.secrets.cluster_id)


async def certificate_for(host: TestHost, host_id: str, **times: int) -> Certificate:
    now_s = int(time.time())
    return await mint(
        host.secrets.current,
        HostId(host_id),
        times.get("not_before_s", now_s - DAY_S),
        times.get("not_after_s", now_s + DAY_S),
    )


async def ended(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    """Whatever came until the other end closed."""
    reader, writer = streams
    read = b""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(10):
            while data := await reader.read(65536):
                read += data
    writer.transport.abort()
    return read


async def test_a_certificate_of_another_authority_under_the_right_name_is_refused(
    cluster: Nursery, foreign: Nursery
) -> None:
    other = foreign.host()
    async with calm(cluster) as a:
        forged = await certificate_for(other, "00000000000000aa")
        contexts = tls_contexts(forged)
        contexts.client.verify_mode = ssl.CERT_NONE
        await ended(await tls(a, contexts.client, name_of(a)))
        await reason(a, "not signed with this cluster's token")


async def test_an_expired_certificate_is_refused(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        now_s = int(time.time())
        old = await certificate_for(
            a, "00000000000000aa", not_before_s=now_s - 9 * DAY_S, not_after_s=now_s - DAY_S
        )
        await ended(await tls(a, tls_contexts(old).client, name_of(a)))
        await reason(a, "its certificate has expired")


async def test_a_certificate_of_the_future_is_refused(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        now_s = int(time.time())
        early = await certificate_for(
            a, "00000000000000aa", not_before_s=now_s + DAY_S, not_after_s=now_s + 2 * DAY_S
        )
        await ended(await tls(a, tls_contexts(early).client, name_of(a)))
        await reason(a, "not valid yet")


async def test_no_certificate_is_refused(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        assert await ended(await tls(a, context, name_of(a))) == b""
        await reason(a, "it shows no certificate")


async def test_tls_that_is_not_wefts_is_refused(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        for name, version in ((None, None), ("example.com", None), (name_of(a), "1.2")):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            if version:
                context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError):
                await tls(a, context, name)
        await until(lambda: a.reasons())


async def elsewhere(host: TestHost) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection from an address at which no host is linked."""
    return await asyncio.open_connection(*host.endpoint, local_addr=("127.0.0.2", 0))


async def plain(host: TestHost, data: bytes) -> None:
    """Send it, and read until the other end closes."""
    reader, writer = await elsewhere(host)
    with contextlib.suppress(OSError):
        writer.write(data)
        await writer.drain()
    await ended((reader, writer))


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096, os.urandom(4096), b"\x16\x03\x01\x00\x02hi!!!!"],
)
async def test_what_is_no_tls_is_refused(cluster: Nursery, data: bytes) -> None:
    async with calm(cluster) as a:
        await plain(a, data)
        await reason(a, "it is no weftd")


async def test_endless_garbage_is_cut_off(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        reader, writer = await asyncio.open_connection(*a.endpoint)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(10):
                while True:
                    writer.write(os.urandom(65536))
                    await writer.drain()
                    await asyncio.sleep(0)
        assert writer.transport.is_closing()
        await ended((reader, writer))
        await reason(a, "not TLS 1.3")


async def test_silence_is_cut_off(cluster: Nursery, capsys: pytest.CaptureFixture[str]) -> None:
    async with calm(cluster, QUICK._replace(tls_s=0.5)) as a:
        for _ in range(3):
            assert await ended(await elsewhere(a)) == b""
        await reason(a, "silent where TLS was due")
        assert logged(capsys, "silent where TLS was due") == 1


async def test_one_address_cannot_fill_the_door(cluster: Nursery) -> None:
    crowded = cluster.host(max_waiting_of_one=4)
    friend = cluster.host(addresses=("127.0.0.1",))
    async with running(crowded, friend):
        idle = [await asyncio.open_connection(*crowded.endpoint) for _ in range(4)]
        turned_away = await asyncio.open_connection(*crowded.endpoint)
        assert await ended(turned_away) == b""
        await reason(crowded, "too many of its connections")
        for streams in idle:
            await ended(streams)
        friend.want(crowded)
        await until(lambda: friend.linked() == {crowded.id})


async def test_a_removed_host_is_refused_on_both_sides(cluster: Nursery) -> None:
    removed = cluster.host()
    async with calm(cluster) as a, running(removed):
        a.removed[removed.id] = "it was removed from the cluster"
        removed.want(a)
        await reason(removed, "it was removed from the cluster")
        await reason(a, "it was removed from the cluster")
        assert a.transport.problems()[0].host_id == removed.id


async def test_a_link_to_ourselves_is_dropped_quietly(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        own = a.endpoint
        a.want_at(own)
        await until(lambda: own in a.transport._caller.ourselves)
        assert a.reasons() == []


async def test_a_clone_is_named_and_refused_and_the_first_goes_on(cluster: Nursery) -> None:
    first = cluster.host("00000000000000cc")
    clone = cluster.host("00000000000000cc")
    async with calm(cluster) as a, running(first, clone):
        first.want(a)
        await until(lambda: first.id in a.linked())
        clone.want(a)
        await reason(clone, "two live machines have the host id 00000000000000cc")
        [problem] = [each for each in a.transport.problems() if each.is_clone]
        assert problem.host_id == first.id and "which came later" in problem.reason
        assert "remove its state directory" in problem.fix
        [told] = clone.transport.problems()
        assert told.is_clone and told.host_id == clone.id
        assert clone.linked() == set()
        assert first.heard.events == [("up", a.id)]
        assert [each for each in a.heard.events if each[1] == first.id] == [("up", first.id)]


@pytest.mark.parametrize("host_id", ["00000000000000cc", "0000000000000000"])
async def test_a_clone_that_is_dialed_is_refused_as_well(cluster: Nursery, host_id: str) -> None:
    """Whether this host or the clone's id decides."""
    a, first, clone = cluster.host(), cluster.host(host_id), cluster.host(host_id)
    async with running(a, first, clone):
        a.want(first)
        await until(lambda: a.linked() == {first.id})
        a.want(first)
        a.transport.want([*a.transport._dialer.targets])
        clone.want(a)
        await until(lambda: any(each.is_clone for each in a.transport.problems()))
        assert a.heard.events == [("up", first.id)]


async def test_a_clone_of_this_host_is_seen(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        twin = cluster.host(a.id)
        async with running(twin):
            twin.want_at(a.endpoint)
            for host in (a, twin):
                await reason(host, f"two live machines have the host id {a.id}")
                assert all(each.is_clone for each in host.transport.problems())


async def test_a_host_that_died_unseen_is_replaced_by_its_new_process(cluster: Nursery) -> None:
    a = cluster.host()
    first, second = cluster.host("00000000000000cc"), cluster.host("00000000000000cc")
    async with running(a, first, second):
        first.want(a)
        await until(lambda: first.id in a.linked())
        link = first.transport._table.get(a.id)
        assert link is not None and link._connection._transport is not None
        link._connection._transport.pause_reading()  # it answers nothing more, as behind a cut
        second.want(a)
        await until(lambda: second.linked() == {a.id})
        assert a.heard.events == [("up", first.id), ("down", first.id), ("up", first.id)]


class Stranger:
    """Holds a certificate of the cluster and says what it likes."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.streams = streams

    def send(self, data: bytes) -> None:
        self.streams[1].write(data)

    @classmethod
    async def to(cls, host: TestHost, host_id: str = "00000000000000aa") -> Stranger:
        contexts = tls_contexts(await certificate_for(host, host_id))
        return cls(await tls(host, contexts.client, name_of(host)))


def hello(host: TestHost, host_id: str = "00000000000000aa", **values: Any) -> Hello:
    said = Hello(
        protocol=1,
        oldest_protocol=1,
        host_id=host_id,
        name="stranger",
        version="9",
        cluster_id=host.secrets.cluster_id,
        is_cluster_certain=True,
        instance="stranger",
        boot_id="",
        secret_id=host.secrets.current_id,
        secret_serial=0,
    )
    return msgspec.structs.replace(said, **values)


async def test_a_host_that_says_another_id_than_its_certificate_is_refused(
    cluster: Nursery,
) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        said = hello(a, "00000000000000bb")
        stranger.send(encode(Kind.HELLO, greeting.encode(said)))
        await ended(stranger.streams)
        await reason(a, "its certificate is of 00000000000000aa")


@pytest.mark.parametrize(
    ("values", "because"),
    [
        ({"protocol": 7, "oldest_protocol": 5}, "speaks versions 5 to 7"),
        ({"protocol": 0, "oldest_protocol": 0}, "speaks versions 0 to 0"),
        ({"cluster_id": "f" * 16}, "of cluster ffffffffffffffff"),
    ],
)
async def test_a_hello_that_does_not_fit_is_refused(
    cluster: Nursery, values: dict[str, Any], because: str
) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        stranger.send(encode(Kind.HELLO, greeting.encode(hello(a, **values))))
        await ended(stranger.streams)
        await reason(a, because)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff\x01",
        b"\x00\x00\x10\x01\x01",
        encode(Kind.HELLO, b"nonsense"),
        encode(Kind.MESSAGE, b"too early"),
        os.urandom(2000) + b"\xff" * 2000,
    ],
)
async def test_nonsense_from_a_member_is_refused(cluster: Nursery, data: bytes) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        stranger.send(data)
        await ended(stranger.streams)
        await until(lambda: a.reasons())


async def test_a_member_that_says_nothing_after_its_hello_is_cut_off(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        stranger.send(encode(Kind.HELLO, greeting.encode(hello(a))))
        await ended(stranger.streams)
        assert a.linked() == {"0000000000000002"}


async def test_a_member_that_sends_frames_without_end_before_the_link_is_held_back(
    cluster: Nursery,
) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        stranger.send(encode(Kind.HELLO, greeting.encode(hello(a, "00000000000000aa"))))
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                while True:
                    stranger.send(encode(Kind.PING, b"\0" * 4000))
                    await stranger.streams[1].drain()
        await ended(stranger.streams)


async def test_a_port_that_is_taken_is_told_and_had_when_it_is_free(cluster: Nursery) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        a = cluster.host(port=port)
        a.task = asyncio.create_task(a.transport.run())
        await reason(a, "no other host can reach it")
    async with running(a):
        assert a.transport.port == port
        await until(lambda: a.reasons() == [])
