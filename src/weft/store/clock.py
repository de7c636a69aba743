"""Versions: a hybrid logical clock (Kulkarni et al., 2014).

A version is (clock, host). The clock is milliseconds of the wall clock, moved forward past every
version seen, with 16 bits of counter below: later writes compare greater even when the wall clock
stands still or goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

COUNTER_BITS = 16


class Version(NamedTuple):
    """When a record was written, and by which host; greater wins."""

    clock: int
    host: str


class HybridClock:
    """Gives the versions of one host's writes, each greater than all seen before."""

    def __init__(self, host: str, wall_s: Callable[[], float]) -> None:
        self._host = host
        self._wall_s = wall_s
        self._last = 0

    def next(self) -> Version:
        """A version greater than every one given or observed."""
        physical = int(self._wall_s() * 1000) << COUNTER_BITS
        self._last = max(self._last + 1, physical)
        return Version(self._last, self._host)

    def observe(self, version: Version) -> None:
        """Take note of a version read from disk or from another host."""
        self._last = max(self._last, version.clock)
