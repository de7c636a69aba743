"""One question to one resolver: over UDP, and over TCP when the answer says that there is more.

Guessing an answer means to guess the id and the port: each question has a random id and a socket
of its own, whose port the kernel chooses at random, and which is connected, so that the kernel
drops what comes from elsewhere and tells when nobody listens. The case of letters is not mixed at
random as a further secret (0x20): some home routers do not give it back as it was, and resolvers
of hosts are near.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv6Address

from weft.dns import response
from weft.dns.stream import FrameReader, frame
from weft.dns.wire import MAX_UDP_BYTES
from weft.model.addresses import IPAddress

_RECEIVE_BYTES = max(MAX_UDP_BYTES, 4096)


class BadReplyError(Exception):
    """The resolver closed the connection before it answered."""


async def ask(server: IPAddress, port: int, id: int, question: bytes, query: bytes) -> bytes:
    """The reply to `query`, which holds `id` and `question`.

    Waits for ever: the caller sets a time limit. OSError when the resolver cannot be reached,
    BadReplyError when it breaks off.
    """
    reply = await _ask_udp(server, port, id, question, query)
    if response.is_truncated(reply):
        return await _ask_tcp(server, port, id, question, query)
    return reply


async def _ask_udp(server: IPAddress, port: int, id: int, question: bytes, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with _socket(server, socket.SOCK_DGRAM) as sock:
        sock.connect(_destination(server, port))
        await loop.sock_sendall(sock, query)
        while True:
            reply = await loop.sock_recv(sock, _RECEIVE_BYTES)
            if response.is_reply(reply, id, question):
                return reply


async def _ask_tcp(server: IPAddress, port: int, id: int, question: bytes, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with _socket(server, socket.SOCK_STREAM) as sock:
        await loop.sock_connect(sock, _destination(server, port))
        await loop.sock_sendall(sock, frame(query))
        reader = FrameReader(sock)
        while (reply := await reader.read()) is not None:
            if response.is_reply(reply, id, question):
                return reply
    raise BadReplyError("connection closed before the answer")


def _destination(server: IPAddress, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """What a socket connects to. The interface of a link-local address (``fe80::1%eth0``) has its
    own place there, and is not taken from the text. OSError when there is no such interface."""
    if not isinstance(server, IPv6Address) or server.scope_id is None:
        return str(server), port
    scope = server.scope_id
    number = int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
    return str(server).partition("%")[0], port, 0, number


def _socket(server: IPAddress, type: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET if server.version == 4 else socket.AF_INET6
    sock = socket.socket(family, type)
    sock.setblocking(False)
    return sock
