"""Finds the largest size that passes, by trying. Pure.

A size that does not come back may just have been lost, so it counts as too large when that happens
twice; each try costs a timeout, so the likely sizes come first.
"""

from __future__ import annotations

_LIKELY = (9000, 1500, 1492, 1450, 1420)
"""Jumbo, Ethernet, PPPoE, a tunnel, WireGuard."""
_TRIES = 2


class Search:
    """One search: `size` is what to try next, until `is_over`."""

    def __init__(self, passes: int, ceiling: int) -> None:
        """`passes` is known to, and above `ceiling` nothing is wanted."""
        self.largest = passes
        """That passes, as far as it is known."""
        self._ceiling = max(passes, ceiling)
        self._first = True
        self._lost = 0

    @property
    def is_over(self) -> bool:
        """Whether `largest` is the answer."""
        return self.largest >= self._ceiling

    @property
    def size(self) -> int:
        """To try next: first what is hoped for, then the likely ones, then halfway."""
        if self._first:
            return self._ceiling
        for likely in _LIKELY:
            if self.largest < likely <= self._ceiling:
                return likely
        return (self.largest + self._ceiling + 1) // 2

    def passed(self, size: int) -> None:
        """It came back."""
        self.largest = max(self.largest, size)
        self._first, self._lost = False, 0

    def lost(self, size: int) -> None:
        """It did not, or cannot even be sent."""
        self._lost += 1
        if self._lost == _TRIES:
            self._ceiling = max(self.largest, size - 1)
            self._first, self._lost = False, 0
