"""One TCP connection with TLS on it, as frames in both directions.

What is sent is queued by asyncio up to a bound; a peer that takes so little that the queue is full
loses the connection, and its session starts again where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import cast

from weft.cluster.frames import Frame, FrameReader, Kind, encode
from weft.cluster.tls_session import TlsSession
from weft.errors import InvalidError, UnavailableError
from weft.model.addresses import IPAddress

MAX_QUEUED_BYTES = 32 * 1024 * 1024
"""Several times what sessions have under way."""
MAX_EARLY_BYTES = 64 * 1024
"""Before the link is up, kept to be read; then reading pauses."""
MAX_HANDSHAKE_BYTES = 64 * 1024
"""Until TLS is established; a hello and a certificate are some 3 KB."""
LINGER_S = 2.0
"""So long a closed connection waits for the other end to hear its last words."""

FrameHandler = Callable[[Frame], None]
"""InvalidError: the connection is closed."""


class Silence(UnavailableError):
    """Nothing, or not enough, came where TLS was due."""

    def __init__(self, reason: str, *, has_begun: bool = False) -> None:
        """has_begun: something came, and it was TLS so far."""
        super().__init__(reason)
        self.has_begun = has_begun


class Connection(asyncio.Protocol):
    """Frames arrive by `next_frame` until `hand_over`, then at the handler."""

    def __init__(self, tls: TlsSession, now_s: Callable[[], float]) -> None:
        self.tls = tls
        self.received_at_s = now_s()
        """When the last bytes came, by `now_s`."""
        self.lost_because: Exception | None = None
        """The error that ended it."""
        self._now_s = now_s
        self._reader = FrameReader()
        self._handshake_bytes = 0
        self._has_said = False
        self._arrived = asyncio.Event()
        self._lost = asyncio.Event()
        self._gone = asyncio.Event()
        self._handler: FrameHandler | None = None
        self._on_lost: Callable[[], None] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def is_lost(self) -> bool:
        """Whether it is gone, or going."""
        return self._lost.is_set()

    @property
    def has_said(self) -> bool:
        """Whether the other end has said anything after TLS."""
        return self._has_said

    @property
    def local_ip(self) -> str:
        """This host's address on it."""
        assert self._transport is not None
        return str(self._transport.get_extra_info("sockname")[0])

    @property
    def peer(self) -> tuple[IPAddress, int]:
        """Address and port at the other end."""
        assert self._transport is not None
        address, port = self._transport.get_extra_info("peername")[:2]
        return ip_address(address.partition("%")[0]), port

    async def established(self, timeout_s: float) -> None:
        """TLS is, at this end. Silence, or UnavailableError from the error that ended it."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.tls.is_established:
                    await self._wait()
        except TimeoutError:
            reason = f"no TLS within {timeout_s:g} s"
            self.abort(Silence(reason))
            raise Silence(reason, has_begun=self._handshake_bytes > 0) from None
        except asyncio.CancelledError:
            self.abort(UnavailableError("given up"))
            raise

    async def next_frame(self) -> Frame:
        """The next frame of the greeting.

        UnavailableError: the connection is lost. InvalidError: what came is no frame.
        """
        while (frame := self._reader.take()) is None:
            await self._wait()
        return frame

    def hand_over(
        self, handler: FrameHandler, on_lost: Callable[[], None], limit_bytes: int
    ) -> None:
        """The greeting is over: all further frames go to `handler`, up to `limit_bytes` each.

        `on_lost` is called once, at once if the connection is lost already.
        """
        if self.is_lost:
            on_lost()
            return
        self._handler = handler
        self._on_lost = on_lost
        self._reader.limit_bytes = limit_bytes
        self._deliver()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Queue a frame; on one that is lost, nothing happens."""
        if self._transport is None or self.is_lost:
            return
        self.tls.write(encode(kind, payload))
        self._flush()
        queued = self._transport.get_write_buffer_size()
        if queued > MAX_QUEUED_BYTES:
            self.abort(
                UnavailableError(f"it took too little: {queued} bytes were waiting to be sent")
            )

    def close(self) -> None:
        """End it once the other end has what is queued, or soon."""
        if not self.is_lost:
            self._close(None)

    def abort(self, error: Exception) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()
        self._end(error)

    async def wait_gone(self, timeout_s: float) -> bool:
        """Whether the other end has all that was sent and the socket is closed, within so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._gone.wait()
        return self._gone.is_set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self.data_received(b"")

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.received_at_s = self._now_s()
        if self.is_lost:
            return
        try:
            said = self.tls.receive(data)
            if not self.tls.is_established:
                self._count_handshake(len(data))
            self._has_said = self._has_said or bool(said)
            self._reader.feed(said)
        except ssl.SSLError as error:
            self._close(error)
            return
        self._flush()
        self._arrived.set()
        if self._handler is not None:
            self._deliver()
        elif self._reader.held_bytes > MAX_EARLY_BYTES and self._transport is not None:
            self._transport.pause_reading()
        if self.tls.is_ended:
            self.close()

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`."""
        self._end(ConnectionResetError("the other end closed the connection"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._gone.set()
        self._end(exc)

    def _count_handshake(self, received_bytes: int) -> None:
        """ssl.SSLError: TLS takes more than any handshake does."""
        self._handshake_bytes += received_bytes
        if self._handshake_bytes > MAX_HANDSHAKE_BYTES:
            raise ssl.SSLError(f"no TLS within {MAX_HANDSHAKE_BYTES} bytes")

    def _flush(self) -> None:
        if self._transport is not None and (data := self.tls.take()):
            self._transport.write(data)

    async def _wait(self) -> None:
        """Until more has come."""
        if self.is_lost:
            raise UnavailableError("the connection was closed") from self.lost_because
        self._arrived.clear()
        await self._arrived.wait()

    def _deliver(self) -> None:
        try:
            while self._handler is not None and (frame := self._reader.take()) is not None:
                self._handler(frame)
        except InvalidError as error:
            self.abort(error)

    def _close(self, error: Exception | None) -> None:
        """Close so that the other end hears the last words: no reset overtakes them."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if error is None:
                self.tls.end()
            self._flush()
            with contextlib.suppress(OSError):  # the other end has reset it
                transport.write_eof()
            transport.resume_reading()
            asyncio.get_running_loop().call_later(LINGER_S, transport.abort)
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self.is_lost:
            return
        # Its traceback leads to frames that hold this connection: a cycle would keep TLS's buffers
        # until the collector comes by, which does not know how large they are.
        self.lost_because = None if error is None else error.with_traceback(None)
        self._lost.set()
        self._arrived.set()
        on_lost, self._on_lost, self._handler = self._on_lost, None, None
        if on_lost is not None:
            on_lost()
