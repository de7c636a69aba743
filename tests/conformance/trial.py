"""Sends probes, follows them, and says what is not as it should be."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.conformance.attempts import Attempt, begun, fits, needs_time
from tests.conformance.cast import Cast
from tests.conformance.flows import Flow
from tests.conformance.sentences import Outcome, Probe
from tests.system.workload import PATIENCE

ANSWER_S = 2.0 * PATIENCE
"""Within this what is to come has come."""
EARLY_S = 0.15 * PATIENCE
"""The same while a change is on its way: then it is sent again."""
SILENCE_S = 0.06 * PATIENCE
"""After this, and after all else of the same steps has come, what has not come does not come. The
kernel takes some twenty microseconds, and has taken them before `send` is back."""
SOLICITED_S = 4.0 * PATIENCE
"""The same of routers, which may take so long to advertise themselves (RFC 4861 6.2.6)."""


class Trial:
    """Of probes that are sent together."""

    def __init__(self, cast: Cast, pairs: Sequence[tuple[Probe, Outcome]], version: int) -> None:
        self._cast = cast
        self._pairs = pairs
        self._version = version
        self._names = _Names(cast, version)
        self._is_slow = any(probe.kind == "solicit" for probe, _ in pairs)
        self._attempts: list[Attempt] = []
        self._holders: list[dict[str, bool]] = []

    def wrong(self, answer_s: float) -> list[str]:
        """Send all, and tell of each that is not as expected how it is instead.

        answer_s: within this what is to come has come.
        """
        for _ in self._cast.heard():
            pass  # what is left of earlier ones
        try:
            for probe, _ in self._pairs:
                self._holders.append(self._cast.holders(probe.target, self._version))
                self._attempts.append(begun(probe, self._cast.ends(probe, self._version)))
            self._follow(answer_s)
            return [
                f"{probe.sender} -> {probe.target} {probe.kind} {probe.number}:"
                f" {outcome.word}, but: {attempt}"
                for attempt, (probe, outcome) in zip(self._attempts, self._pairs)
                if not fits(attempt, outcome, self._names)
            ]
        finally:
            for attempt in self._attempts:
                attempt.close()

    def _follow(self, answer_s: float) -> None:
        """Read taps and sockets until all is clear."""
        begun_s = time.monotonic()
        silence_s = SOLICITED_S if self._is_slow else SILENCE_S
        answer_s = max(answer_s, silence_s)
        is_silent = any(needs_time(outcome) for _, outcome in self._pairs)
        while (passed_s := time.monotonic() - begun_s) < answer_s:
            self._listen()
            fitting = [
                fits(attempt, outcome, self._names)
                for attempt, (_, outcome) in zip(self._attempts, self._pairs)
            ]
            if all(fitting) and (passed_s > silence_s or not is_silent):
                return
            if passed_s > silence_s and self._is_lost(fitting):
                return

    def _is_lost(self, fitting: Sequence[bool]) -> bool:
        """Whether something has come that should not, which nothing takes back."""
        return any(
            outcome.word == "silent" and not is_so
            for is_so, (_, outcome) in zip(fitting, self._pairs)
        )

    def _listen(self) -> None:
        for name, packet in self._cast.heard(timeout_s=0.005):
            for attempt, holders in zip(self._attempts, self._holders):
                if attempt.probe.sender == name:
                    attempt.came_back(packet)
                if name in holders:
                    attempt.came_in(packet, None if holders[name] else name)
        for attempt in self._attempts:
            attempt.look()


class _Names(dict[str, str]):
    """Addresses by name, looked up when somebody asks."""

    def __init__(self, cast: Cast, version: int) -> None:
        super().__init__()
        self._cast, self._version = cast, version

    def __missing__(self, name: str) -> str:
        return self._cast.addresses.of(name, self._version)


def is_answered(cast: Cast, flow: Flow, timeout_s: float) -> bool:
    """Whether a flow gives back what is sent on it now."""
    flow.ask()
    deadline = time.monotonic() + timeout_s
    while not flow.is_answered and time.monotonic() < deadline:
        for _ in cast.heard(timeout_s=0.005):
            pass
        flow.look()
    return flow.is_answered
