"""Listens on every endpoint, UDP and TCP, whatever befalls one of them.

A socket that cannot be opened (another server has the port, the host has no IPv6) is tried again;
the others serve meanwhile.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence

import structlog

from weft.dns.askers import Askers
from weft.dns.counters import Counters
from weft.dns.endpoint import Endpoint, open_tcp, open_udp
from weft.dns.responder import Responder
from weft.dns.tcp import TcpServer
from weft.dns.udp import UdpServer

RETRY_S = 2.0
_Open = Callable[[Endpoint], socket.socket]
_OPEN: Mapping[type[UdpServer | TcpServer], _Open] = {UdpServer: open_udp, TcpServer: open_tcp}

log = structlog.get_logger()


class Server:
    """Serves DNS on all `endpoints`."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        responder: Responder,
        askers: Askers,
        counters: Counters,
    ) -> None:
        self._endpoints = endpoints
        self._responder = responder
        self._askers = askers
        self._counters = counters
        self._untried = len(_OPEN) * len(endpoints)
        self.failures: dict[str, str] = {}
        """What is not served now, and why: ``udp 169.254.53.53 port 335`` -> reason."""
        self.ready = asyncio.Event()
        """Set when every socket has been opened or has failed once."""

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for endpoint in self._endpoints:
                for kind in _OPEN:
                    tasks.create_task(self._serve(kind, endpoint))

    async def _serve(self, kind: type[UdpServer | TcpServer], endpoint: Endpoint) -> None:
        where = f"{kind.PROTOCOL} {endpoint.address} port {endpoint.port}"
        sock = self._try_open(kind, endpoint, where)
        self._untried -= 1
        if not self._untried:
            self.ready.set()
        while sock is None:
            await asyncio.sleep(RETRY_S)
            sock = self._try_open(kind, endpoint, where)
        await kind(sock, self._responder, self._askers, self._counters).run()

    def _try_open(
        self, kind: type[UdpServer | TcpServer], endpoint: Endpoint, where: str
    ) -> socket.socket | None:
        try:
            sock = _OPEN[kind](endpoint)
        except OSError as error:
            reason = error.strerror or str(error)
            if where not in self.failures:
                log.warning("DNS is not served", where=where, reason=reason)
            self.failures[where] = reason
            return None
        self.failures.pop(where, None)
        return sock
