"""What failed or was refused between this host and others, kept until it is mended or old.

Strangers can make as many as they like, so what comes in is bounded, and each is logged once: again
only when its reason changes or a good while later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from weft.cluster.interface import Problem
from weft.model.ids import HostId

MAX_PROBLEMS = 128
LOG_AGAIN_S = 600.0
KEEP_S = 120.0
"""A problem that came from outside goes when it was not seen for so long: a host that still has it
tries again several times meanwhile."""
MAX_LOGS = 20
LOG_WINDOW_S = 60.0
"""At most so many lines in so long, however many problems there are."""

log = structlog.get_logger()


class _Key(NamedTuple):
    address: str
    host_id: HostId | None
    is_outgoing: bool


class Problems:
    """The problems of now. `changed` is called when the list is another one."""

    def __init__(self, wall_s: Callable[[], float], changed: Callable[[], None]) -> None:
        self._wall_s = wall_s
        self._changed = changed
        self._known: dict[_Key, Problem] = {}
        self._logged: dict[tuple[str, str], float] = {}
        self._recent: list[float] = []

    def add(
        self,
        address: str,
        reason: str,
        fix: str,
        *,
        host_id: HostId | None = None,
        is_outgoing: bool = False,
        is_clone: bool = False,
        is_removal: bool = False,
    ) -> None:
        """It failed, or failed again."""
        problem = Problem(
            address=address,
            host_id=host_id,
            reason=reason,
            fix=fix,
            at_s=self._wall_s(),
            is_outgoing=is_outgoing,
            is_clone=is_clone,
            is_removal=is_removal,
        )
        key = _Key(address, host_id, is_outgoing)
        before = self._known.pop(key, None)
        self._known[key] = problem
        if len(self._known) > MAX_PROBLEMS:
            del self._known[self._least_useful()]
        self._log(problem)
        if before is None or before.reason != reason:
            self._changed()

    def mended(self, host_id: HostId, addresses: Sequence[str]) -> None:
        """A link to the host is up, over one of these addresses. Clones of the host are still a
        problem."""
        self._drop(
            lambda key, problem: (
                not problem.is_clone and (key.host_id == host_id or key.address in addresses)
            )
        )

    def no_longer_wanted(self, addresses: Sequence[str]) -> None:
        """Nobody dials these any more."""
        self._drop(lambda key, problem: key.is_outgoing and key.address in addresses)

    def forget_old(self) -> None:
        """Drop what has not been seen for a while. Called from time to time."""
        now_s = self._wall_s()
        self._drop(
            lambda key, problem: (
                (not key.is_outgoing or problem.is_clone)
                and not 0 <= now_s - problem.at_s <= KEEP_S
            )
        )

    def list(self) -> Sequence[Problem]:
        """The latest first."""
        return tuple(reversed(self._known.values()))

    def _drop(self, is_over: Callable[[_Key, Problem], bool]) -> None:
        over = [key for key, problem in self._known.items() if is_over(key, problem)]
        for key in over:
            del self._known[key]
            for logged in [each for each in self._logged if each[0] == key.address]:
                del self._logged[logged]
        if over:
            self._changed()

    def _least_useful(self) -> _Key:
        """The oldest that came from outside, else the oldest."""
        return next((key for key in self._known if not key.is_outgoing), next(iter(self._known)))

    def _log(self, problem: Problem) -> None:
        now_s = problem.at_s
        key = problem.address, problem.reason
        last_s = self._logged.get(key)
        if last_s is not None and 0 <= now_s - last_s < LOG_AGAIN_S:
            return
        self._recent = [at_s for at_s in self._recent if 0 <= now_s - at_s < LOG_WINDOW_S]
        if len(self._recent) >= MAX_LOGS:
            return
        self._recent.append(now_s)
        self._logged[key] = now_s
        if len(self._logged) > 2 * MAX_PROBLEMS:
            del self._logged[next(iter(self._logged))]
        log.warning(
            "no link to a host" if problem.is_outgoing else "connection refused",
            address=problem.address,
            host=problem.host_id,
            reason=problem.reason,
            fix=problem.fix,
        )
