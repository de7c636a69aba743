"""Connections: from a client to Weft's own address, and on to the workload."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from weft.engine.plumbing.marks import PROXY_MARK
from weft.model.addresses import IPAddress, ip_address
from weft.model.service_addresses import PROXY_PORT

MAX_CONNECTIONS = 1024
MAX_TO_ONE = 256
"""To one port of a workload; who comes beyond that is closed at once."""
CONNECT_S = 5.0
_PIECE_BYTES = 1 << 17
_ORIGINAL_DESTINATION = 80  # SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST
_SOL_IPV6 = 41
_SO_MARK = 36
_IDLE_S, _INTERVAL_S, _PROBES = 300, 30, 4
Find = Callable[[str, IPAddress, int], tuple[IPAddress, int] | None]


class TcpProxy:
    """One listening socket and its connections."""

    def __init__(self, address: IPAddress, find: Find) -> None:
        self._find = find
        self._listener = listening(address, socket.SOCK_STREAM)
        self._open: Counter[tuple[IPAddress, int]] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def finish(self) -> None:
        """Take nothing new, and return when the last connection has ended."""
        self._listener.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self) -> None:
        """Take connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            target = self._target_of(client)
            if target is None or self._is_full(target):
                client.close()
                continue
            self._open[target] += 1
            task = asyncio.create_task(self._serve(client, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _target_of(self, client: socket.socket) -> tuple[IPAddress, int] | None:
        try:
            return self._find("tcp", *original_destination(client))
        except OSError:  # nobody translated it, or the client is gone
            return None

    def _is_full(self, target: tuple[IPAddress, int]) -> bool:
        return len(self._tasks) >= MAX_CONNECTIONS or self._open[target] >= MAX_TO_ONE

    async def _serve(self, client: socket.socket, target: tuple[IPAddress, int]) -> None:
        loop = asyncio.get_running_loop()
        workload = marked(target[0], socket.SOCK_STREAM)
        try:
            async with asyncio.timeout(CONNECT_S):
                await loop.sock_connect(workload, (str(target[0]), target[1]))
            for each in (client, workload):
                _keep_alive(each)
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(client, workload))
                both.create_task(_copy(workload, client))
        except* OSError:  # either of them is gone, or the workload does not listen
            pass
        finally:
            client.close()
            workload.close()
            self._open[target] -= 1


async def _copy(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while piece := await loop.sock_recv(source, _PIECE_BYTES):
        await loop.sock_sendall(sink, piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def original_destination(client: socket.socket) -> tuple[IPAddress, int]:
    """Where a client meant to go before it was translated to here. OSError: it was not."""
    if client.family == socket.AF_INET:
        raw = client.getsockopt(socket.IPPROTO_IP, _ORIGINAL_DESTINATION, 16)
        address = raw[4:8]
    else:
        raw = client.getsockopt(_SOL_IPV6, _ORIGINAL_DESTINATION, 28)
        address = raw[8:24]
    return ip_address(address), struct.unpack_from("!H", raw, 2)[0]


def listening(address: IPAddress, kind: socket.SocketKind) -> socket.socket:
    """A socket on Weft's own address. One that still serves an earlier weftd's connections does not
    stand in its way."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((str(address), PROXY_PORT))
        if kind == socket.SOCK_STREAM:
            made.listen(512)
    except OSError:
        made.close()
        raise
    return made


def marked(address: IPAddress, kind: socket.SocketKind) -> socket.socket:
    """A socket towards a workload."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.SOL_SOCKET, _SO_MARK, struct.pack("=I", PROXY_MARK))
    return made


def _keep_alive(sock: socket.socket) -> None:
    """So that peers that vanished do not hold a place for ever."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
