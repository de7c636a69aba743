"""The whole service on ports of its own on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.free_ports import free_port
from tests.unit.dns.resolver import FakeResolver
from tests.unit.dns.world import DEADLINE_S, HOST, two_tenants
from weft.config import Settings
from weft.dns.endpoint import Endpoint
from weft.dns.service import DnsService
from weft.model.records import Port, Record
from weft.store.memory import MemoryStore

needs_dig = pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed")


class Running:
    """A service that serves on 127.0.0.1 and, where there is IPv6, on ::1."""

    def __init__(self, store: MemoryStore, served: DnsService, port: int) -> None:
        self.store = store
        self.service = served
        self.port = port

    async def dig(self, *arguments: str) -> str:
        """What dig prints."""
        process = await asyncio.create_subprocess_exec(
            "dig", "@127.0.0.1", "-p", str(self.port), "+tries=1", "+time=5", *arguments,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        return output.decode()

    async def send(self, data: bytes) -> bytes:
        """One datagram and the response to it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(("127.0.0.1", self.port))
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, data)
            return await asyncio.wait_for(loop.sock_recv(sock, 65535), DEADLINE_S)

    async def ask(self, name: str, type: str = "A", **options: int) -> dns.message.Message:
        query = dns.message.make_query(name, type, **options)  # type: ignore[arg-type]
        response = dns.message.from_wire(await self.send(query.to_wire()))
        assert query.is_response(response)
        return response

    @contextlib.asynccontextmanager
    async def connected(
        self, source: str = "127.0.0.1"
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(source, 0)
        )
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(
    tmp_path: Path,
    *records: Record,
    port_of_ifindex: Callable[[int], Port | None] = lambda ifindex: None,
    upstream: FakeResolver | None = None,
) -> AsyncIterator[Running]:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.2\n")
    store = MemoryStore(records or two_tenants())
    number = free_port()
    served = DnsService(
        Settings(resolv_conf=str(resolv_conf), run_dir=str(tmp_path)),
        store,
        HOST,
        port_of_ifindex,
        time.monotonic,
        random.Random(1),
        endpoints=[Endpoint(ip_address("127.0.0.1"), number), Endpoint(ip_address("::1"), number)],
        upstream_port=upstream.port if upstream else free_port(),
    )
    task = asyncio.create_task(served.run())
    try:
        await asyncio.wait_for(served.ready.wait(), DEADLINE_S)
        assert not any("127.0.0.1" in where for where in served.failures)
        yield Running(store, served, number)
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def data(message: dns.message.Message) -> list[str]:
    return sorted(rdata.to_text() for rrset in message.answer for rdata in rrset)


async def read_frame(reader: asyncio.StreamReader) -> dns.message.Message:
    async with asyncio.timeout(DEADLINE_S):
        (length,) = struct.unpack(">H", await reader.readexactly(2))
        return dns.message.from_wire(await reader.readexactly(length))
