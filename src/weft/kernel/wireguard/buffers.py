"""Room for what arrives while wireguard-go is busy: the receive buffers of its UDP sockets.

It takes packets one by one with the default buffer, which a burst of TCP fills in a millisecond;
each packet lost there was encrypted for nothing, and is sent again. It has no setting for it, so
its sockets are borrowed by pidfd_getfd(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

RECEIVE_BYTES = 4 << 20
"""About 30 ms of a gigabit, the kernel's own bookkeeping beside it."""
_SOCKETS_S = 2.0
"""It opens them a moment after its device is up."""
_POLL_S = 0.005
_SYS_PIDFD_GETFD = 438
"""The same on every architecture since Linux 5.6."""
_SO_RCVBUFFORCE = 33
"""SO_RCVBUF beyond net.core.rmem_max; socket(7). Python has no name for it."""


def grow(pid: int) -> bool:
    """Give a wireguard-go whose device is up its buffers; whether it let us. Waits `_SOCKETS_S` at
    most."""
    deadline_s = time.monotonic() + _SOCKETS_S
    while True:
        try:
            if _grow_all(pid):
                return True
        except OSError:
            return False
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)


def receive_bytes(pid: int) -> list[int]:
    """What its UDP sockets have, as the kernel counts it (twice what was asked for)."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(each) for each in _udp_sockets(pid)]
        return [each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for each in found]


def _grow_all(pid: int) -> bool:
    is_any = False
    for each in _udp_sockets(pid):
        with each:
            each.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BYTES)
            is_any = True
    return is_any


def _udp_sockets(pid: int) -> Iterator[socket.socket]:
    """Descriptors of our own for them. OSError: the process is gone, or does not let us."""
    process = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if not entry.readlink().name.startswith("socket:"):
                    continue
                borrowed = _borrow(process, int(entry.name))
                if borrowed.type == socket.SOCK_DGRAM and borrowed.family != socket.AF_UNIX:
                    yield borrowed
                else:
                    borrowed.close()
    finally:
        os.close(process)


def _borrow(process: int, number: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(_SYS_PIDFD_GETFD, process, number, 0)
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)
