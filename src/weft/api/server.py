"""The HTTP API on weftd's unix socket, and Prometheus's TCP port when the settings name one.

Who may use it: root, and the members of the group ``weft`` where that group exists. There is no
other authentication, so the API is never served over TCP; the metrics port serves metrics alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import grp
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import cast

import msgspec
import structlog
from aiohttp import web

from weft.api.context import Context
from weft.api.errors import mapped, to_body
from weft.api.lines import send_lines
from weft.api.openapi import describe
from weft.api.request import BODY_LIMIT_BYTES, decode_body, decode_query
from weft.api.route import AnyRoute, Call, Lines
from weft.api.routes import ROUTES
from weft.api.schema import Answer
from weft.errors import ConflictError, InvalidError, NotFoundError, UnavailableError, WeftError

GROUP = "weft"
"""Its members may use the API without being root."""
DEADLINE_S = 60.0
"""For one request, from its first byte to its answer."""
MAX_METRICS_CONNECTIONS = 64
_deadline: ContextVar[asyncio.Timeout] = ContextVar("deadline")
"""Of the request that is answered; an answer that goes on has none."""
STOP_GRACE_S = 2.0
"""How long requests under way may take once weftd stops."""

_LIMIT = "weft.limit"
"""Of a request: the most bytes that its body may have."""

log = structlog.get_logger()


class ApiServer:
    """Serves the API while `run` runs."""

    def __init__(self, context: Context, *, deadline_s: float = DEADLINE_S) -> None:
        self._context = context
        self._deadline_s = deadline_s
        self.listening = asyncio.Event()
        """Set while requests are taken."""

    async def run(self) -> None:
        """Until cancelled. ConflictError: another weftd serves on this socket."""
        settings = self._context.settings
        async with contextlib.AsyncExitStack() as stack:
            listener = stack.enter_context(listen(settings.api_socket))
            stack.callback(settings.api_socket.unlink, missing_ok=True)
            api = await stack.enter_async_context(_runner(self._application()))
            await web.SockSite(api, listener).start()
            if settings.metrics:
                runner = await stack.enter_async_context(_runner(self._metrics_application()))
                server = await _start_tcp(runner, settings.metrics)
                stack.callback(server.close)
            self.listening.set()
            log.info("api listens", socket=str(settings.api_socket), metrics=settings.metrics)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.listening.clear()
                self._context.feed.end()

    def _application(self) -> web.Application:
        application = web.Application(
            client_max_size=BODY_LIMIT_BYTES, middlewares=[self._answer_errors]
        )
        for route in ROUTES:
            application.router.add_route(route.method, route.path, self._serve(route))
        application.router.add_get("/v1/openapi.json", _describe, allow_head=False)
        application.router.add_get("/metrics", self._metrics, allow_head=False)
        return application

    def _metrics_application(self) -> web.Application:
        application = web.Application(middlewares=[self._answer_errors])
        application.router.add_get("/metrics", self._metrics, allow_head=False)
        return application

    async def _metrics(self, request: web.Request) -> web.Response:
        text = await self._context.metrics()
        return web.Response(
            body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    def _serve(self, route: AnyRoute) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            body = None
            if route.body is not None:
                body = decode_body(await request.read(), route.body)
            query = decode_query(request.query.items(), route.query)
            call = Call(path=dict(request.match_info), query=query, body=body)
            answer = await route.handler(self._context, call)
            if route.is_lines:
                _deadline.get().reschedule(None)
                return await send_lines(request, cast("Lines", answer))
            return _json(cast("Answer | None", answer), route.status)

        return serve

    @web.middleware
    async def _answer_errors(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                _deadline.set(deadline)
                return await handler(request)
        except WeftError as error:
            return _error(error)
        except TimeoutError:
            return _error(
                UnavailableError(
                    f"{request.method} {request.path} did not finish within"
                    f" {self._deadline_s:g} s; look at weft status problems, then try again"
                )
            )
        except web.HTTPException as error:
            return _http_error(request, error)
        except ConnectionError:
            raise
        except Exception:
            log.exception("request failed", method=request.method, path=request.path)
            return _error(
                WeftError(f"{request.method} {request.path}: fault in weftd; its log has more")
            )


def listen(path: Path) -> socket.socket:
    """A listening unix socket that only root, and the group `GROUP` if there is one, may use.

    The mode is set before the socket has a name, so there is no moment at which others get in.
    A socket that a dead weftd left is replaced; ConflictError when somebody answers on it.
    """
    group = _group()
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(path))
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(0o660)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UnavailableError(f"API socket {path}: {error.strerror or error}") from error
    return listener


def _group() -> int | None:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except OSError:
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise ConflictError(f"API socket {path}: a file that is no socket") from None
            path.unlink(missing_ok=True)
            return
    raise ConflictError(f"API socket {path}: another weftd serves there; stop it with weft down")


@contextlib.asynccontextmanager
async def _runner(application: web.Application) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=STOP_GRACE_S, handle_signals=False
    )
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


class _Bounded:
    """Makes the protocols of a port that strangers reach: of too many connections the oldest ends,
    so that whoever keeps many open keeps nobody out, and takes no file descriptors from weftd."""

    def __init__(self, server: web.Server) -> None:
        self._server = server

    def __call__(self) -> asyncio.Protocol:
        connections = self._server.connections
        if len(connections) >= MAX_METRICS_CONNECTIONS:
            connections[0].force_close()
            if connections[0].transport is not None:
                connections[0].transport.abort()
        return self._server()


async def _start_tcp(runner: web.AppRunner, where: str) -> asyncio.Server:
    address, colon, port = where.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidError(f"setting metrics = {where!r}: say ADDRESS:PORT, as 127.0.0.1:9090")
    assert runner.server is not None
    bounded = _Bounded(runner.server)
    try:
        server = await asyncio.get_running_loop().create_server(
            bounded, address.strip("[]") or None, int(port), reuse_address=True
        )
    except OSError as error:
        raise UnavailableError(f"setting metrics = {where!r}: {error.strerror}") from error
    return server


@functools.cache
def _description() -> bytes:
    return msgspec.json.encode(describe(ROUTES))


async def _describe(request: web.Request) -> web.Response:
    return web.Response(body=_description(), content_type="application/json")


async def _read(request: web.Request, limit: int) -> bytes:
    request[_LIMIT] = limit
    data = b"" if (request.content_length or 0) > limit else await request.read()
    size = max(len(data), request.content_length or 0)
    if size > limit:
        raise web.HTTPRequestEntityTooLarge(limit, size)
    return data


def _json(answer: msgspec.Struct | None, status: int) -> web.Response:
    if answer is None:
        return web.Response(status=status)
    return web.Response(
        body=msgspec.json.encode(answer), status=status, content_type="application/json"
    )


def _error(error: WeftError, status: int | None = None) -> web.Response:
    return _json(to_body(error), status or mapped(error).status)


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    match error:
        case web.HTTPRequestEntityTooLarge():
            text = f"request body: larger than {BODY_LIMIT_BYTES} bytes"
            response = _error(InvalidError(text), 413)
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            text = f"{request.method} {request.path}: not offered; offered are {allowed}"
            response = _error(InvalidError(text), 405)
            response.headers["Allow"] = allowed
        case web.HTTPNotFound():
            text = f"{request.method} {request.path}: no such path; GET /v1/openapi.json lists them"
            response = _error(NotFoundError(text))
        case _:
            response = _error(InvalidError(error.reason), error.status)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        response.force_close()
    return response
