"""DNS messages over TCP: two octets of length before each (RFC 1035 section 4.2.2)."""

from __future__ import annotations

import asyncio
import socket
import struct

_LENGTH = struct.Struct(">H")
_READ_BYTES = 4096


def frame(message: bytes) -> bytes:
    """The message with its length before it."""
    return _LENGTH.pack(len(message)) + message


class FrameReader:
    """Takes messages out of a stream."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()

    async def read(self) -> bytes | None:
        """The next message; None when the stream ended. At most 64 KB are held."""
        while (message := self.buffered()) is None:
            chunk = await asyncio.get_running_loop().sock_recv(self._sock, _READ_BYTES)
            if not chunk:
                return None
            self._buffer += chunk
            await asyncio.sleep(0)  # or a sender that is always ahead would never yield
        return message

    def buffered(self) -> bytes | None:
        """The next message if all of it has been received."""
        if len(self._buffer) < 2:
            return None
        end = 2 + _LENGTH.unpack_from(self._buffer)[0]
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[2:end])
        del self._buffer[:end]
        return message
