from __future__ import annotations

from collections.abc import Hashable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import HOSTS, records
from tests.property.worlds import batches
from weft.engine.compiler import Compiler
from weft.engine.difference import difference
from weft.engine.ebpf.compile import functions
from weft.engine.rows import RowChanges
from weft.store.interface import Change
from weft.store.memory import MemoryStore

Tables = dict[str, dict[Hashable, Hashable]]


def applied(rows: Tables, difference: RowChanges) -> Tables:
    """The rows after a difference; every part of it must have done something."""
    tables = {table: dict(entries) for table, entries in rows.items()}
    for row in difference.deletes:
        del tables[row.table][row.key]
    for row, value in difference.upserts.items():
        table = tables.setdefault(row.table, {})
        assert row.key not in table or table[row.key] != value
        table[row.key] = value
    return {table: entries for table, entries in tables.items() if entries}


@given(batches)
@settings(max_examples=200)
def test_incremental_equals_a_compile_from_nothing(batches: list[list[Change]]) -> None:
    store = MemoryStore()
    compiler = Compiler(functions(HOSTS[0]), store)
    rows: Tables = compiler.rows()
    for batch in batches:
        rows = applied(rows, compiler.update(store.apply(batch)))
        assert rows == compiler.rows()
        assert rows == Compiler(functions(HOSTS[0]), store).rows()


@given(st.lists(records, max_size=25), st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(found: list[object], random: object) -> None:
    unique = list({(type(r), r.id): r for r in found}.values())  # type: ignore[attr-defined]
    one = Compiler(functions(HOSTS[0]), MemoryStore(unique)).rows()  # type: ignore[arg-type]
    random.shuffle(unique)  # type: ignore[attr-defined]
    assert Compiler(functions(HOSTS[0]), MemoryStore(unique)).rows() == one  # type: ignore[arg-type]


_small = st.dictionaries(
    st.sampled_from(["a", "b"]), st.dictionaries(st.integers(0, 4), st.integers(0, 2)), max_size=2
)


@given(_small, _small)
def test_the_difference_makes_actual_desired(
    desired: dict[str, dict[int, int]], actual: dict[str, dict[int, int]]
) -> None:
    upserts, deletes = difference(desired, actual)  # type: ignore[arg-type]
    for table, keys in deletes.items():
        for key in keys:
            del actual[table][key]  # type: ignore[arg-type]
    for table, rows in upserts.items():
        actual.setdefault(table, {}).update(rows)  # type: ignore[arg-type]
    for table in ("a", "b"):
        assert actual.get(table, {}) == desired.get(table, {})
