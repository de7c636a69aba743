"""Sends probes of the data path, and reads the answers that the programs have kept.

Plain UDP sockets: a packet leaves with "don't fragment" set whatever the kernel believes about the
path, and one that the device does not take is refused at once. Nothing is ever received here. Their
mark lets them out: Weft's nftables table drops what other sockets send to the overlay's port.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from weft.errors import KernelError
from weft.kernel.bpf.layouts import Mark, Probe, ProbeKey
from weft.kernel.bpf.maps import BpfMap
from weft.model.addresses import IPAddress, ip_address

MAP = "probes_v1"
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3
_IP_PKTINFO = 8
_SO_MARK = 36
_SO_NO_CHECK, _SOL_UDP, _UDP_NO_CHECK6_TX = 11, 17, 101
_PKTINFO4 = struct.Struct("=i4s4s")
_PKTINFO6 = struct.Struct("=16sI")


class Answer(NamedTuple):
    """What came back."""

    nonce: bytes
    arrival_ns: int
    """CLOCK_MONOTONIC, when the program saw it."""


class ProbeWire:
    """For the namespace in which it is made."""

    def __init__(self, bpffs_dir: Path, overlay_port: int) -> None:
        self._map = bpffs_dir / "maps" / MAP
        self._port = overlay_port
        self._sockets: dict[int, socket.socket] = {}

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    def source(self, destination: IPAddress) -> IPAddress | None:
        """What the host would send from; None: there is no route."""
        family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.connect((str(destination), self._port))
            return ip_address(sock.getsockname()[0])
        return None

    def send(self, source: IPAddress, destination: IPAddress, payload: bytes) -> bool:
        """Whether it left this host."""
        if destination.version == 4:
            info = _PKTINFO4.pack(0, source.packed, bytes(4))
            control = (socket.IPPROTO_IP, _IP_PKTINFO, info)
        else:
            control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(source.packed, 0))
        try:
            where = (str(destination), self._port)
            self._socket(destination.version).sendmsg([payload], [control], 0, where)
        except OSError:
            return False  # too large for the device, no route, no such source any more, no room
        return True

    def answers(self, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Answer]:
        """The last answer in each (tag of the host, slot), where there is one.

        The map is looked up anew each time, for it is made anew when somebody removed it.
        """
        found: dict[tuple[int, int], Answer] = {}
        with contextlib.suppress(KernelError), BpfMap.open(self._map) as probes:
            for key in keys:
                raw = probes.lookup(ProbeKey(*key).encode())
                if raw is not None:
                    found[key] = Answer(raw[:8], Probe.decode(raw).arrival_ns)
        return found

    def _socket(self, version: int) -> socket.socket:
        sock = self._sockets.get(version)
        if sock is None:
            sock = self._sockets[version] = _opened(version)
        return sock


def _opened(version: int) -> socket.socket:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    if version == 4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.setsockopt(socket.SOL_SOCKET, _SO_NO_CHECK, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DONTFRAG, 1)
        sock.setsockopt(_SOL_UDP, _UDP_NO_CHECK6_TX, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, Mark.MARK_SENT)
    return sock
