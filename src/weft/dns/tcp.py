"""Serves one listening TCP socket: several queries a connection, answered as they are ready.

RFC 7766. Connections are few and short-lived by limit, and each asker has a fair share of them: a
connection over it is closed at once. When other askers hold more than their share, which they took
while nobody else wanted any, the oldest connection of the asker that holds the most gives way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import ClassVar

import structlog

from weft.dns.askers import Asker, Askers
from weft.dns.counters import Counters
from weft.dns.responder import Responder
from weft.dns.shares import Shares
from weft.dns.stream import FrameReader, frame
from weft.dns.wire import Query

MAX_CONNECTIONS = 256
MAX_CONNECTIONS_OF_ASKER = 16
MAX_WAITING = 16
"""Queries of one connection that wait for resolvers; no more are read until one is answered."""
IDLE_S = 10.0
"""A connection that sends no query, or takes no answer, for so long is closed."""
ACCEPT_PAUSE_S = 0.2
"""When the process has no file descriptors left."""

log = structlog.get_logger()


class TcpServer:
    """Serves `sock`, which it then owns."""

    PROTOCOL: ClassVar = "tcp"

    def __init__(
        self,
        sock: socket.socket,
        responder: Responder,
        askers: Askers,
        counters: Counters,
    ) -> None:
        self._sock = sock
        self._responder = responder
        self._askers = askers
        self._counters = counters
        self._shares = Shares(MAX_CONNECTIONS, MAX_CONNECTIONS_OF_ASKER)
        self._open: dict[str, list[asyncio.Task[None]]] = {}
        """Connections by asker, the oldest first."""

    async def run(self) -> None:
        """Serve until cancelled; closes the socket and all connections."""
        with self._sock:
            async with asyncio.TaskGroup() as connections:
                while True:
                    await self._accept(connections)
                    await asyncio.sleep(0)  # or a flood of connections would never yield

    async def _accept(self, connections: asyncio.TaskGroup) -> None:
        try:
            sock, source = await asyncio.get_running_loop().sock_accept(self._sock)
        except OSError as error:
            log.warning("cannot accept a DNS connection", reason=str(error))
            await asyncio.sleep(ACCEPT_PAUSE_S)
            return
        asker = self._askers.find(source[0])
        if asker is None:
            self._counters["dropped"] += 1
            sock.close()
            return
        if not self._shares.may_take(asker.key) and not await self._make_room(asker.key):
            self._counters["limited"] += 1
            sock.close()
            return
        self._shares.take(asker.key)
        task = connections.create_task(self._serve(sock, asker))
        self._open.setdefault(asker.key, []).append(task)
        task.add_done_callback(lambda _: self._forget(asker.key, task, sock))

    async def _make_room(self, asker: str) -> bool:
        """Close the oldest connection of the asker that holds the most, if that is more than its
        share. Returns whether one was closed."""
        greedy = self._shares.largest()
        if greedy is None or self._shares.held(asker) + 1 >= self._shares.held(greedy):
            return False
        oldest = self._open[greedy][0]
        oldest.cancel()
        await asyncio.wait((oldest,))
        await asyncio.sleep(0)  # for what is called back when it is done
        return True

    def _forget(self, asker: str, task: asyncio.Task[None], sock: socket.socket) -> None:
        sock.close()  # a task that was cancelled before it began has not
        self._shares.give_back(asker)
        self._open[asker].remove(task)
        if not self._open[asker]:
            del self._open[asker]

    async def _serve(self, sock: socket.socket, asker: Asker) -> None:
        with sock:
            sock.setblocking(False)
            await _Connection(sock, asker, self._responder).run()


class _Connection:
    def __init__(
        self,
        sock: socket.socket,
        asker: Asker,
        responder: Responder,
    ) -> None:
        self._sock = sock
        self._asker = asker
        self._responder = responder
        self._sending = asyncio.Lock()
        self._room = asyncio.Semaphore(MAX_WAITING)

    async def run(self) -> None:
        """Answer until the asker is done; answers still awaited are sent first."""
        reader = FrameReader(self._sock)
        async with asyncio.TaskGroup() as waiting:
            while (data := await self._next(reader)) is not None:
                response = self._responder.respond(data, self._asker.scope, is_stream=True)
                if isinstance(response, bytes):
                    await self._send(response)
                elif response is not None:
                    await self._room.acquire()
                    waiting.create_task(self._resolve(response))

    async def _next(self, reader: FrameReader) -> bytes | None:
        """None at the end of the stream, whichever way it ends."""
        try:
            async with asyncio.timeout(IDLE_S):
                return await reader.read()
        except (OSError, TimeoutError):
            return None

    async def _resolve(self, query: Query) -> None:
        try:
            response = await self._responder.resolve(query, self._asker.key, is_stream=True)
            assert response is not None
            await self._send(response)
        finally:
            self._room.release()

    async def _send(self, response: bytes) -> None:
        """Nothing more is sent, nor read, after one that was not taken."""
        loop = asyncio.get_running_loop()
        try:
            async with self._sending, asyncio.timeout(IDLE_S):
                await loop.sock_sendall(self._sock, frame(response))
        except (OSError, TimeoutError):
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
