"""The process. Its standard input is weftd's: a table a line. It ends some time after weftd."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from weft.model.addresses import IPAddress
from weft.model.service_addresses import DNS4
from weft.proxy import table as tables
from weft.proxy.table import LISTENS_AT
from weft.proxy.tcp import TcpProxy
from weft.proxy.udp import UdpProxy
from weft.semantics.proxied import ProxiedPorts

RETRY_S = 1.0
PURGED_S = 2.0
LONGEST_S = 24 * 3600.0
"""After weftd has ended; who talks longer is cut off."""
_LONGEST_LINE = 1 << 24


def main() -> None:
    """Proxy what standard input says."""
    asyncio.run(Proxy().run())


class Proxy:
    """All sockets of the process."""

    def __init__(self) -> None:
        self._table: list[ProxiedPorts] = []
        self._tcp: list[TcpProxy] = []
        self._udp: list[UdpProxy] = []

    async def run(self) -> None:
        """Until weftd is gone, and then until the last connection is."""
        tasks = [
            asyncio.create_task(self._listen(make, address))
            for address in LISTENS_AT
            for make in (self._make_tcp, self._make_udp)
        ]
        await self._follow()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for datagrams in self._udp:
            datagrams.stop()
        ends = {asyncio.create_task(self._finish()), asyncio.create_task(_until_purged())}
        await asyncio.wait(ends, timeout=LONGEST_S, return_when="FIRST_COMPLETED")

    async def _finish(self) -> None:
        await asyncio.gather(*(connections.finish() for connections in self._tcp))

    async def _follow(self) -> None:
        reader = asyncio.StreamReader(limit=_LONGEST_LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self._table = tables.decode(line)
            for datagrams in self._udp:
                datagrams.look_again()

    async def _listen(
        self, make: Callable[[IPAddress], TcpProxy | UdpProxy], address: IPAddress
    ) -> None:
        """The address may not be there yet, or never: a kernel may have no IPv6."""
        while True:
            with suppress(OSError):
                await make(address).run()
            await asyncio.sleep(RETRY_S)

    def _make_tcp(self, address: IPAddress) -> TcpProxy:
        self._tcp.append(TcpProxy(address, self._find))
        return self._tcp[-1]

    def _make_udp(self, address: IPAddress) -> UdpProxy:
        self._udp.append(UdpProxy(address, self._find))
        return self._udp[-1]

    def _find(self, protocol: str, address: IPAddress, port: int) -> tuple[IPAddress, int] | None:
        return tables.find(self._table, protocol, address, port)


async def _until_purged() -> None:
    """Until Weft's addresses are gone from this host, and all its networks with them."""
    while True:
        await asyncio.sleep(PURGED_S)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((str(DNS4), 0))
            except OSError:
                return


if __name__ == "__main__":
    main()
