"""What must be written and deleted so that the rows that are there become those that are wanted."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import NamedTuple

from weft.engine.rows import RowKey
from weft.engine.sink import Tables


class Difference(NamedTuple):
    """Changes of rows, by table."""

    upserts: Mapping[str, Mapping[Hashable, Hashable]]
    deletes: Mapping[str, Collection[Hashable]]

    def rows(self) -> set[RowKey]:
        """The rows that it changes."""
        changed = (*self.upserts.items(), *self.deletes.items())
        return {RowKey(table, key) for table, keys in changed for key in keys}

    def only(self, rows: Collection[RowKey]) -> Difference:
        """The changes of these rows."""
        upserts = {
            table: {key: value for key, value in values.items() if RowKey(table, key) in rows}
            for table, values in self.upserts.items()
        }
        deletes = {
            table: {key for key in keys if RowKey(table, key) in rows}
            for table, keys in self.deletes.items()
        }
        return Difference(
            {table: values for table, values in upserts.items() if values},
            {table: keys for table, keys in deletes.items() if keys},
        )


def difference(desired: Tables, actual: Tables) -> Difference:
    """What makes `actual` become `desired`."""
    upserts: dict[str, dict[Hashable, Hashable]] = {}
    deletes: dict[str, set[Hashable]] = {}
    for table in {*desired, *actual}:
        wanted, found = desired.get(table, {}), actual.get(table, {})
        changed = {
            key: value for key, value in wanted.items() if key not in found or found[key] != value
        }
        if changed:
            upserts[table] = changed
        gone = found.keys() - wanted.keys()
        if gone:
            deletes[table] = set(gone)
    return Difference(upserts, deletes)
