"""A real resolver on loopback for tests: UDP and TCP on one port, answers by a function."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable

import dns.flags
import dns.message
import dns.rrset

from tests.free_ports import free_port

Answerer = Callable[[dns.message.Message, bool], "dns.message.Message | bytes | None"]
"""(query, whether over TCP) -> the response; None: stay silent."""


class FakeResolver:
    """Counts what it is asked. `answerer` may be replaced at any time."""

    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer
        self.udp_queries: list[dns.message.Message] = []
        self.tcp_queries: list[dns.message.Message] = []
        self.sources: list[tuple[str, int]] = []
        self.port = 0

    def answer(self, data: bytes, is_tcp: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        (self.tcp_queries if is_tcp else self.udp_queries).append(query)
        response = self.answerer(query, is_tcp)
        if response is None or isinstance(response, bytes):
            return response
        return response.to_wire(max_size=65535)

    @contextlib.asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[None]:
        """Listen on UDP and TCP, on one free port unless `port` names it."""
        loop = asyncio.get_running_loop()
        self.port = port or free_port()
        family, kind, _, _, address = socket.getaddrinfo(host, self.port, type=socket.SOCK_DGRAM)[0]
        udp = socket.socket(family, kind)
        udp.setblocking(False)
        udp.bind(address)

        def on_readable() -> None:
            data, source = udp.recvfrom(4096)
            self.sources.append(source)
            response = self.answer(data, False)
            if response is not None:
                udp.sendto(response, source)

        async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    (length,) = struct.unpack(">H", await reader.readexactly(2))
                    response = self.answer(await reader.readexactly(length), True)
                    if response is None:
                        break
                    writer.write(struct.pack(">H", len(response)) + response)
            writer.close()

        tcp = await asyncio.start_server(on_connection, host, self.port)
        loop.add_reader(udp, on_readable)
        try:
            yield
        finally:
            loop.remove_reader(udp)
            udp.close()
            tcp.close()
            await tcp.wait_closed()


def records(ttl_s: int, *texts: str) -> Answerer:
    """Answers every question with these records: ``A 192.0.2.1``."""

    def answerer(query: dns.message.Message, is_tcp: bool) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        for text in texts:
            type, _, data = text.partition(" ")
            rrset = dns.rrset.from_text(query.question[0].name, ttl_s, "IN", type, data)
            response.answer.append(rrset)
        return response

    return answerer


def failing(rcode: dns.rcode.Rcode) -> Answerer:
    """Answers every question with an error."""

    def answerer(query: dns.message.Message, is_tcp: bool) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        response.set_rcode(rcode)
        return response

    return answerer


def nobody(rcode: dns.rcode.Rcode, soa: str, ttl_s: int) -> Answerer:
    """Answers that the name or type is not there, with an SOA record."""

    def answerer(query: dns.message.Message, is_tcp: bool) -> dns.message.Message:
        response = failing(rcode)(query, is_tcp)
        assert isinstance(response, dns.message.Message)
        response.authority.append(dns.rrset.from_text("example.", ttl_s, "IN", "SOA", soa))
        return response

    return answerer


def silent(query: dns.message.Message, is_tcp: bool) -> None:
    """Never answers."""


def truncated(answerer: Answerer) -> Answerer:
    """Over UDP says only that there is more."""

    def wrapped(query: dns.message.Message, is_tcp: bool) -> dns.message.Message | bytes | None:
        if is_tcp:
            return answerer(query, True)
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.TC
        return response

    return wrapped
