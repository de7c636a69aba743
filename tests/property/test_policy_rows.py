"""Rows of security groups, change by change, are those of a compile from nothing."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bpf.enforced import HERE, first_records
from tests.bpf.random_policy import RandomPolicy
from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import functions
from weft.store.memory import MemoryStore


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_incremental_rows_of_policy_equal_a_compile_from_nothing(seed: int) -> None:
    chance = random.Random(seed)
    policy, store = RandomPolicy(chance), MemoryStore(first_records())
    compiler = Compiler(functions(HERE), store)
    for _ in range(12):
        compiler.update(store.apply(policy.changes(store, chance.choice([1, 2, 6]))))
        assert compiler.rows() == Compiler(functions(HERE), store).rows()
    assert not compiler.faults
