"""Where others knock: the listening sockets, and how many may stand at the door at once.

Accepting is done by hand, so that a stranger costs a socket and a count, and nothing more, until
TLS has shown that he belongs here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network

import structlog

from weft.errors import UnavailableError

MAX_WAITING = 256
"""Connections that are no links yet, together."""
MAX_WAITING_OF_ONE = 32
"""The same from one address, or one /64: hosts behind one NAT, starting at once."""
BACKLOG = 128
RETRY_S = 1.0

log = structlog.get_logger()

OnKnock = Callable[[socket.socket, str], Awaitable[None]]
"""Takes over the socket. The second is the address that it came from."""


class Door:
    """Listens on one TCP port of all addresses given."""

    def __init__(
        self,
        addresses: Sequence[str],
        port: int,
        on_knock: OnKnock,
        on_crowd: Callable[[str], None],
        is_familiar: Callable[[str], bool],
        max_waiting_of_one: int = MAX_WAITING_OF_ONE,
    ) -> None:
        """on_crowd: told the address of one that is turned away unheard. is_familiar: whether a
        host of the cluster has this address, so that strangers take no place of its. port 0: any
        free one."""
        self.port = 0
        self._addresses = addresses
        self._wanted_port = port
        self._on_knock = on_knock
        self._on_crowd = on_crowd
        self._is_familiar = is_familiar
        self._max_waiting_of_one = max_waiting_of_one
        self._waiting: Counter[str] = Counter()
        self._unheard: set[socket.socket] = set()
        """Accepted, and their visit has not begun."""

    def open(self) -> list[socket.socket]:
        """Sockets on all addresses. UnavailableError: the port is not to be had."""
        opened: list[socket.socket] = []
        with contextlib.ExitStack() as undo:
            for address in self._addresses:
                with contextlib.suppress(_FamilyMissing):
                    listening = _listen(address, self.port or self._wanted_port)
                    undo.callback(listening.close)
                    opened.append(listening)
                    self.port = listening.getsockname()[1]
            if not opened:
                raise UnavailableError("no address to listen on")
            undo.pop_all()
        return opened

    async def serve(self, listening: socket.socket) -> None:
        """Let in whoever comes, until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as visits:
                self._watch(listening, visits)
                await loop.create_future()
        finally:
            loop.remove_reader(listening)
            while self._unheard:
                self._unheard.pop().close()

    def _watch(self, listening: socket.socket, visits: asyncio.TaskGroup) -> None:
        if listening.fileno() >= 0:
            loop = asyncio.get_running_loop()
            loop.add_reader(listening, self._accept, listening, visits)

    def _accept(self, listening: socket.socket, visits: asyncio.TaskGroup) -> None:
        """All who stand there. Not `loop.sock_accept`: cancelled, it may lose one it has."""
        try:
            for _ in range(BACKLOG):
                came, peer = listening.accept()
                came.setblocking(False)
                self._admit(visits, came, peer[0].partition("%")[0])
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError as error:
            log.warning("no connection can be accepted", reason=error.strerror)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            loop.call_later(RETRY_S, self._watch, listening, visits)

    def _admit(self, visits: asyncio.TaskGroup, came: socket.socket, address: str) -> None:
        source = _source(address)
        is_full = self._waiting.total() >= MAX_WAITING and not self._is_familiar(address)
        if is_full or self._waiting[source] >= self._max_waiting_of_one:
            came.close()
            self._on_crowd(address)
            return
        self._waiting[source] += 1
        self._unheard.add(came)
        visits.create_task(self._visit(came, address, source))

    async def _visit(self, came: socket.socket, address: str, source: str) -> None:
        self._unheard.discard(came)
        try:
            await self._on_knock(came, address)
        finally:
            self._waiting[source] -= 1
            if not self._waiting[source]:
                del self._waiting[source]


class _FamilyMissing(Exception):
    """The kernel has no such addresses."""


def _listen(address: str, port: int) -> socket.socket:
    is_ipv6 = ":" in address
    try:
        listening = socket.socket(
            socket.AF_INET6 if is_ipv6 else socket.AF_INET,
            socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
        )
    except OSError as error:
        raise _FamilyMissing from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if is_ipv6 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise _FamilyMissing from error
        raise UnavailableError(f"TCP port {port}: {error.strerror}") from error
    return listening


def is_own_address(address: str) -> bool:
    """Whether this host still has it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


def _source(address: str) -> str:
    """What counts as one: an IPv4 address, an IPv6 subnet."""
    if isinstance(ip_address(address), IPv6Address):
        return str(ip_network(f"{address}/64", strict=False))
    return address
