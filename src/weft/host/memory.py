"""Keeps weftd small: what the C library frees goes back to the system.

glibc gives each thread an arena of its own and keeps freed memory; loading the BPF objects and the
first look at the kernel would leave 15 MB behind for good. One arena costs nothing here, for the
threads take turns under the interpreter's lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_TRIM_THRESHOLD = -1
_M_ARENA_MAX = -8
"""malloc.h"""
_TRIM_THRESHOLD_BYTES = 128 * 1024


def limit_arenas() -> None:
    """Before the first thread starts. Nothing happens with another C library than glibc."""
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)


def grow() -> None:
    """Before the records are read: what is made until `settle` stays, so looking through it for
    garbage again and again, as it grows, is in vain."""
    gc.disable()


def settle() -> None:
    """Once started: what is there need not be looked through for garbage again."""
    gc.enable()
    gc.collect()
    gc.freeze()
    collect_seldom()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def collect_seldom() -> None:
    """Look for garbage after 10 000 new objects, not 700: what comes in great numbers is records,
    which stay; to take over many of them costs a tenth less."""
    gc.set_threshold(10_000, 20, 20)
