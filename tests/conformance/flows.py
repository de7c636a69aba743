"""A flow that stands, and is asked again and again whether it still goes on."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from tests.conformance.attempts import Ends
from tests.conformance.sentences import Probe
from tests.conformance.services import FAMILIES

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Flow:
    """From a workload to a service of another, which echoes."""

    def __init__(self, probe: Probe, ends: Ends) -> None:
        self._probe = probe
        self._socket = ends.place.socket(FAMILIES[ends.version], KINDS[probe.kind])
        self._socket.bind((ends.source, probe.source_port))
        with suppress(BlockingIOError):
            self._socket.connect((ends.destination, probe.number))
        self._sent: bytes | None = None
        self.is_answered = False

    def ask(self) -> None:
        """Send something new; `look` finds whether it came back."""
        self._sent, self.is_answered = None, False
        self.look()

    def look(self) -> None:
        """See what has come."""
        with suppress(OSError):
            if self._sent is None:
                data = os.urandom(8)
                self._socket.send(data)
                self._sent = data
            self.is_answered = self.is_answered or self._sent in self._socket.recv(65535)

    def close(self) -> None:
        """End it."""
        self._socket.close()
