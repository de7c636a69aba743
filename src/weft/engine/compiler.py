"""Records to rows, recomputing only what a change touches.

An engine brings one pure function a record kind. The compiler notes what each call reads through
its `View`; a change of any of that recomputes the call. Where two records want the same row, the
smallest record key wins, so the outcome does not depend on the order of changes: an incremental
result always equals a compile from nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from weft.engine.rows import Row, RowKey
from weft.model.records import Record
from weft.store.interface import Changed, Key, View
from weft.store.memory import index_entries

R = TypeVar("R", bound=Record)
CompileFunction = Callable[[Any, View], Iterable[Row]]
"""From a record of one kind and the others to the rows that it wants. Pure. A row given twice
counts as it was given first."""

Dependency = tuple[Hashable, ...]
"""What was read: ``(kind,)`` all, ``(kind, id)`` one, ``(kind, field, value)`` those found so, and
with `_ANY` behind it only whether there are any."""
_ANY = "any"
_QUESTION = 4
RecordName = tuple[str, str]


class RowChanges(NamedTuple):
    """The difference between two sets of rows."""

    upserts: dict[RowKey, Hashable]
    deletes: set[RowKey]


class TrackingView:
    """A view that notes what is read through it."""

    def __init__(self, view: View, reads: set[Dependency]) -> None:
        self._view = view
        self._reads = reads

    def get(self, kind: type[R], id: str) -> R | None:
        """See `View.get`."""
        self._reads.add((kind, id))
        return self._view.get(kind, id)

    def list(self, kind: type[R]) -> Iterable[R]:
        """See `View.list`."""
        self._reads.add((kind,))
        return self._view.list(kind)

    def by(self, kind: type[R], field: str, value: object) -> Iterable[R]:
        """See `View.by`."""
        self._reads.add((kind, field, value))
        return self._view.by(kind, field, value)

    def any(self, kind: type[Record], field: str, value: object) -> bool:
        """See `View.any`."""
        self._reads.add((kind, field, value, _ANY))
        return self._view.any(kind, field, value)


class Compiler:
    """All rows that an engine wants, kept up to date change by change."""

    def __init__(self, functions: Mapping[type[Record], CompileFunction], view: View) -> None:
        self._functions = functions
        self._view = view
        self._wanted: dict[RowKey, dict[RecordName, Hashable]] = {}
        self._rows: dict[Key, tuple[RowKey, ...]] = {}
        self._reads: dict[Key, set[Dependency]] = {}
        self._readers: dict[Dependency, set[Key]] = {}
        self._answers: dict[Dependency, bool] = {}
        """To the questions of `View.any` that somebody has asked."""
        self.compile_all()

    def compile_all(self) -> None:
        """Forget everything and compile all records."""
        for state in (self._wanted, self._rows, self._reads, self._readers, self._answers):
            state.clear()
        touched: set[RowKey] = set()
        for kind in self._functions:
            for record in self._view.list(kind):
                self._recompute((kind, record.id), touched)

    def rows(self) -> dict[str, dict[Hashable, Hashable]]:
        """All rows: table -> key -> value. Linear in their number."""
        tables: dict[str, dict[Hashable, Hashable]] = {}
        for row_key, wanted in self._wanted.items():
            tables.setdefault(row_key.table, {})[row_key.key] = _winner(wanted)
        return tables

    def owners(self, row: RowKey) -> Sequence[RecordName]:
        """(kind, id) of the records that want a row; the first one's value is in force."""
        return sorted(self._wanted.get(row, {}))

    def update(self, changed: Iterable[Changed]) -> RowChanges:
        """Take changes of the view, which already shows them; returns what they do to the rows."""
        stale: set[Key] = set()
        for change in changed:
            if change.key[0] in self._functions:
                stale.add(change.key)
            for dependency in _touched(change):
                stale |= self._readers.get(dependency, set())
                stale |= self._flipped((*dependency, _ANY))
        touched: set[RowKey] = set()
        before: dict[RowKey, Hashable] = {}
        for key in stale:
            for row_key in self._rows.get(key, ()):
                before.setdefault(row_key, _winner(self._wanted[row_key]))
        for key in stale:
            self._recompute(key, touched, before)
        return self._difference(touched, before)

    def _flipped(self, question: Dependency) -> set[Key]:
        """Who asked whether there is any, when the answer is another now."""
        before = self._answers.get(question)
        if before is None:
            return set()
        now = self._answer(question)
        if now == before:
            return set()
        self._answers[question] = now
        return self._readers[question]

    def _answer(self, question: Dependency) -> bool:
        kind, field, value, _ = cast("tuple[type[Record], str, Hashable, str]", question)
        return self._view.any(kind, field, value)

    def _difference(self, touched: set[RowKey], before: dict[RowKey, Hashable]) -> RowChanges:
        upserts: dict[RowKey, Hashable] = {}
        deletes: set[RowKey] = set()
        for row_key in touched:
            wanted = self._wanted.get(row_key)
            if wanted is None:
                if row_key in before:
                    deletes.add(row_key)
                continue
            value = _winner(wanted)
            if row_key not in before or before[row_key] != value:
                upserts[row_key] = value
        return RowChanges(upserts, deletes)

    def _recompute(
        self, key: Key, touched: set[RowKey], before: dict[RowKey, Hashable] | None = None
    ) -> None:
        kind, id = key
        name = (kind.KIND, id)
        reads: set[Dependency] = set()
        record = self._view.get(kind, id)
        rows: dict[RowKey, Hashable] = {}
        if record is not None:
            for row in self._functions[kind](record, TrackingView(self._view, reads)):
                rows.setdefault(RowKey(row.table, row.key), row.value)
        self._note_reads(key, reads)
        self._drop(key, name, touched)
        for row_key, value in rows.items():
            wanted = self._wanted.setdefault(row_key, {})
            if before is not None and wanted and row_key not in touched:
                before.setdefault(row_key, _winner(wanted))
            wanted[name] = value
            touched.add(row_key)
        if rows:
            self._rows[key] = tuple(rows)

    def _drop(self, key: Key, name: RecordName, touched: set[RowKey]) -> None:
        for row_key in self._rows.pop(key, ()):
            wanted = self._wanted[row_key]
            wanted.pop(name, None)
            if not wanted:
                del self._wanted[row_key]
            touched.add(row_key)

    def _note_reads(self, key: Key, reads: set[Dependency]) -> None:
        for dependency in self._reads.pop(key, set()) - reads:
            readers = self._readers[dependency]
            readers.discard(key)
            if not readers:
                del self._readers[dependency]
                self._answers.pop(dependency, None)
        for dependency in reads:
            self._readers.setdefault(dependency, set()).add(key)
            if len(dependency) == _QUESTION and dependency not in self._answers:
                self._answers[dependency] = self._answer(dependency)
        if reads:
            self._reads[key] = reads


def _winner(wanted: dict[RecordName, Hashable]) -> Hashable:
    return wanted[min(wanted)] if len(wanted) > 1 else next(iter(wanted.values()))


def _touched(change: Changed) -> set[Dependency]:
    kind, id = change.key
    dependencies: set[Dependency] = {(kind, id), (kind,)}
    for record in (change.old, change.new):
        if record is not None:
            dependencies.update((kind, field, value) for field, value in index_entries(record))
    return dependencies
