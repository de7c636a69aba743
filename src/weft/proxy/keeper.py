"""weftd's side of the process, of which there is one while this host has a port to proxy."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import structlog

from weft.model.ids import HostId
from weft.model.records import Network, Port, Subnet
from weft.proxy.table import encode
from weft.semantics.proxied import ProxiedPorts, proxied_ports
from weft.store.interface import Changed, Store, View
from weft.topology.prefixes import addresses_with_a_way_out

RESTART_S = 1.0
log = structlog.get_logger()


class ProxyKeeper:
    """A long-lived part."""

    def __init__(self, store: Store, host_id: HostId) -> None:
        self._store = store
        self._host_id = host_id
        self._due = asyncio.Event()
        self._due.set()
        self._process: _Process | None = None
        store.watch(self._hear)

    async def run(self) -> None:
        """Follow the records until cancelled. The process is left to its connections then."""
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                await self._update(tuple(proxied_on(self._host_id, self._store)))
        finally:
            self._let_go()

    async def _update(self, wanted: Sequence[ProxiedPorts]) -> None:
        if self._process is not None and self._process.has_ended:
            log.warning("proxy of published ports ended by itself")
            self._let_go()
            await asyncio.sleep(RESTART_S)
        if not wanted:
            self._let_go()
            return
        if self._process is None:
            self._process = _Process(self._due.set)
        await self._process.tell(wanted)

    def _let_go(self) -> None:
        if self._process is not None:
            self._process.let_go()
            self._process = None

    def _hear(self, changes: Sequence[Changed]) -> None:
        for change in changes:
            record = change.new or change.old
            is_own = isinstance(record, Port) and record.host_id == self._host_id
            if is_own or isinstance(record, Network | Subnet):
                self._due.set()


def proxied_on(host_id: HostId, view: View) -> Iterator[ProxiedPorts]:
    """All of a host, in one order."""
    for port in sorted(view.by(Port, "host_id", host_id), key=lambda port: port.id):
        if port.published:
            yield from proxied_ports(port, addresses_with_a_way_out(view, port))


class _Process:
    """One process. Neither asyncio's own nor subprocess's: it may outlive this one."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._told: Sequence[ProxiedPorts] = ()
        self._on_end = on_end
        self.has_ended = False
        read, self._write_end = os.pipe()
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", "weft.proxy.process"],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, read, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
            )
        finally:
            os.close(read)
        self._pidfd = os.pidfd_open(self._pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)
        log.info("proxy of published ports started", pid=self._pid)

    async def tell(self, wanted: Sequence[ProxiedPorts]) -> None:
        """What it shall proxy from now on."""
        if wanted != self._told:
            self._told = wanted
            await asyncio.to_thread(self._write, encode(wanted))

    def let_go(self) -> None:
        """It takes nothing new, and ends with its last connection."""
        os.close(self._write_end)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        os.waitpid(self._pid, 0)
        self.has_ended = True
        self._on_end()

    def _write(self, line: bytes) -> None:
        with suppress(BrokenPipeError):  # it has ended; `_ended` tells
            while line:
                line = line[os.write(self._write_end, line) :]
