"""Whatever happens between them, hosts end up holding the same.

WEFT_MESH_SCHEDULES says how many seeded schedules of each size are run, WEFT_MESH_SEED where the
seeds begin. Without the first every run is the same; with it hypothesis looks for others each time.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mesh import schedules
from tests.mesh.simulation import Cluster, chain, full, ring_with_chords
from weft.mesh.replica import Limits

IS_ROAMING = "WEFT_MESH_SCHEDULES" in os.environ
SCHEDULES = int(os.environ.get("WEFT_MESH_SCHEDULES", "12"))
FIRST_SEED = int(os.environ.get("WEFT_MESH_SEED", "1"))


@pytest.mark.parametrize("hosts", [2, 3, 5, 9])
@pytest.mark.parametrize("lifetime_s", [3600.0, 5.0])
def test_every_schedule_converges(hosts: int, lifetime_s: float) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + SCHEDULES):
        cluster = Cluster(hosts, seed, limits=Limits(tombstone_lifetime_s=lifetime_s))
        source = random.Random(seed)
        topologies = (full(hosts), chain(hosts), ring_with_chords(hosts, source))
        cluster.topology = source.choice(topologies) if hosts > 4 else full(hosts)
        schedules.run(cluster, 120)
        cluster.check()


@settings(max_examples=SCHEDULES, derandomize=not IS_ROAMING)
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.sampled_from([*schedules.STEPS, schedules.wait_long]), max_size=60),
)
def test_schedules_of_hypothesis_converge(seed: int, steps: list[schedules.Step]) -> None:
    cluster = Cluster(3, seed, limits=Limits(tombstone_lifetime_s=10.0))
    cluster.connect()
    source = random.Random(seed)
    for step in steps:
        step(cluster, source)
    cluster.check()
