"""Serves one listening TCP socket: several queries a connection, answered as they are ready.

RFC 7766. Connections are few and short-lived by limit, so that no asker can hold many: the one
over the limit is closed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import ClassVar

import structlog

from weft.dns.askers import Askers
from weft.dns.counters import Counters
from weft.dns.responder import Responder
from weft.dns.stream import FrameReader, frame
from weft.dns.wire import Query
from weft.dns.zone import Scope

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
        self._connections: dict[str, int] = {}

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
        asker: str = source[0]
        scope = self._askers.scope(asker)
        if scope is None:
            self._counters["dropped"] += 1
            sock.close()
        elif (
            self._connections.get(asker, 0) >= MAX_CONNECTIONS_OF_ASKER
            or sum(self._connections.values()) >= MAX_CONNECTIONS
        ):
            self._counters["limited"] += 1
            sock.close()
        else:
            self._connections[asker] = self._connections.get(asker, 0) + 1
            connections.create_task(self._serve(sock, asker, scope))

    async def _serve(self, sock: socket.socket, asker: str, scope: Scope) -> None:
        try:
            with sock:
                sock.setblocking(False)
                await _Connection(sock, asker, scope, self._responder).run()
        finally:
            self._connections[asker] -= 1
            if not self._connections[asker]:
                del self._connections[asker]


class _Connection:
    def __init__(
        self,
        sock: socket.socket,
        asker: str,
        scope: Scope,
        responder: Responder,
    ) -> None:
        self._sock = sock
        self._asker = asker
        self._scope = scope
        self._responder = responder
        self._sending = asyncio.Lock()
        self._room = asyncio.Semaphore(MAX_WAITING)

    async def run(self) -> None:
        """Answer until the asker is done; answers still awaited are sent first."""
        reader = FrameReader(self._sock)
        async with asyncio.TaskGroup() as waiting:
            while (data := await self._next(reader)) is not None:
                response = self._responder.respond(data, self._scope, is_stream=True)
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
            await self._send(await self._responder.resolve(query, self._asker, is_stream=True))
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
