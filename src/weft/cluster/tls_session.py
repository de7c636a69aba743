"""TLS of one connection, without I/O: bytes of the wire in, bytes of the wire out.

asyncio's own TLS drops the alert that says why a handshake failed, and the other end is to know.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping

READ_BYTES = 256 * 1024


class TlsSession:
    """One end. After every call, `take` has what is to be sent."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        """server_name: what a client asks for; None: the end that was dialed."""
        self.is_established = False
        """The other end has proved itself, as far as this end asks it to."""
        self.is_ended = False
        """The other end has said that it sends nothing more."""
        self.peer_certificate: Mapping[str, object] = {}
        """The other end's, as `ssl.SSLSocket.getpeercert` gives it, once TLS is established."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name,
        )

    def receive(self, data: bytes) -> bytes:
        """What the other end says in these bytes and those before. ssl.SSLError: it is no TLS, or
        it may not go on; an alert is to be sent."""
        self._incoming.write(data)
        if not self.is_established:
            try:
                self.ssl_object.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            # Now or never: OpenSSL forgets it with the first record that is damaged.
            self.peer_certificate = self.ssl_object.getpeercert() or {}
            self.is_established = True
        return self._read()

    def write(self, data: bytes) -> None:
        """Say something."""
        self.ssl_object.write(data)

    def end(self) -> None:
        """Say that nothing follows."""
        if self.is_established:
            with contextlib.suppress(ssl.SSLError):
                self.ssl_object.unwrap()

    def take(self) -> bytes:
        """What is to be sent."""
        return self._outgoing.read()

    def _read(self) -> bytes:
        parts: list[bytes] = []
        try:
            while part := self.ssl_object.read(READ_BYTES):
                parts.append(part)
            self.is_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_ended = True
        return b"".join(parts)
