"""Ports of loopback that a test may give to a server of its own."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

_draw = random.SystemRandom()


def free_port() -> int:
    """A port that no TCP and no UDP socket has, on IPv4 and IPv6 loopback.

    It lies below those that the kernel gives to sockets that ask for none, so no connection of
    another test takes it before the server of this one is there.
    """
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = _draw.randrange(first_ephemeral // 2, first_ephemeral)
        if not _is_taken(port):
            return port


def free_ports(count: int) -> list[int]:
    """So many, each another one."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def _is_taken(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                with socket.socket(family, kind) as sock:
                    sock.bind((address, port))
            except OSError as error:
                # Anything else is a machine that lacks the family.
                if error.errno == errno.EADDRINUSE:
                    return True
    return False
