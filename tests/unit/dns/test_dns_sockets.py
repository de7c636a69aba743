"""What the service's sockets bear: many queries on one, many connections, ports that are taken."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.free_ports import free_port
from tests.unit.dns import resolver
from tests.unit.dns.resolver import FakeResolver
from tests.unit.dns.served import Running, data, read_frame, serving
from tests.unit.dns.world import DEADLINE_S, HOST, eventually, two_tenants
from weft.config import Settings
from weft.dns import askers, forward, responder, tcp
from weft.dns.askers import Asker
from weft.dns.endpoint import Endpoint, open_tcp, open_udp
from weft.dns.service import DnsService
from weft.store.memory import MemoryStore


async def test_tcp_answers_many_queries_and_the_ready_ones_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "WAITS_S", (0.5,))
    fake = FakeResolver(resolver.silent)
    async with (
        fake.serving("127.0.0.2"),
        serving(tmp_path, upstream=fake) as running,
        running.connected() as (reader, writer),
    ):
        slow = dns.message.make_query("slow.example", "A")
        ours = [dns.message.make_query("web.foo.weft.internal", "A") for _ in range(20)]
        frames = b"".join(query.to_wire(prepend_length=True) for query in (slow, *ours))
        for at in range(0, len(frames), 7):  # cut anywhere
            writer.write(frames[at : at + 7])
            await writer.drain()
        ids = [(await read_frame(reader)).id for _ in ours]
        assert ids == [query.id for query in ours]
        writer.write_eof()
        last = await read_frame(reader)
        assert (last.id, last.rcode()) == (slow.id, dns.rcode.SERVFAIL)
        assert await reader.read() == b""


async def test_idle_tcp_connections_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "IDLE_S", 0.1)
    async with serving(tmp_path) as running, running.connected() as (reader, writer):
        writer.write(b"\0")  # not even a length
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""


async def is_served(
    running: Running, connections: contextlib.AsyncExitStack, source: str = "127.0.0.1"
) -> bool:
    """Whether a new connection, left open, gets an answer."""
    reader, writer = await connections.enter_async_context(running.connected(source))
    writer.write(dns.message.make_query("x.weft.internal", "A").to_wire(prepend_length=True))
    try:
        await read_frame(reader)
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    return True


async def test_one_asker_holds_a_bounded_number_of_connections(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        async with contextlib.AsyncExitStack() as connections:
            served = [
                await is_served(running, connections)
                for _ in range(tcp.MAX_CONNECTIONS_OF_ASKER + 3)
            ]
            assert served == [True] * tcp.MAX_CONNECTIONS_OF_ASKER + [False] * 3
        async with contextlib.AsyncExitStack() as connections:  # once it saw the others go
            await eventually(lambda: is_served(running, connections))


async def test_one_askers_waiting_queries_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "MAX_PENDING_OF_ASKER", 3)
    fake = FakeResolver(resolver.silent)
    async with fake.serving("127.0.0.2"), serving(tmp_path, upstream=fake) as running:
        waiting = [asyncio.create_task(running.ask(f"n{n}.example")) for n in range(3)]

        async def all_asked() -> bool:
            return len(fake.udp_queries) == 3

        await eventually(all_asked)
        # Over UDP the one too many gets no answer, and is asked again; a stream has to be told.
        more = asyncio.create_task(running.ask("more.example"))
        async with running.connected() as (reader, writer):
            writer.write(dns.message.make_query("more.example", "A").to_wire(prepend_length=True))
            assert (await read_frame(reader)).rcode() == dns.rcode.SERVFAIL
        assert running.service.statistics()["limited"] == 2
        assert data(await running.ask("web.foo.weft.internal")) == ["192.168.1.2"]
        assert not more.done()
        for task in (*waiting, more):
            task.cancel()


async def test_a_thousand_questions_of_one_asker_are_all_answered(tmp_path: Path) -> None:
    """65 were too many once: all that came after them got SERVFAIL at once."""
    fake = FakeResolver(resolver.records(60, "A 203.0.113.5"))
    async with fake.serving("127.0.0.2"), serving(tmp_path, upstream=fake) as running:
        asked = (running.ask(f"n{n}.example") for n in range(1000))
        assert {answer.rcode() for answer in await asyncio.gather(*asked)} == {dns.rcode.NOERROR}
        assert running.service.statistics()["limited"] == 0


async def test_connections_of_many_leave_room_for_one_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Askers are told apart by the address that they connect from: ports by their aliases."""
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 12)
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS_OF_ASKER", 4)
    monkeypatch.setattr(
        askers.Askers, "find", lambda self, source: Asker(source, self._zone.scope_of_host())
    )
    async with serving(tmp_path) as running, contextlib.AsyncExitStack() as connections:
        held = {}
        for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"):
            held[source] = [
                await is_served(running, connections, source)
                for _ in range(tcp.MAX_CONNECTIONS_OF_ASKER)
            ]
        assert all(served[:2] == [True, True] for served in held.values())


async def test_port_taken_is_served_once_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.dns.server.RETRY_S", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        served = DnsService(
            Settings(resolv_conf=str(tmp_path / "none"), run_dir=str(tmp_path)),
            MemoryStore(two_tenants()),
            HOST,
            lambda ifindex: None,
            time.monotonic,
            random.Random(1),
            endpoints=[Endpoint(ip_address("127.0.0.1"), number)],
        )
        task = asyncio.create_task(served.run())
        await asyncio.wait_for(served.ready.wait(), DEADLINE_S)
        assert list(served.failures) == [f"tcp 127.0.0.1 port {number}"]
        running = Running(MemoryStore(), served, number)
        assert data(await running.ask("web.foo.weft.internal")) == ["192.168.1.2"]

    async def all_served() -> bool:
        return not served.failures

    await eventually(all_served)
    async with running.connected():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_address_need_not_be_there_yet() -> None:
    for text in ("169.254.53.53", "fd77:6566:7400::53"):
        endpoint = Endpoint(ip_address(text), free_port())
        open_udp(endpoint).close()
        open_tcp(endpoint).close()


async def test_ending_closes_all_sockets(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as connections:
        async with serving(tmp_path) as running:
            reader, _ = await connections.enter_async_context(running.connected())
            await running.ask("web.foo.weft.internal")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        with pytest.raises(ConnectionError):
            await connections.enter_async_context(running.connected())


async def test_a_slow_sender_and_a_slow_taker_are_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an octet now and then nor answers left lying keep a connection open."""
    monkeypatch.setattr(tcp, "IDLE_S", 0.3)
    async with serving(tmp_path) as running:
        query = dns.message.make_query("web.foo.weft.internal", "A").to_wire(prepend_length=True)
        async with running.connected() as (reader, writer):

            async def drip() -> None:
                for octet in query * 1000:
                    writer.write(bytes((octet,)))
                    await writer.drain()
                    await asyncio.sleep(0.1)

            dripping = asyncio.create_task(drip())
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
            dripping.cancel()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await dripping
        taker = socket.create_connection(("127.0.0.1", running.port))
        with taker:
            taker.setblocking(False)
            loop = asyncio.get_running_loop()

            async def ask_and_take_nothing() -> None:
                while True:
                    await loop.sock_sendall(taker, query * 100)

            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask_and_take_nothing(), DEADLINE_S)
        assert data(await running.ask("web.foo.weft.internal")) == ["192.168.1.2"]
