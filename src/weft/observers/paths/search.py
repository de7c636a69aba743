"""Finds the largest size that passes, by trying. Pure.

A size that does not come back may just have been lost, so it counts as too large only when that
happens several times in a row; each try costs a timeout, so the likely sizes come first.
"""

from __future__ import annotations

_LIKELY = (9000, 1500, 1492, 1450, 1420)
"""Jumbo, Ethernet, PPPoE, a tunnel, WireGuard."""


class Search:
    """One search for a size: `size` is to be tried next, until `is_over`."""

    def __init__(self, passes: int, ceiling: int, *, is_for_more: bool = False) -> None:
        """`passes` is known to pass, and above `ceiling` nothing is wanted. `is_for_more`: `passes`
        was found before, so most likely the whole passes or nothing more."""
        self.largest = passes
        """The largest size that passes, as far as it is known."""
        self._ceiling = max(passes, ceiling)
        self._hopes: tuple[int, ...] = (ceiling, passes + 1) if is_for_more else ()
        self._lost = 0

    @property
    def is_over(self) -> bool:
        """Whether `largest` is the answer."""
        return self.largest >= self._ceiling

    @property
    def size(self) -> int:
        """The sizes to try next: the one that is hoped for, then the likely ones and those that
        would prove them wrong, then halfway."""
        proof: tuple[int, ...] = (self.largest + 1,) if self.largest in _LIKELY else ()
        for size in (*self._hopes, *proof, *_LIKELY):
            if self.largest < size <= self._ceiling:
                return size
        return (self.largest + self._ceiling + 1) // 2

    def passed(self, size: int) -> None:
        """The size came back."""
        self.largest = max(self.largest, size)
        self._lost = 0

    def lost(self, size: int, enough: int) -> None:
        """The size did not pass, or cannot even be sent. `enough`: so many losses in a row are no
        chance."""
        self._lost += 1
        if self._lost >= enough:
            self._ceiling = max(self.largest, size - 1)
            self._lost = 0
