"""Rows that wait to be applied, each with the value that counts now."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable

from weft.engine.difference import Difference
from weft.engine.rows import RowChanges, RowKey


class Pending:
    """Rows that were compiled and not yet handed to the sink. A later change of a row takes the
    place of an earlier one."""

    def __init__(self) -> None:
        self._upserts: dict[RowKey, Hashable] = {}
        self._deletes: set[RowKey] = set()

    def __bool__(self) -> bool:
        return bool(self._upserts or self._deletes)

    @property
    def upserts(self) -> Collection[RowKey]:
        """The rows that are to be written."""
        return self._upserts.keys()

    def add(self, changes: RowChanges) -> None:
        """Have these wait, too."""
        for row in changes.deletes:
            self._upserts.pop(row, None)
            self._deletes.add(row)
        for row, value in changes.upserts.items():
            self._deletes.discard(row)
            self._upserts[row] = value

    def take(self) -> Difference:
        """All of it; nothing waits any more."""
        upserts, deletes = self._upserts, self._deletes
        self._upserts, self._deletes = {}, set()
        return _by_table(upserts.items(), deletes)

    def take_only(self, rows: Collection[RowKey]) -> Difference:
        """The changes of `rows`; all others wait on."""
        upserts = [(row, self._upserts.pop(row)) for row in rows if row in self._upserts]
        deletes = self._deletes.intersection(rows)
        self._deletes -= deletes
        return _by_table(upserts, deletes)


def _by_table(upserts: Iterable[tuple[RowKey, Hashable]], deletes: Iterable[RowKey]) -> Difference:
    written: dict[str, dict[Hashable, Hashable]] = {}
    for row, value in upserts:
        written.setdefault(row.table, {})[row.key] = value
    deleted: dict[str, set[Hashable]] = {}
    for row in deletes:
        deleted.setdefault(row.table, set()).add(row.key)
    return Difference(written, deleted)
