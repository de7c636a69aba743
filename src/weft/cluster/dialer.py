"""Which targets to dial, and when again: tries follow each other quickly at first, then after
longer and longer pauses, with some chance in them.

A target is pursued by a task of its own until it is met; it starts again when the link is lost.
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Awaitable, Callable, Sequence

import structlog

from weft.cluster.interface import Endpoint, Target
from weft.cluster.link import Pace

log = structlog.get_logger()


class Outcome(enum.Enum):
    """Of dialing one address. Dialing never raises for the other end's faults."""

    LINKED = enum.auto()
    FAILED = enum.auto()
    REFUSED = enum.auto()
    """It will not pass by itself, so there is no hurry."""


Dial = Callable[[Target, Endpoint], Awaitable[Outcome]]


class Dialer:
    """Pursues the targets that are wanted."""

    def __init__(
        self,
        dial: Dial,
        is_met: Callable[[Target], bool],
        is_courteous: Callable[[Target], bool],
        pace: Pace,
        randomness: random.Random,
    ) -> None:
        """is_courteous: the other host is to dial first."""
        self.targets: tuple[Target, ...] = ()
        self._dial = dial
        self._is_met = is_met
        self._is_courteous = is_courteous
        self._pace = pace
        self._random = randomness
        self._pursuits: dict[Target, _Pursuit] = {}
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def want(self, targets: Sequence[Target]) -> bool:
        """Pursue these and no others; False: it is what was wanted already."""
        wanted = tuple(dict.fromkeys(targets))
        if wanted == self.targets:
            return False
        self.targets = wanted
        self._changed.set()
        return True

    def links_changed(self) -> None:
        """Some target may be met, or no longer."""
        for pursuit in self._pursuits.values():
            pursuit.wake.set()

    def hurry(self) -> None:
        """The network is another one: what failed may do now."""
        for pursuit in self._pursuits.values():
            pursuit.failures = 0
            pursuit.hurry.set()

    async def run(self) -> None:
        """Dial until cancelled. When it runs again, all that is wanted is pursued anew."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._changed.clear()
                    self._adjust(tasks)
                    await self._changed.wait()
        finally:
            self._tasks.clear()
            self._pursuits.clear()

    def _adjust(self, tasks: asyncio.TaskGroup) -> None:
        for target in self._tasks.keys() - set(self.targets):
            self._tasks.pop(target).cancel()
            del self._pursuits[target]
        for target in self.targets:
            if target not in self._tasks:
                pursuit = _Pursuit(self, target)
                self._pursuits[target] = pursuit
                self._tasks[target] = tasks.create_task(pursuit.run())


class _Pursuit:
    """One target."""

    def __init__(self, dialer: Dialer, target: Target) -> None:
        self.wake = asyncio.Event()
        self.hurry = asyncio.Event()
        self.failures = 0
        self._was_refused = False
        self._dialer = dialer
        self._target = target

    async def run(self) -> None:
        """Until cancelled."""
        if self._dialer._is_courteous(self._target):
            await self._pause(self._dialer._pace.courtesy_s * (1 + self._dialer._random.random()))
        while True:
            await self._until_lost()
            outcome = await self._round()
            self._was_refused = outcome is Outcome.REFUSED
            if self._is_met:
                # A link that is soon lost again must not be dialed again without end.
                await self._until_lost_or_old()
            else:
                self.failures += 1
            if self.failures:
                await self._pause(self._wait_s())

    @property
    def _is_met(self) -> bool:
        return self._dialer._is_met(self._target)

    async def _until_lost(self) -> None:
        while self._is_met:
            self.wake.clear()
            await self.wake.wait()

    async def _until_lost_or_old(self) -> None:
        try:
            async with asyncio.timeout(self._dialer._pace.last_retry_s):
                await self._until_lost()
            self.failures += 1
        except TimeoutError:
            self.failures = 0

    async def _pause(self, seconds: float) -> None:
        self.hurry.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.hurry.wait()
        except TimeoutError:
            pass

    def _wait_s(self) -> float:
        pace = self._dialer._pace
        longest_s = pace.refused_retry_s if self._was_refused else pace.last_retry_s
        wait_s = min(pace.first_retry_s * float(2 ** min(self.failures - 1, 20)), longest_s)
        return wait_s * self._dialer._random.uniform(0.5, 1.0)

    async def _round(self) -> Outcome:
        """Try the addresses one after another, each a little after the last, until the target is
        met."""
        async with asyncio.TaskGroup() as tasks:
            dialing: list[asyncio.Task[Outcome]] = []
            for endpoint in self._target.endpoints:
                if self._is_met:
                    break
                dialing.append(tasks.create_task(self._try(endpoint)))
                await asyncio.wait(dialing, timeout=self._dialer._pace.stagger_s)
            while not self._is_met and any(not each.done() for each in dialing):
                pending = [each for each in dialing if not each.done()]
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for each in dialing:
                each.cancel()
        outcomes = [each.result() for each in dialing if not each.cancelled()]
        if Outcome.LINKED in outcomes:
            return Outcome.LINKED
        is_refused = outcomes and all(each is Outcome.REFUSED for each in outcomes)
        return Outcome.REFUSED if is_refused else Outcome.FAILED

    async def _try(self, endpoint: Endpoint) -> Outcome:
        try:
            return await self._dialer._dial(self._target, endpoint)
        except Exception:
            # Whatever a target makes fail, the others are dialed all the same.
            log.exception("fault in weftd: not dialed", target=str(endpoint))
            return Outcome.FAILED
