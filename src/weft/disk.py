"""Directories that are Weft's alone, and what keeps a file from being written, with its fix."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from weft.errors import InvalidError

_FIXES = {
    errno.EROFS: "mount its file system for writing (mount -o remount,rw), or choose another "
    "directory with --{setting}",
    errno.EACCES: "run this as root",
    errno.EPERM: "run this as root; if root may not, see lsattr",
    errno.ENOSPC: "free some room there, or choose another directory with --{setting}",
    errno.EDQUOT: "free some room there, or choose another directory with --{setting}",
    errno.EEXIST: "a file is there; choose another directory with --{setting}",
    errno.ENOTDIR: "a folder above it is a file; choose another directory with --{setting}",
    errno.ELOOP: "a link there leads nowhere; remove it",
    errno.EIO: "the disk fails; choose another directory with --{setting}",
}


def why_not_written(error: OSError, setting: str = "state-dir") -> str:
    """The reason and the fix, where one is known. setting: that names the directory."""
    code = error.errno or 0
    return with_fix(os.strerror(code) if code else str(error), code, setting)


def with_fix(reason: str, code: int, setting: str = "state-dir") -> str:
    """code: an errno that means the same as the reason; 0: none does."""
    fix = _FIXES.get(code, "").format(setting=setting)
    return f"{reason}; {fix}" if fix else reason


def own_directory(path: Path, mode: int, setting: str) -> None:
    """Make a directory unless it is there. InvalidError: it cannot be had, or other users of this
    machine can change what is in it: they could put links and files in weftd's way.

    mode: of one that is new. setting: that names it.
    """
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        link, there = path.lstat(), path.stat()
    except OSError as error:
        reason = why_not_written(error, setting)
        raise InvalidError(f"{_spoken(setting)} {path}: {reason}") from error
    for each in (link, there):
        if each.st_uid not in (0, os.geteuid()):
            raise InvalidError(
                f"{_spoken(setting)} {path}: belongs to user {each.st_uid}, who could change what "
                f"weftd keeps there; chown root {path}, or choose another with --{setting}"
            )
    if there.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidError(
            f"{_spoken(setting)} {path}: others may write there; chmod go-w {path}, or choose "
            f"another with --{setting}"
        )


def _spoken(setting: str) -> str:
    return {"state-dir": "state directory", "run-dir": "run directory"}.get(setting, setting)
