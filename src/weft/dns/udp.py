"""Serves one UDP socket.

Datagrams are taken straight from the socket, a batch each time that the loop finds it readable:
half the cost of asyncio's datagram transport. A batch is short, so that a flood of queries leaves
the loop to others.
"""

from __future__ import annotations

import asyncio
import socket
from typing import ClassVar

from weft.dns.askers import Askers
from weft.dns.counters import Counters
from weft.dns.responder import Responder
from weft.dns.unusual import MAX_QUERY_BYTES
from weft.dns.wire import Query

BATCH = 32
Source = tuple[str, int] | tuple[str, int, int, int]


class UdpServer:
    """Serves `sock`, which it then owns."""

    PROTOCOL: ClassVar = "udp"

    def __init__(
        self, sock: socket.socket, responder: Responder, askers: Askers, counters: Counters
    ) -> None:
        self._sock = sock
        self._responder = responder
        self._askers = askers
        self._counters = counters
        self._waiting: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve until cancelled; closes the socket."""
        loop = asyncio.get_running_loop()
        with self._sock:
            async with asyncio.TaskGroup() as self._waiting:
                loop.add_reader(self._sock, self._on_readable)
                try:
                    await asyncio.Event().wait()
                finally:
                    loop.remove_reader(self._sock)

    def _on_readable(self) -> None:
        for _ in range(BATCH):
            try:
                # One more than is read, so that a longer one is known as such.
                data, source = self._sock.recvfrom(MAX_QUERY_BYTES + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # An error of the last send, told now; the next call reads on.
                continue
            self._on_query(data, source)

    def _on_query(self, data: bytes, source: Source) -> None:
        asker = self._askers.find(source[0])
        if asker is None or not source[1]:
            self._counters["dropped"] += 1
            return
        response = self._responder.respond(data, asker.scope)
        if isinstance(response, bytes):
            self._send(response, source)
        elif response is not None:
            assert self._waiting is not None
            self._waiting.create_task(self._resolve(response, asker.key, source))

    async def _resolve(self, query: Query, asker: str, source: Source) -> None:
        response = await self._responder.resolve(query, asker)
        if response is not None:
            self._send(response, source)

    def _send(self, response: bytes, source: Source) -> None:
        try:
            self._sock.sendto(response, source)
        except OSError:
            # The asker went away, or its queue is full: as good as lost on the way.
            self._counters["unsent"] += 1
