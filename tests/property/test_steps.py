"""The order in which an engine makes changes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from weft.engine.ebpf.tables import TABLES
from weft.engine.steps import Step, additions, leavings, removals

RANKS = {table.name: table.rank for table in TABLES}
LATE = {table.name for table in TABLES if table.are_deletes_last}
LEFT = {table.name for table in TABLES if table.are_deletes_left}
names = st.sampled_from(sorted(RANKS))
keys = st.integers(0, 3)
upserted = st.dictionaries(names, st.dictionaries(keys, keys, min_size=1))
deleted = st.dictionaries(names, st.sets(keys, min_size=1))


@given(upserted, deleted)
def test_every_change_is_made_once_in_the_order_of_ranks(
    upserts: Mapping[str, Mapping[Hashable, Hashable]], deletes: Mapping[str, set[Hashable]]
) -> None:
    before = list(removals(TABLES, deletes))
    after = list(additions(TABLES, upserts, deletes))
    left = list(leavings(TABLES, deletes))
    steps = [*before, *after, *left]
    assert {step.table.name: step.upserts for step in steps if step.upserts} == upserts
    assert {step.table.name: step.deletes for step in steps if step.deletes} == deletes
    assert ranks(before) == sorted(ranks(before), reverse=True)
    assert ranks(after) == sorted(RANKS.values())
    assert ranks(left) == sorted(ranks(left), reverse=True)
    assert {step.table.name for step in left} == LEFT and not any(step.upserts for step in left)


@given(upserted, deleted)
def test_what_waits_for_upserts_is_deleted_with_them(
    upserts: Mapping[str, Mapping[Hashable, Hashable]], deletes: Mapping[str, set[Hashable]]
) -> None:
    late = [step for step in additions(TABLES, upserts, deletes) if step.deletes]
    assert {step.table.name for step in late} == LATE & deletes.keys()
    assert not LATE & {step.table.name for step in removals(TABLES, deletes)}


def ranks(steps: list[Step]) -> list[int]:
    return [step.table.rank for step in steps]
