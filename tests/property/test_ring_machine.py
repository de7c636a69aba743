"""The same attack, with schedules that hypothesis makes up and shortens."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.property import ring_schedules
from tests.property.ring_world import RingWorld

IS_ROAMING = "WEFT_RING_SCHEDULES" in os.environ
EXAMPLES = int(os.environ.get("WEFT_RING_SCHEDULES", "15"))

COMMON = [
    ring_schedules.allocate,
    ring_schedules.burst,
    ring_schedules.release,
    ring_schedules.want,
]
NETWORK = [
    ring_schedules.pass_on,
    ring_schedules.spread,
    ring_schedules.step,
    ring_schedules.step_all,
    ring_schedules.step_astray,
    ring_schedules.settle,
]
TROUBLE = [
    ring_schedules.partition,
    ring_schedules.heal,
    ring_schedules.wait,
    ring_schedules.wait_long,
    ring_schedules.drift,
    ring_schedules.crash,
    ring_schedules.restart,
]
CHANGE = [
    ring_schedules.join,
    ring_schedules.forget,
    ring_schedules.back_up,
    ring_schedules.restore,
]
_seeds = st.integers(0, 2**32)


class SharedSubnet(RuleBasedStateMachine):
    """Every rule holds the invariant itself: an address that runs is never given (`allocate`)."""

    @initialize(hosts=st.integers(1, 5), seed=_seeds)
    def begin(self, hosts: int, seed: int) -> None:
        self.world = RingWorld(hosts, seed)

    @rule(step=st.sampled_from(COMMON), seed=_seeds)
    def use(self, step: ring_schedules.Step, seed: int) -> None:
        step(self.world, random.Random(seed))

    @rule(step=st.sampled_from(NETWORK), seed=_seeds)
    def talk(self, step: ring_schedules.Step, seed: int) -> None:
        step(self.world, random.Random(seed))

    @rule(step=st.sampled_from(TROUBLE), seed=_seeds)
    def trouble(self, step: ring_schedules.Step, seed: int) -> None:
        step(self.world, random.Random(seed))

    @rule(step=st.sampled_from(CHANGE), seed=_seeds)
    def change(self, step: ring_schedules.Step, seed: int) -> None:
        step(self.world, random.Random(seed))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.check()


TestSharedSubnet = pytest.mark.timeout(900)(SharedSubnet.TestCase)
"""On a busy machine some of the schedules take minutes."""
TestSharedSubnet.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=60,
    derandomize=not IS_ROAMING,
)
