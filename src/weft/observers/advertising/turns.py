"""When each port gets an advertisement (RFC 4861 6.2.4, 6.2.6). Time and randomness are passed in.

A port is told soon after it has come, or after what it is told has changed, three times in a row;
then every few minutes; and soon after it asks. However often it asks, it is told every three
seconds at most.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

from weft.model.ids import PortId

LEAST_S, MOST_S = 200.0, 600.0
"""Between two that nobody asked for (MinRtrAdvInterval, MaxRtrAdvInterval)."""
INITIAL_S = 16.0
"""Between the first ones (MAX_INITIAL_RTR_ADVERT_INTERVAL)."""
INITIAL = 3
"""As many are the first ones (MAX_INITIAL_RTR_ADVERTISEMENTS)."""
BETWEEN_S = 3.0
"""Between two, whoever asks (MIN_DELAY_BETWEEN_RAS)."""
ANSWER_S = 0.5
"""Within this a question is answered (MAX_RA_DELAY_TIME)."""
_PORTS_A_SECOND = 50
"""That are told of something new: an advertisement costs about a tenth of a millisecond."""


class _Turn(NamedTuple):
    at_s: float
    number: int
    port: PortId


class _State:
    def __init__(self) -> None:
        self.sent_s = -math.inf
        self.to_come = INITIAL
        """Of the first ones."""
        self.turn: _Turn | None = None


class Turns:
    """Of all ports that are told."""

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        """uniform: a random number between two."""
        self._uniform = uniform
        self._states: dict[PortId, _State] = {}
        self._heap: list[_Turn] = []
        self._numbers = itertools.count()
        self._fresh_s = -math.inf
        """When the last port is told that has something new."""

    def renew(self, port: PortId, now_s: float) -> None:
        """There is something new to tell it."""
        state = self._states.setdefault(port, _State())
        state.to_come = INITIAL
        self._fresh_s = max(now_s + ANSWER_S, self._fresh_s + 1 / _PORTS_A_SECOND)
        self._push(state, port, max(self._fresh_s, state.sent_s + BETWEEN_S))

    def forget(self, port: PortId) -> None:
        """It is told no more."""
        self._states.pop(port, None)

    def solicited(self, port: PortId, now_s: float) -> None:
        """It has asked."""
        state = self._states.get(port)
        if state is None:
            return
        soon_s, least_s = now_s + ANSWER_S, state.sent_s + BETWEEN_S
        if state.turn is None or state.turn.at_s > max(soon_s, least_s):
            self._push(state, port, max(now_s + self._uniform(0.0, ANSWER_S), least_s))

    def due_s(self) -> float:
        """When `take` has somebody."""
        return self._heap[0].at_s if self._heap else math.inf

    def take(self, now_s: float, at_most: int) -> list[PortId]:
        """The ports that are told now."""
        found: list[PortId] = []
        while self._heap and self._heap[0].at_s <= now_s and len(found) < at_most:
            turn = heapq.heappop(self._heap)
            state = self._states.get(turn.port)
            if state is None or state.turn is not turn:
                continue
            found.append(turn.port)
            state.sent_s = now_s
            state.to_come = max(0, state.to_come - 1)
            wait_s = INITIAL_S if state.to_come else self._uniform(LEAST_S, MOST_S)
            self._push(state, turn.port, now_s + wait_s)
        return found

    def is_settled(self, port: PortId) -> bool:
        """Whether it has been told all of the first ones."""
        state = self._states.get(port)
        return state is None or not state.to_come

    def _push(self, state: _State, port: PortId, at_s: float) -> None:
        state.turn = _Turn(at_s, next(self._numbers), port)
        heapq.heappush(self._heap, state.turn)
