"""Takes what ports report about multicast groups, or that they look for routers, and sends them
queries and advertisements.

Packet sockets. The program of a port puts a report on the ingress of ``weft0`` behind an Ethernet
header of its own (`Report` in ``bpf/abi.h``), where it means nothing to the host's stack; a query
goes out by the host's end of a port's veth, and so straight to the workload.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import NamedTuple

from weft.errors import KernelError
from weft.kernel.bpf.layouts import Report

_ETHERNET = struct.Struct(">6sHIH")
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER = 1 << 22
"""Some thousands of reports; what comes while it is full is reported again."""
_LARGEST = 1 << 16


class Reported(NamedTuple):
    """What a port reports."""

    ifindex: int
    """Of the host's end."""
    packet: bytes
    """The IP packet, as the workload sent it."""


class GroupWire:
    """For the namespace in which it is opened."""

    def __init__(self, ifname: str, kind: Report = Report.REPORT_TYPE) -> None:
        """ifname: ``weft0``. kind: what it listens for."""
        self._ifname = ifname
        self._kind = kind
        self._in: socket.socket | None = None
        self._out: socket.socket | None = None

    def open(self) -> None:
        """Listen. KernelError: the device is not there."""
        self.close()
        try:
            self._in = _opened()
            with contextlib.suppress(OSError):  # needs a capability of the machine's own
                self._in.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
            self._in.bind((self._ifname, self._kind))
            self._out = _opened()
        except OSError as error:
            self.close()
            raise KernelError(f"listen on {self._ifname}", error.errno or 0) from error

    def close(self) -> None:
        """Neither listen nor send any more."""
        for each in (self._in, self._out):
            if each is not None:
                each.close()
        self._in = self._out = None

    def fileno(self) -> int:
        """Becomes readable when something was reported."""
        assert self._in is not None
        return self._in.fileno()

    def receive(self) -> Reported | None:
        """The next report; None: there is none now. KernelError: the device is gone."""
        assert self._in is not None
        while True:
            try:
                frame = self._in.recv(_LARGEST)
            except BlockingIOError:
                return None
            except OSError as error:
                raise KernelError(f"listen on {self._ifname}", error.errno or 0) from error
            if len(frame) < _ETHERNET.size:
                continue
            _, high, ifindex, kind = _ETHERNET.unpack_from(frame)
            if high == Report.REPORT_MAC_HIGH and kind == self._kind:
                return Reported(ifindex, frame[_ETHERNET.size :])

    def send(self, ifname: str, frame: bytes) -> bool:
        """Send a frame out of a device; whether it went."""
        assert self._out is not None
        try:
            self._out.sendto(frame, (ifname, 0))
        except OSError:
            return False  # the port is just going away, or its queue is full: there is a next query
        return True


def _opened() -> socket.socket:
    """Of no protocol, so that it hears nothing until it is bound."""
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    return socket.socket(socket.AF_PACKET, kind, 0)
