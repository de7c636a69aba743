"""Dense numbers for what programs find in arrays: subjects, atoms, identities, rules, rows.

A number is a host's own. It stays while its key is held, and the least free one is the next.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

from weft.errors import ExhaustedError

K = TypeVar("K", bound=Hashable)


class Numbers(Generic[K]):
    """Keys <-> numbers."""

    def __init__(self, what: str, room: int, first: int = 1) -> None:
        """From `first` on, below `room`. `what` they are, in the plural, is for messages."""
        self._what = what
        self._room = room
        self._next = first
        self._free: list[int] = []
        self._numbers: dict[K, int] = {}
        self._holds: dict[K, int] = {}

    def hold(self, key: K) -> int:
        """The key's number, from now on if it had none. ExhaustedError: there are no more."""
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._new()
        self._holds[key] = self._holds.get(key, 0) + 1
        return number

    def known(self, key: K) -> int | None:
        """The same; None: nobody holds it."""
        return self._numbers.get(key)

    def release(self, key: K) -> int | None:
        """The opposite of `hold`. The number, if it is free now."""
        self._holds[key] -= 1
        if self._holds[key]:
            return None
        del self._holds[key]
        number = self._numbers.pop(key)
        heappush(self._free, number)
        return number

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._numbers)

    def _new(self) -> int:
        if self._free:
            return heappop(self._free)
        if self._next >= self._room:
            raise ExhaustedError(f"{self._what}: this host has room for {self._room}")
        self._next += 1
        return self._next - 1
