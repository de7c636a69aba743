"""In what order changes are made: deletes from the last table to the first, then upserts back.

A row goes before what it rests on, and comes after it. Pure; the tables' ranks decide.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from weft.engine.table import Table


class Step(NamedTuple):
    """What one table is to write now. May be nothing: others may rest on the table's turn."""

    table: Table[Any, Any]
    upserts: Mapping[Hashable, Hashable]
    deletes: Collection[Hashable]


def removals(
    tables: Sequence[Table[Any, Any]], deletes: Mapping[str, Collection[Hashable]]
) -> Iterator[Step]:
    """What goes before anything is written."""
    for table in reversed(tables):
        if not table.are_deletes_last and not table.are_deletes_left:
            yield Step(table, {}, deletes.get(table.name, ()))


def additions(
    tables: Sequence[Table[Any, Any]],
    upserts: Mapping[str, Mapping[Hashable, Hashable]],
    deletes: Mapping[str, Collection[Hashable]],
) -> Iterator[Step]:
    """What is written, and with it the deletes that wait for that. A step for each table."""
    for table in tables:
        late = deletes.get(table.name, ()) if table.are_deletes_last else ()
        yield Step(table, upserts.get(table.name, {}), late)


def leavings(
    tables: Sequence[Table[Any, Any]], deletes: Mapping[str, Collection[Hashable]]
) -> Iterator[Step]:
    """What goes when all is written."""
    for table in reversed(tables):
        if table.are_deletes_left:
            yield Step(table, {}, deletes.get(table.name, ()))
