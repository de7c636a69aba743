"""A fair share of a bounded resource for each asker.

An asker may take one more while it holds fewer than are free. So n askers who want all they can get
hold total / (n + 1) each, and as many stay free: the next asker is served at once, however busy the
others are. (The dynamic threshold of A. K. Choudhury and E. L. Hahne, "Dynamic queue length
thresholds for shared-memory packet switches", 1998, with a factor of one.)
"""

from __future__ import annotations

import asyncio
from collections import deque


class Shares:
    """How many each asker holds of `total`; none holds more than `most`."""

    def __init__(self, total: int, most: int | None = None) -> None:
        self._most = total if most is None else most
        self._held: dict[str, int] = {}
        self.free = total

    def held(self, asker: str) -> int:
        """How many the asker holds."""
        return self._held.get(asker, 0)

    def may_take(self, asker: str) -> bool:
        """Whether one more is within the asker's share."""
        return self.held(asker) < min(self.free, self._most)

    def take(self, asker: str) -> None:
        """One more; the caller has seen that it may."""
        self._held[asker] = self.held(asker) + 1
        self.free -= 1

    def give_back(self, asker: str) -> None:
        """One less."""
        self._held[asker] -= 1
        self.free += 1
        if not self._held[asker]:
            del self._held[asker]

    def largest(self) -> str | None:
        """The asker that holds the most shares; None when no asker holds any."""
        return max(self._held, key=self.held, default=None)


class Turns:
    """Shares for which askers wait in line: a share that is given back goes to the asker that holds
    the fewest. Each asker has a line of its own. The lines are not bounded here: the caller bounds
    how many wait.
    """

    def __init__(self, total: int) -> None:
        self._shares = Shares(total)
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many wait, of all askers."""
        return sum(map(len, self._lines.values()))

    def try_take(self, asker: str) -> bool:
        """Take one if that is possible without waiting."""
        if asker in self._lines or not self._shares.may_take(asker):
            return False
        self._shares.take(asker)
        return True

    async def take(self, asker: str, wait_s: float) -> None:
        """Take one when it is the asker's turn; TimeoutError when it is not within the time."""
        if self.try_take(asker):
            return
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(asker, deque()).append(turn)
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException:
            # The turn may have come in the same moment; then it is for somebody else.
            if turn.done() and not turn.cancelled():
                self.give_back(asker)
            else:
                self._leave(asker, turn)
            raise

    def give_back(self, asker: str) -> None:
        """One less; those whose turn it is now go on."""
        self._shares.give_back(asker)
        while self._lines:
            next_one = min(self._lines, key=self._shares.held)
            if not self._shares.may_take(next_one):
                return
            # Taken out and, if others of its own wait, put in again behind all other askers.
            line = self._lines.pop(next_one)
            turn = line.popleft()
            if line:
                self._lines[next_one] = line
            if not turn.done():
                self._shares.take(next_one)
                turn.set_result(None)

    def _leave(self, asker: str, turn: asyncio.Future[None]) -> None:
        line = self._lines.get(asker)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[asker]
