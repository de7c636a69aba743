"""What the rules of one subject say, in one direction, about one atom: spans of a line.

A span goes from its start to the next one's, and has the best clause of each tier there. Clauses
come and go one by one; the spans are then what a fresh profile of the same clauses has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from weft.engine.ebpf.policy.points import TOP
from weft.kernel.bpf.layouts import Best, RuleAction, Tier

NONE = 2**64 - 1
"""No clause."""
Words = tuple[int, ...]
"""The best clause of each tier."""
NOTHING: Words = (NONE,) * Tier.TIERS
_RANK_BITS = 32


def word(rank: int, action: RuleAction, number: int) -> int:
    """What competes: the least wins. By rank, then the stricter action, then the rule's number."""
    return rank << _RANK_BITS | action << Best.BEST_ACTION_SHIFT | number


class Clause(NamedTuple):
    """One rule on one stretch of the line."""

    first: int
    last: int
    tier: Tier
    word: int


class Span(NamedTuple):
    """From `start` to where the next span starts."""

    start: int
    best: Words


class Profile:
    """Clauses and their spans. Adding costs what it moves; a removal looks at all clauses."""

    def __init__(self, clauses: Iterable[Clause] = ()) -> None:
        self._clauses = list(clauses)
        self._starts: list[int] = []
        self._best: list[Words] = []
        swept = [
            sweep([each for each in self._clauses if each.tier == tier], 0, TOP)
            for tier in range(Tier.TIERS)
        ]
        for start in sorted({start for line in swept for start, _ in line}):
            best = tuple(_word_at(line, start) for line in swept)
            if not self._best or self._best[-1] != best:
                self._starts.append(start)
                self._best.append(best)

    @property
    def spans(self) -> tuple[Span, ...]:
        """By rising starts; the first is 0, and no two neighbours have the same words."""
        return tuple(map(Span, self._starts, self._best))

    def __len__(self) -> int:
        """How many clauses there are."""
        return len(self._clauses)

    def at(self, point: int) -> Words:
        """The best clause of each tier."""
        return self._best[bisect_right(self._starts, point) - 1]

    def add(self, clause: Clause) -> None:
        """One more clause."""
        self._clauses.append(clause)
        low = self._cut(clause.first)
        high = self._cut(clause.last + 1) if clause.last < TOP else len(self._starts)
        for at in range(low, high):
            best = self._best[at]
            if clause.word < best[clause.tier]:
                self._best[at] = _replaced(best, clause.tier, clause.word)
        self._join(low, high)

    def remove(self, clause: Clause) -> None:
        """One clause less. ValueError: it is not there."""
        self._clauses.remove(clause)
        won = self._won(clause)
        if not won:
            return
        low, high = won[0], won[-1] + 1
        first = self._starts[low]
        last = self._starts[high] - 1 if high < len(self._starts) else TOP
        rest = [
            each
            for each in self._clauses
            if each.tier == clause.tier and each.first <= last and each.last >= first
        ]
        line = sweep(rest, first, last)
        for start, _ in line:
            self._cut(start)
        high = bisect_right(self._starts, last)
        for at in range(low, high):
            now = _word_at(line, self._starts[at])
            self._best[at] = _replaced(self._best[at], clause.tier, now)
        self._join(low, high)

    def _won(self, clause: Clause) -> list[int]:
        """Spans in which a clause is the best one."""
        low = bisect_right(self._starts, clause.first) - 1
        high = bisect_right(self._starts, clause.last)
        return [at for at in range(low, high) if self._best[at][clause.tier] == clause.word]

    def _cut(self, start: int) -> int:
        """Have a span begin there; which one it is."""
        at = bisect_right(self._starts, start) - 1
        if self._starts[at] == start:
            return at
        self._starts.insert(at + 1, start)
        self._best.insert(at + 1, self._best[at])
        return at + 1

    def _join(self, low: int, high: int) -> None:
        """Neighbours that say the same become one, from before `low` to after `high`."""
        for at in range(min(high, len(self._starts) - 1), max(low, 1) - 1, -1):
            if self._best[at] == self._best[at - 1]:
                del self._starts[at], self._best[at]


def sweep(clauses: Sequence[Clause], first: int, last: int) -> list[tuple[int, int]]:
    """(start, best word) from `first` to `last`, of clauses of one tier that overlap there."""
    begins = sorted((max(each.first, first), each.word, each.last) for each in clauses)
    ends = {each.last + 1 for each in clauses if each.last < last}
    cuts = sorted({first, *ends, *(begin for begin, _, _ in begins)})
    line: list[tuple[int, int]] = []
    open_: list[tuple[int, int]] = []
    taken = 0
    for cut in cuts:
        while taken < len(begins) and begins[taken][0] <= cut:
            heappush(open_, begins[taken][1:])
            taken += 1
        while open_ and open_[0][1] < cut:
            heappop(open_)
        best = open_[0][0] if open_ else NONE
        if not line or line[-1][1] != best:
            line.append((cut, best))
    return line


def _word_at(line: Sequence[tuple[int, int]], point: int) -> int:
    return line[bisect_right(line, (point, NONE)) - 1][1]


def _replaced(best: Words, tier: int, word: int) -> Words:
    return (*best[:tier], word, *best[tier + 1 :])
