"""Where other hosts knock: the listening sockets, and the connections that wait there until they
are links.

A connection waits in one of three rooms (`room.Room`): until its TLS hello has named this cluster's
secret by a hash, which only hosts and those who listen to them know; until TLS has proved that it
is a member's; until its greeting is over. Each room is small, and a connection that proves more
leaves those behind that have proved less, so no number of strangers keeps a member waiting.
Accepting is done by hand and paced: however quickly strangers knock, weftd must have time for its
other work, names above all.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable, Sequence

import structlog

from weft.cluster.room import Room, Visit, source_of
from weft.errors import UnavailableError
from weft.model.ids import HostId

MAX_WAITING = 256
"""Connections in each room, together."""
MAX_WAITING_OF_ONE = 32
"""The same from one address, or one /64: hosts behind one NAT, starting at once."""
MAX_WAITING_OF_MEMBER = 8
"""Of one host id, once TLS has proved it."""
BACKLOG = 512
"""Connections that the kernel keeps until they are accepted."""
BATCH = 16
PAUSE_S = 0.016
"""After a full batch: a thousand connections a second are accepted, the kernel keeps the others."""
RETRY_S = 1.0

log = structlog.get_logger()


class Guest:
    """A connection at the door, which is told how much it has proved."""

    def __init__(self, visit: Visit, rooms: Rooms) -> None:
        self._visit = visit
        self._rooms = rooms

    @property
    def address(self) -> str:
        """Where it came from."""
        return self._visit.address

    def named(self) -> None:
        """It has named a secret of this cluster."""
        self._visit.move(self._rooms.named, source_of(self.address))

    def proved(self, host_id: HostId | None) -> None:
        """It has shown a certificate of this cluster for this host."""
        self._visit.move(self._rooms.proved, host_id or "")


class Rooms:
    """Where connections wait, by what they have proved."""

    def __init__(self, of_one: int, on_crowd: Callable[[str], None]) -> None:
        def crowded(visit: Visit) -> None:
            on_crowd(visit.address)

        self.unknown = Room(MAX_WAITING, of_one, crowded)
        self.named = Room(MAX_WAITING, of_one, crowded)
        self.proved = Room(MAX_WAITING, MAX_WAITING_OF_MEMBER, crowded)

    def __len__(self) -> int:
        return len(self.unknown) + len(self.named) + len(self.proved)


OnKnock = Callable[[socket.socket, Guest], Awaitable[None]]
"""Takes over the socket; cancelled when it has to make room."""


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
        """on_crowd: told the address of a connection that had to make room. is_familiar: whether
        a host of the cluster has this address; it makes room last. port 0: any free one."""
        self.port = 0
        self._addresses = addresses
        self._wanted_port = port
        self._on_knock = on_knock
        self._is_familiar = is_familiar
        self._rooms = Rooms(max_waiting_of_one, on_crowd)
        self._unheard: set[socket.socket] = set()
        """Accepted, and their visit has not begun."""
        self._open: set[socket.socket] = set()
        """Where connections are accepted."""

    @property
    def waiting_count(self) -> int:
        """Connections that are no links yet."""
        return len(self._rooms)

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
        """Let in connections as they come, until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as visits:
                self._open.add(listening)
                self._watch(listening, visits)
                try:
                    await loop.create_future()
                finally:  # before the visits end, or the group would get new ones
                    self._open.discard(listening)
                    loop.remove_reader(listening)
        finally:
            while self._unheard:
                self._unheard.pop().close()

    def _watch(self, listening: socket.socket, visits: asyncio.TaskGroup) -> None:
        if listening in self._open:
            loop = asyncio.get_running_loop()
            loop.add_reader(listening, self._accept, listening, visits)

    def _pause(self, listening: socket.socket, visits: asyncio.TaskGroup, pause_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(pause_s, self._watch, listening, visits)

    def _accept(self, listening: socket.socket, visits: asyncio.TaskGroup) -> None:
        """A batch of those that stand there. Not `loop.sock_accept`: cancelled, it may lose one
        that it has."""
        try:
            for _ in range(BATCH):
                came, peer = listening.accept()
                came.setblocking(False)
                self._admit(visits, came, peer[0].partition("%")[0])
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError as error:
            log.warning("no connection can be accepted", reason=error.strerror)
            self._pause(listening, visits, RETRY_S)
            return
        self._pause(listening, visits, PAUSE_S)

    def _admit(self, visits: asyncio.TaskGroup, came: socket.socket, address: str) -> None:
        visit = Visit(address, self._is_familiar(address), lambda: self._end(came, task))
        visiting = self._visit(came, visit)
        try:
            task = visits.create_task(visiting)
        except RuntimeError:  # the door is being closed, and this one was on its way in
            visiting.close()
            came.close()
            return
        self._unheard.add(came)
        visit.move(self._rooms.unknown, source_of(address))

    def _end(self, came: socket.socket, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step closes nothing."""
        if came in self._unheard:
            self._unheard.discard(came)
            came.close()
        task.cancel()

    async def _visit(self, came: socket.socket, visit: Visit) -> None:
        self._unheard.discard(came)
        try:
            await self._on_knock(came, Guest(visit, self._rooms))
        except Exception:
            log.exception("fault in weftd over one connection", address=visit.address)
        finally:
            visit.leave()
            visit.end = _nothing


def _nothing() -> None:
    """In the place of a way back to what is over, so that no cycle keeps it."""


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
