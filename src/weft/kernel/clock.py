"""Whether somebody keeps the wall clock right."""

from __future__ import annotations

import ctypes

_TIMEX_BYTES = 256
"""More than struct timex has; all zero asks and changes nothing (adjtimex(2))."""
_TIME_ERROR = 5


def is_synchronised() -> bool:
    """What an NTP service last told the kernel; False when none runs."""
    libc = ctypes.CDLL(None, use_errno=True)
    state: int = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return state != _TIME_ERROR
