"""CPU time of the whole machine, for work in softirqs and kernel threads belongs to no process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IDLE_FIELDS = (3, 4)  # idle, iowait: see proc(5)
_COUNTED_FIELDS = 7  # without steal (not ours) and guest (counted in user already)


@dataclass(frozen=True)
class Busy:
    """CPU-seconds spent up to a moment."""

    seconds: float
    at_s: float

    @classmethod
    def now(cls) -> Busy:
        """Of all CPUs together, since boot."""
        return cls(busy_seconds(Path("/proc/stat").read_text()), time.monotonic())


def busy_seconds(stat: str) -> float:
    """From the text of /proc/stat: user, nice, system, irq and softirq of all CPUs."""
    fields = [int(field) for field in stat.splitlines()[0].split()[1:]]
    counted = fields[:_COUNTED_FIELDS]
    return sum(v for i, v in enumerate(counted) if i not in _IDLE_FIELDS) / _TICKS_PER_S


def idle_rate(duration_s: float) -> float:
    """CPU-seconds a second that the machine spends while we do nothing."""
    begin = Busy.now()
    time.sleep(duration_s)
    end = Busy.now()
    return (end.seconds - begin.seconds) / (end.at_s - begin.at_s)


def spent(begin: Busy, end: Busy, idle: float) -> float:
    """CPU-seconds between two moments, less what the machine would have spent anyway."""
    return max(0.0, end.seconds - begin.seconds - idle * (end.at_s - begin.at_s))
