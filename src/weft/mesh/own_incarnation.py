"""Under which incarnation a host writes, and when it has to begin another one.

A host that lost its memory, or whose clock was set back, may give the same sequence numbers twice.
Its peers' digests show that; then it goes on under a greater incarnation. Where that happens again
and again, somebody else writes in its name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from weft.mesh.ledger import Ledger
from weft.model.ids import RandomBytes
from weft.store.batch import Saved
from weft.store.clock import COUNTER_BITS
from weft.store.entry import Origin

MAX_REINCARNATIONS = 8
"""Within `TWIN_S`. More means that somebody else writes under this host's identity."""
TWIN_S = 600.0
"""Then the host asserts itself again. Shorter: sooner where somebody writes in its name once;
longer: two hosts with one identity send their records to and fro more seldom."""
INCARNATION_STEP_BYTES = 3
"""Of randomness between a host's incarnations. More makes it less likely that one is given twice,
and puts them further ahead of the clock: these at most a quarter of a second."""


class OwnIncarnation:
    """The incarnation of one host, as far as it knows itself."""

    def __init__(
        self, ledger: Ledger, wall_s: Callable[[], float], random_bytes: RandomBytes, saved: Saved
    ) -> None:
        self.number = saved.incarnation
        """None until the host's first write."""
        self.since = saved.incarnation if saved.since is None else saved.since
        """The first incarnation since which the host has lost nothing that it wrote."""
        self.begun_again = 0
        """How often a peer knew more of this host's present writes than the host itself."""
        self._ledger = ledger
        self._wall_s = wall_s
        self._random_bytes = random_bytes
        self._begun_s: deque[float] = deque(maxlen=MAX_REINCARNATIONS)
        """Wall clock."""

    @property
    def origin(self) -> Origin | None:
        """What the host writes under; None until its first write."""
        return None if self.number is None else Origin(self._ledger.host, self.number)

    @property
    def has_twin(self) -> bool:
        """Whether somebody else seems to write under this host's identity."""
        now_s = self._wall_s()
        recent = [at_s for at_s in self._begun_s if abs(now_s - at_s) < TWIN_S]
        return len(recent) >= MAX_REINCARNATIONS

    def writing_origin(self) -> Origin:
        """What the host writes under. Its first write begins an incarnation."""
        if self.number is None:
            self.number = self.since = self._next()
        return Origin(self._ledger.host, self.number)

    def is_given_twice(self, origin: Origin, mark: int) -> bool:
        """Whether others, who have seen `origin` up to `mark`, know more of this host's present
        writes than itself: then it gave numbers twice."""
        is_more = origin == self.origin and mark > self._ledger.marks[origin]
        return is_more and not self.has_twin

    def is_behind(self, origins: Iterable[Origin]) -> bool:
        """Whether one of the origins is a greater incarnation of this host's: its clock was set
        back."""
        if self.number is None or self.has_twin:
            return False
        host = self._ledger.host
        return any(o.host == host and o.incarnation > self.number for o in origins)

    def begin_again(self, seen: Iterable[Origin] = ()) -> Origin:
        """Go on under a greater incarnation than all known and `seen`. Returns what the host wrote
        under until now."""
        self.begun_again += 1
        self._begun_s.append(self._wall_s())
        former = self.writing_origin()
        self.number = self._next(seen)
        return former

    def _next(self, seen: Iterable[Origin] = ()) -> int:
        """Greater than all that are known, and by a random step.

        A host may have begun one and lost that. Where its clock does not say that time has passed,
        the step keeps it from beginning the same one again and giving its numbers twice.
        """
        ledger = self._ledger
        known = [
            origin.incarnation
            for origins in (ledger.marks, seen, ledger.held.origins())
            for origin in origins
            if origin.host == ledger.host
        ]
        statement = ledger.incarnations.of(ledger.host)
        if statement is not None:
            known.append(statement.before)
        if self.number is not None:
            known.append(self.number)
        step = int.from_bytes(self._random_bytes(INCARNATION_STEP_BYTES), "big")
        return max([int(self._wall_s() * 1000) << COUNTER_BITS, *known]) + 1 + step
