"""Whoever does not belong to the cluster is refused, once in the log, and harms nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.cluster.hosts import QUICK, Nursery, TestHost, running, until
from tests.cluster.strangers import DAY_S, calm, certificate_for, ended, name_of, reason, tls
from weft.cluster.certificates import tls_contexts
from weft.cluster.interface import Endpoint, Target
from weft.cluster.tls_session import TlsSession


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


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (20, "it refuses TLS: sslv3 alert bad record mac"),
        (40, "it refuses TLS: sslv3 alert handshake failure"),
        (45, "this host's certificate has expired"),
        (51, "it refuses TLS: tlsv1 alert decrypt error"),
        (70, "not TLS 1.3"),
    ],
)
async def test_an_alert_is_told_as_what_it_says(cluster: Nursery, code: int, text: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(bytes((21, 3, 3, 0, 2, 2, code)))
        writer.close()

    a = cluster.host()
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with running(a):
        address, port = server.sockets[0].getsockname()
        a.want_at(Endpoint(address, port))
        await reason(a, text)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x17\x03\x03\x00\x30" + bytes(48), "was changed on the way"),
        (b"GET / HTTP/1.1\r\n\r\n", "not TLS 1.3"),
    ],
)
async def test_a_record_that_was_changed_on_the_way_ends_one_connection_and_is_told(
    cluster: Nursery, data: bytes, text: str
) -> None:
    async with calm(cluster) as a:
        contexts = tls_contexts(await certificate_for(a, "00000000000000aa"))
        reader, writer = await elsewhere(a)
        session = TlsSession(contexts.client, name_of(a))
        session.receive(b"")
        writer.write(session.take())
        while not session.is_established:
            session.receive(await reader.read(65536))
        writer.write(session.take() + data)
        await ended((reader, writer))
        await reason(a, text)


async def test_a_handshake_that_stops_halfway_is_not_called_silence(cluster: Nursery) -> None:
    async with calm(cluster, QUICK._replace(tls_s=0.5)) as a:
        contexts = tls_contexts(await certificate_for(a, "00000000000000aa"))
        reader, writer = await elsewhere(a)
        session = TlsSession(contexts.client, name_of(a))
        session.receive(b"")
        writer.write(session.take())
        await ended((reader, writer))
        await reason(a, "its TLS stopped halfway")


async def test_a_host_that_links_takes_back_what_was_wrong_with_it_at_any_of_its_addresses(
    cluster: Nursery,
) -> None:
    a, b = cluster.host(), cluster.host()
    async with running(a, b):
        await a.transport._rotation.ready.wait()
        now_s = int(time.time())
        certificate = await certificate_for(
            a, b.id, not_before_s=now_s - 9 * DAY_S, not_after_s=now_s - DAY_S
        )
        contexts = tls_contexts(certificate)
        for address in ("127.0.0.2", "127.0.0.1", "127.0.0.7"):
            with contextlib.suppress(OSError):
                streams = await asyncio.open_connection(
                    *a.endpoint,
                    ssl=contexts.client,
                    server_hostname=name_of(a),
                    local_addr=(address, 0),
                )
                await ended(streams)
        await until(lambda: sum("has expired" in each for each in a.reasons()) == 3)
        at_both = (b.endpoint, Endpoint("127.0.0.2", b.endpoint.port))
        a.transport.want([Target(host_id=b.id, endpoints=at_both)])
        await until(lambda: a.linked() == {b.id})
        assert [each.address for each in a.transport.problems()] == ["127.0.0.7"]


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


async def test_silent_ones_keep_no_member_out_that_comes_from_their_own_address(
    cluster: Nursery,
) -> None:
    crowded = cluster.host(max_waiting_of_one=4, pace=QUICK._replace(tls_s=3600.0))
    friend = cluster.host(addresses=("127.0.0.1",))
    async with running(crowded, friend):
        idle = [await asyncio.open_connection(*crowded.endpoint) for _ in range(4)]
        await until(lambda: crowded.transport._door.waiting_count == 4)
        friend.want(crowded)
        await until(lambda: friend.linked() == {crowded.id})
        await until(lambda: any(reader.at_eof() for reader, _ in idle))
        assert sum(reader.at_eof() for reader, _ in idle) == 1
        for _, writer in idle:
            writer.transport.abort()


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
