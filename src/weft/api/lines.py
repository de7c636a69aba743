"""Answers that go on: a line of JSON after the other, until either side has had enough."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from weft.api.route import Lines

CONTENT_TYPE = "application/jsonl"
LOOK_S = 2.0
"""Between two looks whether the client is there, for nothing says so while nothing is sent."""
LAST_S = 10.0
"""A client that has missed lines and takes none is let go after so long."""


async def send_lines(request: web.Request, source: Lines) -> web.StreamResponse:
    """Send all lines, as the client takes them."""
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    looking = asyncio.ensure_future(_look_after(request, source))
    try:
        await response.prepare(request)
        async for line in source.lines():
            await response.write(msgspec.json.encode(line) + b"\n")
        await response.write_eof()
    except ConnectionError:
        pass  # the client has gone; nothing is to be told to anybody
    finally:
        looking.cancel()
        source.close()
    return response


async def _look_after(request: web.Request, source: Lines) -> None:
    """End it when the client has gone, or takes nothing more though it has missed lines."""
    behind_s = 0.0
    while True:
        await asyncio.sleep(LOOK_S)
        transport = request.transport
        if transport is None or transport.is_closing():
            source.close()
            return
        behind_s = behind_s + LOOK_S if source.has_missed else 0.0
        if behind_s >= LAST_S:
            transport.abort()
            return
