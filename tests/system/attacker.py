"""Sends what somebody who means ill would send: ordinary sockets, or raw packets.

As a program it runs inside a network namespace with the standard library alone, takes shots as JSON
on its input, and says how many were fired and why others were not. A shot that the kernel forbids
is a shot all the same.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from typing import Any

_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_FORBIDDEN = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.EHOSTUNREACH)


def fire(shot: dict[str, Any]) -> None:
    """One of ``udp`` (an ordinary socket) and ``frame`` (through a packet socket)."""
    if shot["kind"] == "frame":
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind((shot["ifname"], 0))
            wire.send(bytes.fromhex(shot["data"]))
        return
    is_ipv6 = ":" in shot["to"]
    with socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if shot.get("source"):
            freebind = (41, _IPV6_FREEBIND, 1) if is_ipv6 else (0, _IP_FREEBIND, 1)
            sock.setsockopt(*freebind)
            sock.bind((shot["source"], 0))
        if shot.get("connected"):
            sock.connect((shot["to"], shot["port"]))
            sock.send(bytes.fromhex(shot["data"]))
        else:
            sock.sendto(bytes.fromhex(shot["data"]), (shot["to"], shot["port"]))


def main() -> None:
    """``UID``: as whom."""
    uid = int(sys.argv[1])
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    fired, failed = 0, []
    for shot in json.load(sys.stdin):
        try:
            fire(shot)
            fired += 1
        except OSError as error:
            if error.errno in _FORBIDDEN:
                fired += 1
            else:
                failed.append(f"{shot}: {error}")
    print(json.dumps([fired, failed]))


if __name__ == "__main__":
    main()
