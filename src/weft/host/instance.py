"""One weftd a run directory: a locked pid file.

The lock, not the number in the file, says that a weftd runs; the kernel drops it with the
process, however that ends. Only root may read the file, for whoever can may lock it, and so keep
weftd from starting.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from weft.disk import own_directory, why_not_written
from weft.errors import ConflictError, InvalidError


@contextlib.contextmanager
def only_instance(pid_file: Path) -> Iterator[None]:
    """Hold the lock and show our pid; ConflictError names the pid of another weftd."""
    fd = _locked(pid_file)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            pid_file.unlink(missing_ok=True)
    finally:
        os.close(fd)


def _locked(pid_file: Path) -> int:
    """The file, open and locked. One that ended in between has removed the file that was opened:
    its lock would keep nobody out."""
    while True:
        fd = _opened(pid_file)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(fd, pid_file):
                return fd
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            raise ConflictError(f"weftd runs already as process {pid} ({pid_file})") from None
        os.close(fd)


def _opened(pid_file: Path) -> int:
    own_directory(pid_file.parent, 0o711, "run-dir")
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(pid_file, flags, 0o600)
        os.fchmod(fd, 0o600)
        return fd
    except OSError as error:
        raise InvalidError(
            f"run directory {pid_file.parent}: {why_not_written(error, 'run-dir')}"
        ) from error


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
