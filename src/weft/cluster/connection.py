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
from weft.errors import InvalidError, UnavailableError
from weft.model.addresses import IPAddress

MAX_QUEUED_BYTES = 32 * 1024 * 1024
"""Several times what sessions have under way."""
MAX_EARLY_BYTES = 64 * 1024
"""Before the link is up, kept to be read; then reading pauses."""
FLUSH_S = 2.0

FrameHandler = Callable[[Frame], None]
"""InvalidError: the connection is closed."""


class Connection(asyncio.Protocol):
    """Frames arrive by `next_frame` until `hand_over`, then at the handler."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.received_at_s = now_s()
        """When the last bytes came, by `now_s`."""
        self.lost_because: Exception | None = None
        """The error that ended it."""
        self._now_s = now_s
        self._reader = FrameReader()
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
    def peer(self) -> tuple[IPAddress, int]:
        """Address and port at the other end."""
        assert self._transport is not None
        address, port = self._transport.get_extra_info("peername")[:2]
        return ip_address(address.partition("%")[0]), port

    @property
    def tls(self) -> ssl.SSLObject:
        """The session's TLS."""
        assert self._transport is not None
        return cast(ssl.SSLObject, self._transport.get_extra_info("ssl_object"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is established. See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self.received_at_s = self._now_s()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.received_at_s = self._now_s()
        if self.is_lost:
            return
        self._reader.feed(data)
        if self._handler is not None:
            self._deliver()
            return
        self._arrived.set()
        if self._reader.held_bytes > MAX_EARLY_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._gone.set()
        self._end(exc)

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Queue a frame; on one that is lost, nothing happens."""
        if self._transport is None or self.is_lost:
            return
        self._transport.write(encode(kind, payload))
        queued = self._transport.get_write_buffer_size()
        if queued > MAX_QUEUED_BYTES:
            self.abort(
                UnavailableError(f"it took too little: {queued} bytes were waiting to be sent")
            )

    async def next_frame(self) -> Frame:
        """The next frame of the greeting.

        UnavailableError: the connection is lost. InvalidError: what came is no frame.
        """
        while (frame := self._reader.take()) is None:
            if self.is_lost:
                raise UnavailableError("the connection was closed") from self.lost_because
            self._arrived.clear()
            await self._arrived.wait()
        return frame

    def hand_over(
        self, handler: FrameHandler, on_lost: Callable[[], None], limit_bytes: int
    ) -> None:
        """The greeting is over: all further frames go to `handler`, up to `limit_bytes` each.

        `on_lost` is called once, at once if the connection is lost already.
        """
        self._handler = handler
        self._on_lost = on_lost
        self._reader.limit_bytes = limit_bytes
        if self.is_lost:
            on_lost()
            return
        self._deliver()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """End it once what is queued is sent, or soon."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            asyncio.get_running_loop().call_later(FLUSH_S, self._transport.abort)
        self._end(None)

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

    def _deliver(self) -> None:
        assert self._handler is not None
        try:
            while not self.is_lost and (frame := self._reader.take()) is not None:
                self._handler(frame)
        except InvalidError as error:
            self.abort(error)

    def _end(self, error: Exception | None) -> None:
        if self.is_lost:
            return
        self.lost_because = error
        self._lost.set()
        self._arrived.set()
        if self._on_lost is not None:
            self._on_lost()
