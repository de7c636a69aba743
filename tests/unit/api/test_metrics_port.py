"""The metrics port may face strangers: what they keep open is bounded, and keeps nobody out."""

from __future__ import annotations

import asyncio

from aiohttp import web

from tests.free_ports import free_port
from weft.api.server import MAX_METRICS_CONNECTIONS, _start_tcp

DEADLINE_S = 10.0


async def told(request: web.Request) -> web.Response:
    return web.Response(text="weft_info 1")


async def test_connections_that_ask_nothing_keep_nobody_out() -> None:
    application = web.Application()
    application.router.add_get("/metrics", told)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    server = await _start_tcp(runner, f"127.0.0.1:{port}")
    idle = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(MAX_METRICS_CONNECTIONS + 20):
                idle.append(await asyncio.open_connection("127.0.0.1", port))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            idle.append((reader, writer))
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"weft_info 1")
            for oldest, _ in idle[:20]:
                assert await oldest.read() == b""
            assert runner.server is not None
            assert len(runner.server.connections) <= MAX_METRICS_CONNECTIONS
    finally:
        for _, each in idle:
            each.transport.abort()
        server.close()
        await runner.cleanup()
