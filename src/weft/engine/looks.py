"""When the engine looks at the kernel as a whole.

A look is linear in the number of ports. One is made every `reconcile_s` seconds, less often where
it takes long, and soon after somebody has seen damage. However often a look is asked for, looking
takes a small part of the time, for Weft's own changes look like damage from outside.
"""

from __future__ import annotations

MIN_SPACING_S = 0.2
SPACING_FACTOR = 20
"""Between two looks that somebody asked for: this many times what one takes."""
EASY_LOOK_S = 0.15
"""Half a percent of 30 s. Looks that take longer are made less often in proportion."""
LEAST_LOOKS = 10
"""So many times less often at the most."""


class Looks:
    """Says when the next look is due. All times are of the event loop's clock."""

    def __init__(self, reconcile_s: float) -> None:
        self.due_s = 0.0
        self._reconcile_s = reconcile_s
        self._ended_s = 0.0
        self._spacing_s = MIN_SPACING_S
        self._is_asked = False

    def ask(self) -> None:
        """Somebody has seen damage."""
        self._is_asked = True
        self.due_s = min(self.due_s, self._ended_s + self._spacing_s)

    def need(self) -> None:
        """Nothing is right before the next look, which is therefore due at once."""
        self.due_s = 0.0

    def begin(self) -> None:
        """A look begins. It may miss damage that is seen from now on."""
        self._is_asked = False

    def end(self, now_s: float, took_s: float, *, is_well: bool) -> None:
        """A look is through. Not `is_well`: it mended something, which may have upset something
        else, or something is still not in force, and is tried again at the usual pace."""
        self._ended_s = now_s
        self._spacing_s = max(MIN_SPACING_S, SPACING_FACTOR * took_s)
        self.due_s = now_s + self._pause_s(took_s, is_well=is_well)

    def _pause_s(self, took_s: float, *, is_well: bool) -> float:
        if self._is_asked:
            return min(self._spacing_s, self._reconcile_s)
        return periodic_pause_s(self._reconcile_s, took_s) if is_well else self._reconcile_s


def periodic_pause_s(reconcile_s: float, took_s: float) -> float:
    """Between two looks that nobody asked for. Where there are thousands of ports, a look is worth
    its cost less often, for the kernel tells of nearly all damage."""
    return reconcile_s * min(LEAST_LOOKS, max(1.0, took_s / EASY_LOOK_S))
