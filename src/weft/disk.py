"""What keeps a file from being written, and what mends it: in every error of that kind."""

from __future__ import annotations

import errno
import os

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
