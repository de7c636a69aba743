"""The data path to one host, as its probes tell. Pure: time is passed in.

One probe is under way at a time. While all is well it has the full size, so that one packet a turn
says that the path works and what it carries. What is lost is asked again at once, and the second
time it is, small ones are sent until one comes back: if that happens again and again the path has
shrunk, if none does it is broken. How often is often enough depends on what the path loses anyway,
for a path that loses packets at random is neither small nor broken. (Two of a size in a row: a loss
that is regular, of each third packet perhaps, must not always meet the large ones.) A path that has
never answered gets more time, for the host at its other end may not know this one yet.
"""

from __future__ import annotations

from weft.observers.paths.loss import Loss
from weft.observers.paths.search import Search

SMALL_BYTES = 128
"""A probe that passes where anything does."""
FLOOR_BYTES = 646
"""Smaller sizes are not looked for: the packet inside would be smaller than any host must take."""
BROKEN_AFTER, BROKEN_SURELY_AFTER = 5, 20
"""Probes lost in a row: as many as that, and more on a path that loses many anyway, up to this."""
BROKEN_CHANCE = 1e-6
"""A path breaks by losses that are at most so likely to be chance."""
BROKEN_AFTER_S = 1.5
NEW_AFTER_S = 3.0
"""Losses that break a path must have taken so long; the second while no probe has ever come back.
"""
WORKS_AFTER = 2
"""Probes in a row that come back."""
SMALL_AFTER = 2
"""Probes lost in a row, after which small ones are sent, to learn whether anything passes."""
SHRUNK_AFTER = 4
"""A path has shrunk when so many probes of full size are lost in a row while small ones come back,
or more:"""
SHRUNK_CHANCE = 1e-6
"""for a size that has passed, so many that it is less likely than this to be chance."""
TOO_LARGE_CHANCE = 1e-3
"""The same of a size that has not passed yet. A size that is taken for too large by mistake is
tried again soon."""
RAISE_FIRST_S = 5.0
RAISE_LAST_S = 120.0
"""Between two looks for more than the path carried the last time: doubled each time."""
TIMEOUT_FIRST_S = 0.6
TIMEOUT_LEAST_S = 0.2
TIMEOUT_MOST_S = 3.0
_TIMEOUT_TRIPS = 3
_SPREAD_S = 0.05


class Path:
    """The facts about a path, and the size to send next."""

    def __init__(self, ceiling: int, now_s: float) -> None:
        """ceiling: the largest packet that the devices at both ends carry."""
        self.is_broken: bool | None = None
        """None: not found out yet."""
        self.mtu_bytes = 0
        """0: not known."""
        self.rtt_s: float | None = None
        self._ceiling = ceiling
        self._search: Search | None = None
        self._loss = Loss()
        self._misses = 0
        """Probes lost in a row, of any size."""
        self._losses = 0
        """Of these losses, the probes that would have passed if the path were as it was."""
        self._small_losses = 0
        """Small probes lost in a row, which would have passed in any case."""
        self._first_loss_s = 0.0
        self._wins = 0
        self._full_losses = 0
        """Probes of full size lost in a row, whatever else came back."""
        self._raise_s = now_s
        self._pause_s = RAISE_FIRST_S
        self._began_s = now_s

    @property
    def is_known(self) -> bool:
        """Whether anything can be said."""
        return self.is_broken is not None and (self.is_broken or self.mtu_bytes > 0)

    @property
    def is_settled(self) -> bool:
        """Whether the next probe has time: nothing is being found out."""
        is_doubted = self._misses > 0 or self._full_losses > 0 or self._search is not None
        return self.is_broken is False and self.mtu_bytes > 0 and not is_doubted

    @property
    def is_failing(self) -> bool:
        """Whether it is broken, and has been asked often enough in a row."""
        return self.is_broken is True and self._losses >= BROKEN_AFTER

    @property
    def timeout_s(self) -> float:
        """After which a probe counts as lost; one that comes later counts all the same."""
        if self.rtt_s is None:
            return TIMEOUT_FIRST_S
        return min(TIMEOUT_MOST_S, max(TIMEOUT_LEAST_S, _TIMEOUT_TRIPS * self.rtt_s + _SPREAD_S))

    def set_ceiling(self, ceiling: int, now_s: float) -> None:
        """The devices at the ends have changed."""
        if ceiling == self._ceiling:
            return
        self._ceiling, self._search, self._full_losses = ceiling, None, 0
        if self.mtu_bytes > ceiling:
            self.mtu_bytes = ceiling
        self._raise_s, self._pause_s = now_s, RAISE_FIRST_S

    def start_anew(self) -> None:
        """Another address is tried: losses are counted from here, and the sizes that are known
        stay."""
        self._misses, self._losses, self._small_losses, self._wins = 0, 0, 0, 0
        self._search, self._loss = None, Loss()

    def size(self, now_s: float) -> int:
        """Of the probe to send now."""
        if self.is_broken or self._misses >= SMALL_AFTER:
            return SMALL_BYTES
        is_raise_due = self.is_settled and self.mtu_bytes < self._ceiling
        if is_raise_due and now_s >= self._raise_s:
            self._search = Search(self.mtu_bytes, self._ceiling, is_for_more=True)
        return self._search.size if self._search is not None else self._full

    def arrived(self, size: int, rtt_s: float, now_s: float) -> None:
        """A probe came back."""
        if self.rtt_s is not None:
            self._loss.count(arrived=1, lost=0 if self.is_broken else self._small_losses)
        self.rtt_s = rtt_s if self.rtt_s is None else 0.8 * self.rtt_s + 0.2 * rtt_s
        self._misses, self._losses, self._small_losses = 0, 0, 0
        self._wins += 1
        if self.is_broken is None or (self.is_broken and self._wins >= WORKS_AFTER):
            self.is_broken = False
        if self._search is not None:
            if size >= FLOOR_BYTES:
                self._search.passed(size)
                self._end_search(now_s)
        elif size >= self._full:
            # What was lost of that size was chance, then.
            self._loss.count(lost=self._full_losses)
            self._full_losses = 0
            self.mtu_bytes = max(self.mtu_bytes, size)
        else:
            self._look_for_less()

    def lost(self, size: int, now_s: float) -> None:
        """A probe did not come back in time, or could not be sent."""
        self._wins = 0
        self._misses += 1
        if self._search is not None and size >= FLOOR_BYTES:
            self._search.lost(size, self._loss.beyond(TOO_LARGE_CHANCE))
            self._end_search(now_s)
            return
        self._first_loss_s = now_s if not self._losses else self._first_loss_s
        self._losses += 1
        if size >= self._full:
            self._full_losses += 1
        else:
            self._small_losses += 1
        if self._is_dead(now_s):
            self.is_broken, self._full_losses, self._search = True, 0, None

    def _is_dead(self, now_s: float) -> bool:
        """Whether chance does not explain the losses."""
        if self.rtt_s is None:
            return self._losses >= BROKEN_AFTER and now_s - self._began_s >= NEW_AFTER_S
        enough = self._loss.beyond(BROKEN_CHANCE)
        enough = min(BROKEN_SURELY_AFTER, max(BROKEN_AFTER, enough))
        return self._losses >= enough and now_s - self._first_loss_s >= BROKEN_AFTER_S

    @property
    def _full(self) -> int:
        return self.mtu_bytes or self._ceiling

    def _look_for_less(self) -> None:
        """If the full ones do not pass any more."""
        chance = SHRUNK_CHANCE if self.mtu_bytes else TOO_LARGE_CHANCE
        if self._full_losses >= max(SHRUNK_AFTER, self._loss.beyond(chance)):
            self._search = Search(FLOOR_BYTES, max(FLOOR_BYTES + 1, self._full - 1))

    def _end_search(self, now_s: float) -> None:
        if self._search is None or not self._search.is_over:
            return
        found = self._search.largest
        if found == FLOOR_BYTES:
            found = self.mtu_bytes  # nothing passed: the path is about to be called broken
        self._pause_s = (
            RAISE_FIRST_S if found != self.mtu_bytes else min(RAISE_LAST_S, 2 * self._pause_s)
        )
        self.mtu_bytes, self._search, self._full_losses = found, None, 0
        self._raise_s = now_s + self._pause_s
