"""The folder for pins, on a bpf file system that Weft mounts where there is none.

A mount of ours has the source ``weft`` in /proc/mounts, so that it is found again and removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from weft.errors import KernelError

STANDARD = Path("/sys/fs/bpf")
_MAGIC = 0xCAFE4A11
_SOURCE = "weft"
LOCK_S = 5.0
"""Mounting and looking take milliseconds."""
_AGAIN_S = 0.01
log = structlog.get_logger()
_libc = ctypes.CDLL(None, use_errno=True)


def mount_bpffs(bpffs_dir: Path) -> None:
    """Make `bpffs_dir`, mounting a bpf file system on it unless it would lie on one.

    For a folder right under /sys/fs/bpf that place itself is mounted, as systemd would.
    """
    if bpffs_dir.is_dir() and _is_on_bpffs(bpffs_dir):
        _check_own(bpffs_dir)
        return
    at = STANDARD if bpffs_dir.parent == STANDARD else bpffs_dir
    at.parent.mkdir(parents=True, exist_ok=True)
    with _locked(at.parent):
        if not _is_on_bpffs(bpffs_dir):
            at.mkdir(exist_ok=True)
            if _libc.mount(_SOURCE.encode(), os.fsencode(at), b"bpf", 0, b"mode=0700") < 0:
                raise KernelError(f"mount a bpf file system on {at}", ctypes.get_errno())
        bpffs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_own(bpffs_dir)


def _check_own(bpffs_dir: Path) -> None:
    """A bpf file system may be one in which every user makes folders, and removes what is there."""
    there = bpffs_dir.lstat()
    if there.st_uid not in (0, os.geteuid()) or there.st_mode & 0o022:
        raise KernelError(
            f"pins in {bpffs_dir}", errno.EPERM, f"other users may change it: rm -r {bpffs_dir}"
        )


def purge(bpffs_dir: Path) -> None:
    """Remove all pins, the folder, and the mount if it was ours and holds nobody else's pin.

    Filters must be gone before: the kernel keeps a program that is attached. Nothing there is no
    error. What others pinned there stays, and so do the folder and the mount that it needs.
    """
    at = STANDARD if bpffs_dir.parent == STANDARD else bpffs_dir
    if not at.parent.exists():
        return
    for folder in ("links", "maps", "programs"):
        with contextlib.suppress(FileNotFoundError):
            for pin in (bpffs_dir / folder).iterdir():
                pin.unlink()
            (bpffs_dir / folder).rmdir()
    with _locked(at.parent):
        _unmount_if_ours(bpffs_dir)
        if bpffs_dir.exists() and not any(bpffs_dir.iterdir()):
            bpffs_dir.rmdir()
        _unmount_if_ours(bpffs_dir.parent)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One at a time: hosts of one machine share /sys/fs/bpf, and one may leave as another comes.

    Every user can lock this folder. So whoever keeps it is waited for a while, and no longer.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    deadline_s = time.monotonic() + LOCK_S
    try:
        while not _is_locked(fd):
            if time.monotonic() >= deadline_s:
                log.warning("somebody keeps a folder locked, weftd goes on", folder=str(folder))
                break
            time.sleep(_AGAIN_S)
        yield
    finally:
        os.close(fd)


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unmount_if_ours(place: Path) -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    ours = [each[1] for each in mounts if each[0] == _SOURCE and each[2] == "bpf"]
    if str(place) not in ours or _holds_pins(place):
        return
    if _libc.umount2(os.fsencode(place), 0) < 0:
        raise KernelError(f"unmount {place}", ctypes.get_errno())


def _holds_pins(place: Path) -> bool:
    """Whether anything is pinned there.

    Not pins: two files of the kernel's own in its root, and the empty folders and links that tc
    and ip make in the first bpf file system that they find.
    """
    return any(
        not name.endswith(".debug") and not Path(folder, name).is_symlink()
        for folder, _, files in os.walk(place)
        for name in files
    )


def _is_on_bpffs(path: Path) -> bool:
    """Whether `path`, or where it would be made, is on a bpf file system."""
    while not path.exists():
        path = path.parent
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(path), buffer) < 0:
        raise KernelError(f"look at the file system of {path}", ctypes.get_errno())
    return ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF == _MAGIC
