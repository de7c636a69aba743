"""Dense numbers for what programs find in arrays: subjects, atoms, identities, rules, rows.

A number is a host's own. Which ones are needed shows when the kernel is looked at: a key that
nobody has asked for since the last look is given up. Its number then rests, for a program may be
about to use it, and is another key's only after that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

from weft.errors import ExhaustedError

K = TypeVar("K", bound=Hashable)


class Numbers(Generic[K]):
    """Keys <-> numbers."""

    def __init__(
        self,
        what: str,
        room: int,
        now_s: Callable[[], float],
        rest_s: float = 1.0,
        *,
        is_reused_last: bool = False,
    ) -> None:
        """From 1 on, below `room`. `what` they are, in the plural, is for messages. A number that
        was used before is the next one, or, `is_reused_last`, only when there are no others."""
        self._what = what
        self._room = room
        self._now_s = now_s
        self._rest_s = rest_s
        self._is_reused_last = is_reused_last
        self._next = 1
        self._free: list[int] | None = None
        """None: not known yet, for numbers are still being found."""
        self._resting: deque[tuple[float, int]] = deque()
        self._numbers: dict[K, int] = {}
        self._keys: dict[int, K] = {}
        self._asked: set[K] = set()

    @property
    def end(self) -> int:
        """No number is as large as this."""
        return self._next

    def __len__(self) -> int:
        """How many keys have a number."""
        return len(self._numbers)

    def of(self, key: K) -> int | None:
        """The key's number, which it keeps because of this; None: it has none."""
        number = self._numbers.get(key)
        if number is not None:
            self._asked.add(key)
        return number

    def new(self, key: K) -> int:
        """A number for a key that has none. ExhaustedError: there are no more."""
        number = self._take()
        self.found(key, number)
        self._asked.add(key)
        return number

    def key(self, number: int) -> K | None:
        """Whose number it is."""
        return self._keys.get(number)

    def hold(self, number: int) -> None:
        """Whoever has the number keeps it, as if the key had been asked for."""
        if number in self._keys:
            self._asked.add(self._keys[number])

    def found(self, key: K, number: int) -> None:
        """An earlier weftd has given it to this key. To be said before any is given."""
        self._next = max(self._next, number + 1)
        self._numbers[key] = number
        self._keys[number] = key

    def found_resting(self, number: int) -> None:
        """An earlier weftd has given it up. To be said before any is given."""
        self._next = max(self._next, number + 1)
        self._resting.append((self._now_s() + self._rest_s, number))

    def begin_look(self) -> None:
        """From now on it is noted who asks."""
        self._asked.clear()

    def end_look(self) -> list[tuple[K, int]]:
        """Give up the numbers that nobody has asked for. Those, and whose they were."""
        gone = [each for each in self._numbers.items() if each[0] not in self._asked]
        due_s = self._now_s() + self._rest_s
        for key, number in gone:
            del self._numbers[key], self._keys[number]
            self._resting.append((due_s, number))
        return gone

    def _take(self) -> int:
        if self._free is None:
            resting = {number for _, number in self._resting}
            taken = self._keys.keys() | resting
            self._free = [each for each in range(1, self._next) if each not in taken]
        while self._resting and self._resting[0][0] <= self._now_s():
            heappush(self._free, self._resting.popleft()[1])
        is_fresh = self._next < self._room
        if self._free and not (self._is_reused_last and is_fresh):
            return heappop(self._free)
        if not is_fresh:
            raise ExhaustedError(f"{self._what}: this host has room for {self._room - 1}")
        self._next += 1
        return self._next - 1
