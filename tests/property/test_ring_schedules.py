"""Whatever happens between hosts, no address is given twice, and what is free can be had.

WEFT_RING_SCHEDULES says how many seeded schedules of each size are run, WEFT_RING_SEED where the
seeds begin.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.property import ring_schedules
from tests.property.ring_world import RingWorld

SCHEDULES = int(os.environ.get("WEFT_RING_SCHEDULES", "2"))
FIRST_SEED = int(os.environ.get("WEFT_RING_SEED", "1"))


@pytest.mark.parametrize("hosts", [1, 2, 3, 4, 5])
def test_no_schedule_gives_an_address_twice_or_loses_one(hosts: int) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + SCHEDULES):
        world = RingWorld(hosts, seed)
        ring_schedules.run(world, seed, 120)
        world.check()


@pytest.mark.parametrize("hosts", [3, 5])
def test_nor_does_one_in_which_everything_is_short_of_time(hosts: int) -> None:
    """Much allocation and giving between few messages, and no quiet to end with."""
    for seed in range(FIRST_SEED, FIRST_SEED + 2 * SCHEDULES):
        world = RingWorld(hosts, seed, "10.0.0.0/28")
        source = random.Random(seed)
        for _ in range(150):
            for step in (ring_schedules.want, ring_schedules.allocate, ring_schedules.release):
                step(world, source)
            for _ in range(3):
                ring_schedules.pass_on(world, source)
                ring_schedules.step(world, source)
            ring_schedules.wait(world, source)
