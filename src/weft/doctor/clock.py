"""The wall clock: released addresses rest by it, and hosts order their writes by it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from weft.doctor.finding import Finding, Subject
from weft.kernel import clock as kernel_clock

_EARLIEST_S = 1_704_067_200
"""The first second of 2024: any clock before that was never set."""


def check(subject: Subject) -> Iterator[Finding]:
    """Whether it is set, and kept right."""
    now_s = time.time()
    if now_s < _EARLIEST_S:
        yield Finding(
            name="clock",
            state="failed",
            detail=f"says {time.strftime('%Y-%m-%d', time.gmtime(now_s))}",
            fix="set it, and run an NTP service such as chrony",
        )
        return
    if kernel_clock.is_synchronised():
        yield Finding(name="clock", state="ok", detail="synchronised")
        return
    yield Finding(
        name="clock",
        state="warning",
        detail="not synchronised; several hosts need clocks that agree to about a second",
        fix="run an NTP service such as chrony or systemd-timesyncd",
    )
