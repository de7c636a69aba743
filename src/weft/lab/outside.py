"""The world outside of the hosts: a web server and a resolver, all that tests and demos need.

Runs on the node ``outside`` as ``python -m weft.lab.outside ADDRESS4 ADDRESS6 [NAME ADDRESS]…``,
ends with SIGTERM, and says on its output who asked for what.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

from weft.lab.layout import OUTSIDE_READY
from weft.lab.zone import Zone


async def serve(addresses: list[str], zone: Zone, is_over: asyncio.Event) -> None:
    """Answer HTTP on port 80 and DNS on port 53 of each address until `is_over`."""
    loop = asyncio.get_running_loop()
    application = web.Application()
    application.add_routes([web.get("/", _hello), web.get("/bytes/{count}", _bytes)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    for address in addresses:
        await web.TCPSite(runner, address, 80).start()
        await loop.create_datagram_endpoint(lambda: _UdpServer(zone), local_addr=(address, 53))
        await asyncio.start_server(_tcp(zone), address, 53)
    print(OUTSIDE_READY, flush=True)
    await is_over.wait()
    await runner.cleanup()


async def _hello(request: web.Request) -> web.Response:
    """Tell the client under which address it came: the way to see a masquerade."""
    print(f"http {request.remote} {request.path}", flush=True)
    return web.Response(text=f"outside greets {request.remote}\n")


async def _bytes(request: web.Request) -> web.Response:
    """A body of a wanted length."""
    count = request.match_info["count"]
    if not count.isdecimal() or int(count) > 100_000_000:
        raise web.HTTPBadRequest(text="say /bytes/N with N up to 100000000\n")
    return web.Response(body=bytes(int(count)))


class _UdpServer(asyncio.DatagramProtocol):
    """Answers each query from the zone."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        print(f"dns {addr[0]} udp {self._zone.describe(data)}", flush=True)
        answer = self._zone.answer(data, is_udp=True)
        if answer is not None:
            self._transport.sendto(answer, addr)


def _tcp(
    zone: Zone,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer queries, each behind two bytes of length (RFC 1035 section 4.2.2)."""
        peer = writer.get_extra_info("peername")[0]
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                data = await reader.readexactly(length)
                print(f"dns {peer} tcp {zone.describe(data)}", flush=True)
                answer = zone.answer(data, is_udp=False)
                if answer is None:
                    break
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has what it wanted
        finally:
            writer.close()

    return converse


async def main() -> None:
    """Serve as the command line says."""
    address4, address6, *pairs = sys.argv[1:]
    names = list(zip(pairs[::2], pairs[1::2]))
    is_over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_over.set)
    await serve([address4, address6], Zone([address4, address6], names), is_over)


if __name__ == "__main__":
    asyncio.run(main())
