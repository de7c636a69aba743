"""The plugin's HTTP server: JSON over a unix socket, one POST a call.

Every call gets an answer in time: a body that is too big, broken or for a method that is not
there, a handler that fails or takes too long, all become a sentence that Docker shows its user.
Errors that Weft means are status 200 with `Err` and `Error` set, because that is what Docker's
client prefixes least; 4xx are for requests that no Docker sends.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import structlog
from aiohttp import web

from weft.errors import WeftError
from weft.frontends.docker.protocol import Empty, Failure, Message, decode, encode, failure

log = structlog.get_logger()

CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json"
MAX_BODY_BYTES = 64 << 20
"""Docker names each published port by itself, in 100 bytes or so, and each twice or thrice."""
_MAX_DRAIN_BYTES = 256 << 20
DEADLINE_S = 25.0
"""Above the time that control gives the kernel, below that after which users lose patience."""


class Method(NamedTuple):
    """What a call is made of. `request` Empty: the body is not looked at."""

    request: type[Message]
    handler: Callable[[Any], Awaitable[Message]]


class PluginServer:
    """Serves methods under ``/NAME`` on a socket that listens already."""

    def __init__(self, methods: Mapping[str, Method], deadline_s: float = DEADLINE_S) -> None:
        self._methods = methods
        self._deadline_s = deadline_s

    async def serve(self, listener: socket.socket) -> None:
        """Answer until cancelled; calls that are under way then get a moment to end."""
        application = web.Application()
        application.router.add_route("*", "/{method:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["method"]
        method = self._methods.get(name)
        try:
            async with asyncio.timeout(self._deadline_s):
                body = await _body(request)
        except TimeoutError:
            return _response(failure(f"{name}: the request did not end in time"), 408)
        if method is None:
            return _response(failure(f"{name}: weft has no such method"), 404)
        if request.method != "POST":
            return _response(failure(f"{name}: use POST"), 405)
        if body is None:
            limit = f"{MAX_BODY_BYTES >> 20} MiB"
            return _response(failure(f"{name}: the request is larger than {limit}"), 413)
        return await self._call(name, method, body)

    async def _call(self, name: str, method: Method, body: bytes) -> web.Response:
        try:
            message = Empty() if method.request is Empty else decode(name, body, method.request)
        except WeftError as error:
            return _response(failure(str(error)), 400)
        try:
            async with asyncio.timeout(self._deadline_s):
                return _response(await method.handler(message))
        except TimeoutError:
            log.error("docker call took too long", method=name, deadline_s=self._deadline_s)
            return _response(
                failure(f"{name}: weftd did not finish within {self._deadline_s:.0f} s; try again")
            )
        except WeftError as error:
            log.warning("docker call refused", method=name, reason=str(error))
            return _response(failure(str(error)))
        except Exception:
            log.exception("docker call failed", method=name)
            return _response(failure(f"{name}: weftd failed; its log says why"))


async def _body(request: web.Request) -> bytes | None:
    """The body; None when it is too big. It is read to its end all the same (within reason), for
    a client that still sends reads no answer."""
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_chunked(1 << 16):
        size += len(part)
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        elif size > _MAX_DRAIN_BYTES:
            break
        else:
            parts.clear()
    return b"".join(parts) if size <= MAX_BODY_BYTES else None


def _response(message: Message, status: int = 200) -> web.Response:
    if isinstance(message, Failure) and status == 200:
        log.debug("docker call answered with an error", reason=message.err)
    return web.Response(body=encode(message), status=status, content_type=CONTENT_TYPE)
