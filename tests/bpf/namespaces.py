"""Network namespaces without names: they are gone with the last file descriptor."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A new, empty network namespace with loopback up."""

    def __init__(self) -> None:
        former = os.open(_OWN, os.O_RDONLY)
        try:
            _check(_libc.unshare(_CLONE_NEWNET), "unshare")
            self.fd = os.open(_OWN, os.O_RDONLY)
            run("ip link set lo up")
        finally:
            _check(_libc.setns(former, _CLONE_NEWNET), "setns")
            os.close(former)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread, and what it starts, is inside."""
        former = os.open(_OWN, os.O_RDONLY)
        _check(_libc.setns(self.fd, _CLONE_NEWNET), "setns")
        try:
            yield
        finally:
            _check(_libc.setns(former, _CLONE_NEWNET), "setns")
            os.close(former)

    def run(self, command: str, *, check: bool = True) -> str:
        with self.entered():
            return run(command, check=check)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run(command: str, *, check: bool = True) -> str:
    """What a command prints; AssertionError with all of it when it fails."""
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _check(result: int, operation: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{operation} of a network namespace")
