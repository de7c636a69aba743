"""Who is dialed, whatever goes wrong with some."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from tests.cluster.hosts import QUICK
from weft.cluster.dialer import Dialer, Outcome
from weft.cluster.interface import Endpoint, Target

GOOD, BAD = Endpoint("192.0.2.1", 6783), Endpoint("192.0.2.2", 2**40)


class World:
    """Counts who was dialed."""

    def __init__(self) -> None:
        self.dialed: list[Endpoint] = []
        self.news = asyncio.Event()
        self.fault: Exception | None = None
        self.dialer = Dialer(
            self.dial, lambda target: False, lambda target: False, QUICK, random.Random(1)
        )

    async def dial(self, target: Target, endpoint: Endpoint) -> Outcome:
        self.dialed.append(endpoint)
        self.news.set()
        if endpoint == BAD and self.fault is not None:
            raise self.fault
        return Outcome.FAILED

    async def until_dialed(self, endpoint: Endpoint, times: int) -> None:
        async with asyncio.timeout(10):
            while self.dialed.count(endpoint) < times:
                self.news.clear()
                await self.news.wait()


@pytest.mark.parametrize("fault", [OverflowError("port"), UnicodeError("x"), RecursionError()])
async def test_a_fault_over_one_target_stays_with_it(fault: Exception) -> None:
    world = World()
    world.fault = fault
    world.dialer.want([Target(endpoints=(BAD,)), Target(endpoints=(GOOD,))])
    task = asyncio.create_task(world.dialer.run())
    await world.until_dialed(BAD, 3)
    await world.until_dialed(GOOD, 3)
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_dialer_that_runs_again_pursues_what_was_wanted() -> None:
    world = World()
    world.dialer.want([Target(endpoints=(GOOD,))])
    for turn in (1, 2):
        task = asyncio.create_task(world.dialer.run())
        await world.until_dialed(GOOD, len(world.dialed) + turn)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
