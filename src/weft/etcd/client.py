"""An etcd, spoken to by way of its JSON gateway.

One member is asked at a time, and the next one when it does not answer. A request that may have
arrived is not repeated here: whether it was carried out is for the caller to find out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import aiohttp
import msgspec

from weft.errors import InvalidError, UnavailableError
from weft.etcd import wire
from weft.etcd.wire import (
    Complaint,
    RangeAnswer,
    Request,
    TokenAnswer,
    TxnAnswer,
    WatchAnswer,
    WatchMessage,
)
from weft.readiness import ready

T = TypeVar("T")

ANSWER_S = 5.0
"""For an answer: a new leader is chosen in less."""
CONNECT_S = 2.0
QUIET_S = 60.0
"""A watch in which nothing happens is begun anew after this."""
PAGE = 1000
"""Keys that are read at once."""
_DECODER = json.JSONDecoder()
_UNAUTHENTICATED = 16
_ARGUMENT = 3
_DENIED = 7


class Credentials(NamedTuple):
    """Who weftd is to an etcd that asks for it. Its `repr` shows no password."""

    user: str
    read_password: Callable[[], str]

    def __repr__(self) -> str:
        return f"Credentials({self.user})"


class EtcdClient:
    """Use it on one event loop, and close it."""

    def __init__(
        self,
        urls: Sequence[str],
        tls: Callable[[], ssl.SSLContext] | None = None,
        credentials: Credentials | None = None,
        answer_s: float = ANSWER_S,
    ) -> None:
        """tls: called whenever there is a new connection to make, so that files may change."""
        self._answer_s = answer_s
        self._urls = tuple(urls)
        self._tls = tls
        self._credentials = credentials
        self._token: str | None = None
        self._turn = 0
        self._session: aiohttp.ClientSession | None = None
        self._watching: set[aiohttp.ClientResponse] = set()

    @property
    def urls(self) -> Sequence[str]:
        """Of all members that are known."""
        return self._urls

    @property
    def url(self) -> str:
        """Of the member that is asked now."""
        return self._urls[self._turn % len(self._urls)] if self._urls else ""

    def use(self, urls: Sequence[str]) -> None:
        """Ask these members from now on."""
        if set(urls) != set(self._urls):
            present = self.url
            self._urls = tuple(urls)
            self._turn = self._urls.index(present) if present in self._urls else 0

    def turn_away(self) -> None:
        """Ask another member from now on."""
        self._turn += 1

    async def close(self) -> None:
        """End all connections; they are made anew when something is asked."""
        session, self._session = self._session, None
        if session is None:
            return
        for response in self._watching:
            # aiohttp tells no one who reads that it has closed the connection.
            response.content.set_exception(aiohttp.ClientConnectionError("closed here"))
        await session.close()

    async def call(self, path: str, request: Request, wanted: type[T]) -> T:
        """Ask for something.

        UnavailableError: nobody answers, or without a majority. InvalidError: etcd refuses it.
        """
        if not self._urls:
            raise UnavailableError("etcd: no member is known yet")
        silent = []
        for _ in self._urls:
            try:
                return await self._call(path, request, wanted)
            except _NotSentError as error:
                silent.append(f"{self.url}: {error}")
                self.turn_away()
        raise UnavailableError(f"etcd {'; '.join(silent)}")

    async def read(self, prefix: bytes, revision: int = 0) -> AsyncIterator[RangeAnswer]:
        """All keys that begin with `prefix`, in pages, of one moment."""
        begin, end = prefix, wire.end_of(prefix)
        while True:
            request = {"key": begin, "range_end": end, "limit": PAGE, "revision": revision}
            page = await self.call("/v3/kv/range", request, RangeAnswer)
            yield page
            if not page.more or not page.kvs:
                return
            revision = revision or page.header.revision
            begin = page.kvs[-1].key + b"\0"

    async def transact(self, request: Request) -> TxnAnswer:
        """See `wire.transaction`."""
        return await self.call("/v3/kv/txn", request, TxnAnswer)

    async def watch(self, prefix: bytes, revision: int) -> AsyncGenerator[WatchAnswer, None]:
        """Changes from a revision on, as they come. Asks one member, and only it.

        The last answer may say that it was cancelled. Ends when nothing came for `QUIET_S`, for a
        connection can be dead without a word. UnavailableError: it ended otherwise.
        """
        create = {"key": prefix, "range_end": wire.end_of(prefix), "start_revision": revision}
        url = self.url
        with self._explained(url):
            async with await self._post(url, "/v3/watch", {"create_request": create}, None) as got:
                await self._check(got)
                self._watching.add(got)
                try:
                    async for line in _lines(got.content):
                        yield _watched(line)
                except aiohttp.SocketTimeoutError:
                    return
                finally:
                    self._watching.discard(got)
        raise UnavailableError(f"etcd {url}: ended the watch")

    async def _call(self, path: str, request: Request, wanted: type[T]) -> T:
        url = self.url
        for is_last in (False, True):
            with self._explained(url):
                async with await self._post(url, path, request, self._answer_s) as got:
                    if not is_last and await self._is_stranger(got):
                        continue
                    await self._check(got)
                    return wire.decode(await got.read(), wanted)
        raise AssertionError

    async def _is_stranger(self, got: aiohttp.ClientResponse) -> bool:
        """Whether etcd wants to know (again) who asks."""
        if got.status == 200 or self._credentials is None:
            return False
        complaint = _complaint(await got.read())
        is_unknown = complaint.code == _UNAUTHENTICATED or "user name is empty" in complaint.message
        if is_unknown:
            self._token = None
        return is_unknown

    async def _post(
        self, url: str, path: str, request: Request, answer_s: float | None
    ) -> aiohttp.ClientResponse:
        if self._credentials is not None and self._token is None:
            await self._log_in(url, self._credentials)
        headers = {"Authorization": self._token} if self._token else {}
        return await self._send(url, path, request, answer_s, headers)

    async def _send(
        self,
        url: str,
        path: str,
        request: Request,
        answer_s: float | None,
        headers: Mapping[str, str],
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = self._begin()
        read_s = QUIET_S if answer_s is None else None
        timeout = aiohttp.ClientTimeout(answer_s, sock_connect=CONNECT_S, sock_read=read_s)
        data = msgspec.json.encode(request)
        return await self._session.post(url + path, data=data, timeout=timeout, headers=headers)

    def _begin(self) -> aiohttp.ClientSession:
        tls: Any = self._tls() if self._tls is not None else False
        connector = aiohttp.TCPConnector(ssl=tls, limit=8)
        return aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def _log_in(self, url: str, credentials: Credentials) -> None:
        request = {"name": credentials.user, "password": credentials.read_password()}
        path = "/v3/auth/authenticate"
        async with await self._send(url, path, request, self._answer_s, {}) as got:
            if got.status == 400:
                complaint = _complaint(await got.read())
                raise InvalidError(
                    f"etcd {url}: user {credentials.user}: {complaint.message}; see --etcd-user "
                    "and --etcd-password-file"
                )
            await self._check(got)
            self._token = wire.decode(await got.read(), TokenAnswer).token

    async def _check(self, got: aiohttp.ClientResponse) -> None:
        if got.status == 200:
            return
        complaint = _complaint(await got.read())
        reason = complaint.message or complaint.error or f"HTTP status {got.status}"
        text = f"etcd {got.url.origin()}: {reason}"
        if "space exceeded" in reason:
            raise UnavailableError(
                f"{text}; its database is full: compact and defragment it, then etcdctl alarm "
                "disarm, or give it more by --quota-backend-bytes"
            )
        if complaint.code in (_ARGUMENT, _DENIED, _UNAUTHENTICATED):
            raise InvalidError(text)
        self.turn_away()
        raise UncertainError(text)

    @contextlib.contextmanager
    def _explained(self, url: str) -> Iterator[None]:
        """Whatever goes wrong with a connection, as an error of ours."""
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _NotSentError(_reason(error)) from error
        except TimeoutError as error:
            self.turn_away()
            raise UncertainError(f"etcd {url}: no answer within {self._answer_s:g} s") from error
        except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
            self.turn_away()
            raise UncertainError(f"etcd {url}: {_reason(error)}") from error


class UncertainError(UnavailableError):
    """Etcd did not say so, and may have done what it was asked, or may do it yet."""


class _NotSentError(UnavailableError):
    """Another member may be asked, for this one has not heard of it."""


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in filter(None, lines):
            yield line


def _reason(error: Exception) -> str:
    inner = getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {inner.verify_message}; see --etcd-ca-file"
    if isinstance(inner, ssl.SSLError):
        return f"TLS: {inner.reason or inner}; see --etcd-ca-file, --etcd-cert-file"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection within {CONNECT_S:g} s"
    if isinstance(inner, OSError) and "[SSL" in str(inner):
        return f"TLS: {inner.strerror or inner}; see --etcd-ca-file, --etcd-cert-file"
    if isinstance(inner, OSError) and inner.errno and inner.errno > 0:
        return os.strerror(inner.errno)
    return getattr(inner, "strerror", None) or str(error) or type(error).__name__


def _complaint(data: bytes) -> Complaint:
    """Of a stream it comes inside another object; and text may follow it."""
    try:
        complaint: object
        complaint, _ = _DECODER.raw_decode(data.decode())
    except ValueError:
        return Complaint(message=data[:200].decode(errors="replace").strip())
    if isinstance(complaint, dict) and isinstance(complaint.get("error"), dict):
        complaint = complaint["error"]
    try:
        return msgspec.convert(complaint, ready(Complaint), strict=False)
    except msgspec.ValidationError:
        return Complaint()


def _watched(line: bytes) -> WatchAnswer:
    message = wire.decode(line, WatchMessage)
    if message.result is None:
        reason = (message.error or {}).get("message", "nothing in an answer")
        raise UnavailableError(f"etcd: watch: {reason}")
    return message.result


async def every(pages: AsyncIterator[RangeAnswer]) -> tuple[list[wire.KeyValue], int]:
    """All of a range, and the revision that it is of."""
    found: list[wire.KeyValue] = []
    revision = 0
    async for page in pages:
        found += page.kvs
        revision = revision or page.header.revision
        await asyncio.sleep(0)
    return found, revision
