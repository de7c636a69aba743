"""Network namespaces: name one, open it, work inside another.

A socket stays in the namespace in which it was opened, so work elsewhere is: enter, open a socket,
come back. The kernel keeps the namespace per thread; nothing else in the process notices.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from weft.errors import KernelError, NotFoundError
from weft.kernel.netlink import Netlink, open_socket

_CLONE_NEWNET = 0x40000000
_NS_GET_NSTYPE = 0xB703
_OWN = "/proc/thread-self/ns/net"
_NAMED_DIRECTORIES = (Path("/run/docker/netns"), Path("/run/netns"), Path("/var/run/docker/netns"))

_libc = ctypes.CDLL(None, use_errno=True)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)


def path_of(target: str | int) -> str:
    """Path of a namespace: from a pid, the name of one under /run/netns, or a path as it is."""
    if isinstance(target, int) or target.isdigit():
        return f"/proc/{target}/ns/net"
    return target if "/" in target else f"/run/netns/{target}"


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """A file descriptor of the namespace. NotFoundError: nothing there, or no namespace."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFoundError(f"network namespace {path}: {error.strerror}") from error
    try:
        if not _is_netns(fd):
            raise NotFoundError(f"network namespace {path}: it is not a network namespace")
        yield fd
    finally:
        os.close(fd)


def inode(path: str = _OWN) -> int:
    """What tells a namespace from all others that live at this time. Default: this thread's."""
    try:
        return Path(path).stat().st_ino
    except OSError as error:
        raise NotFoundError(f"network namespace {path}: {error.strerror}") from error


def exists(path: str) -> bool:
    """Whether there is a network namespace at this path."""
    try:
        with opened(path):
            return True
    except NotFoundError:
        return False


def is_own(path: str) -> bool:
    """Whether the path leads to this thread's own namespace."""
    return inode(path) == inode()


@contextlib.contextmanager
def entered(path: str) -> Iterator[None]:
    """Put the calling thread into the namespace, and back where it was."""
    with opened(_OWN) as home, opened(path) as there:
        _setns(there, path)
        try:
            yield
        finally:
            _setns(home, "the own namespace")


def leave() -> None:
    """Put the calling thread into a new namespace, which goes with the last who is in it."""
    if _libc.unshare(_CLONE_NEWNET) != 0:
        raise KernelError("make a network namespace", ctypes.get_errno())


def socket_in(path: str, protocol: int = socket.NETLINK_ROUTE) -> socket.socket:
    """A netlink socket that works in the namespace at `path`."""
    with entered(path):
        return open_socket(protocol)


def netlink_in(path: str) -> Netlink:
    """The same, ready for requests."""
    return Netlink(socket_in(path))


def paths() -> Iterator[str]:
    """A path to each network namespace that can be found: named ones, and those of processes."""
    seen: set[int] = set()
    for path in _candidates():
        with contextlib.suppress(OSError):
            number = path.stat().st_ino
            if number not in seen:
                seen.add(number)
                yield str(path)


def _candidates() -> Iterator[Path]:
    for directory in _NAMED_DIRECTORIES:
        with contextlib.suppress(OSError):
            yield from directory.iterdir()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            yield process / "ns" / "net"


def _is_netns(fd: int) -> bool:
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == _CLONE_NEWNET
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):
            return False
        raise


def _setns(fd: int, path: str) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise KernelError(f"enter network namespace {path}", ctypes.get_errno())
