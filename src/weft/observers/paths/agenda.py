"""When each entry is to be looked after. A look costs what is due, however many there are."""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class Agenda(Generic[T]):
    """Things, each at one time at most."""

    def __init__(self) -> None:
        self._at: dict[T, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, T]] = []
        """It holds entries that count no more, too: those that `_at` does not name."""
        self._numbers = count()

    @property
    def next_s(self) -> float:
        """When the first is due; infinity: none ever is."""
        heap = self._heap
        while heap and self._at.get(heap[0][2]) != heap[0][:2]:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def put(self, thing: T, when_s: float) -> None:
        """Due then, and no longer when it was due before."""
        self._at[thing] = (when_s, next(self._numbers))
        if when_s < math.inf:
            heapq.heappush(self._heap, (*self._at[thing], thing))

    def remove(self, thing: T) -> None:
        """Never due."""
        self._at.pop(thing, None)

    def take(self, until_s: float) -> list[T]:
        """All that are due until then, the first first; they are on the agenda no more."""
        due = []
        while self.next_s <= until_s:
            thing = heapq.heappop(self._heap)[2]
            del self._at[thing]
            due.append(thing)
        return due
