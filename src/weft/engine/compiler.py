"""Records to rows, recomputing only what a change touches.

An engine brings one pure function a record kind. The compiler notes what each call reads through
its `View`; a change of any of that recomputes the call. Where two records want the same row, the
smallest record key wins, so the outcome does not depend on the order of changes: an incremental
result always equals a compile from nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
import structlog

from weft.engine.rows import Row, RowKey
from weft.model.records import Record
from weft.store.interface import Changed, Key, View
from weft.store.memory import index_entries

log = structlog.get_logger()
R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
CompileFunction = Callable[[Any, View], Iterable[Row]]
"""From a record of one kind and the others to the rows that it wants. Pure. A row given twice
counts as it was given first."""

Dependency = tuple[Hashable, ...]
"""What was read: ``(kind,)`` all, ``(kind, id)`` one, ``(kind, field, value)`` those found so, and
with `_ANY` behind it only whether there are any, with `_BEGINNING` which values begin so;
``(kind, id, of, what, _DETAIL)`` one answer about one."""
_ANY = "any"
_BEGINNING = "beginning"
_DETAIL = "detail"
_FOUND_BY, _QUESTION, _OF_ONE = 3, 4, 5
"""Lengths of dependencies."""
_ALIKE = 4096
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

    def detail(self, kind: type[R], id: str, of: Callable[[R | None, K], T], what: K) -> T:
        """See `View.detail`."""
        self._reads.add((kind, id, of, what, _DETAIL))
        return self._view.detail(kind, id, of, what)

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

    def beginning(self, kind: type[Record], field: str, first: object) -> Iterable[object]:
        """See `View.beginning`."""
        self._reads.add((kind, field, first, _BEGINNING))
        return self._view.beginning(kind, field, first)


class _Claim(msgspec.Struct, frozen=True, gc=False):
    """A row that one record wants, as nearly all are."""

    record: Key
    value: Hashable


_Claims = _Claim | dict[Key, Hashable]
"""Several: values by record."""


class _Reading(msgspec.Struct, gc=False):
    """Something that somebody read."""

    dependency: Dependency
    """Once for all who read it."""
    readers: Key | dict[Key, None]
    """Mostly one. Of a thousand, a dict takes half of what a set does."""
    answer: object
    """Of `View.any`, `View.beginning` or `View.detail`; None: it was none of these."""

    def add(self, reader: Key) -> None:
        """He reads it as well."""
        if isinstance(self.readers, dict):
            self.readers[reader] = None
        elif self.readers != reader:
            self.readers = {self.readers: None, reader: None}

    def remove(self, reader: Key) -> bool:
        """He no longer reads it; whether nobody does."""
        if isinstance(self.readers, dict):
            self.readers.pop(reader, None)
            return not self.readers
        return self.readers == reader

    def all(self) -> Iterable[Key]:
        """Who reads it."""
        return self.readers if isinstance(self.readers, dict) else (self.readers,)


class Compiler:
    """All rows that an engine wants, kept up to date change by change.

    A large cluster has a hundred thousand ports of other hosts, three rows each, so what is kept
    for every row is kept small.
    """

    def __init__(self, functions: Mapping[type[Record], CompileFunction], view: View) -> None:
        self._functions = functions
        self._view = view
        self._wanted: dict[str, dict[Hashable, _Claims]] = {}
        """By table and row."""
        self._rows: dict[Key, tuple[Hashable, ...]] = {}
        """Of each record its rows: table, row, table, row …"""
        self._reads: dict[Key, tuple[Dependency, ...]] = {}
        self._alike: dict[tuple[Dependency, ...], tuple[Dependency, ...]] = {}
        """Of what many read alike, as a network's ports do, one for all; some are missing."""
        self._readings: dict[Dependency, _Reading] = {}
        self._details: dict[Key, dict[Dependency, None]] = {}
        """Of each record what was asked about it by `View.detail`."""
        self.faults: dict[Key, str] = {}
        """Records whose compile function failed, and so have no rows; why."""
        self.compile_all()

    def compile_all(self) -> None:
        """Forget everything and compile all records."""
        for state in (self._wanted, self._rows, self._reads, self._readings, self._details):
            state.clear()
        self.faults.clear()
        touched: set[RowKey] = set()
        for kind in self._functions:
            for record in self._view.list(kind):
                self._recompute((kind, record.id), touched)
                touched.clear()

    def rows(self) -> dict[str, dict[Hashable, Hashable]]:
        """All rows: table -> key -> value. Linear in their number."""
        return {
            table: {key: _winner(claims) for key, claims in wanted.items()}
            for table, wanted in self._wanted.items()
            if wanted
        }

    def owners(self, row: RowKey) -> Sequence[RecordName]:
        """(kind, id) of the records that want a row; the first one's value is in force."""
        claims = self._claims(row)
        if claims is None:
            return []
        records = [claims.record] if isinstance(claims, _Claim) else claims
        return sorted(map(_name, records))

    def update(self, changed: Iterable[Changed]) -> RowChanges:
        """Take changes of the view, which already shows them; returns what they do to the rows."""
        stale: set[Key] = set()
        for change in changed:
            if change.key[0] in self._functions:
                stale.add(change.key)
            for question in self._details.get(change.key, ()):
                stale.update(self._flipped(question))
            for dependency in _touched(change):
                reading = self._readings.get(dependency)
                if reading is not None:
                    stale.update(reading.all())
                if len(dependency) == _FOUND_BY:
                    stale.update(self._flipped((*dependency, _ANY)))
                    stale.update(self._begun_or_ended(dependency))
        touched: set[RowKey] = set()
        before: dict[RowKey, Hashable] = {}
        for key in stale:
            for row_key in self._rows_of(key):
                before.setdefault(row_key, _winner(self._wanted[row_key.table][row_key.key]))
        for key in stale:
            self._recompute(key, touched, before)
        return self._difference(touched, before)

    def _flipped(self, question: Dependency) -> Iterable[Key]:
        """Who asked, when the answer is another now."""
        reading = self._readings.get(question)
        if reading is None:
            return ()
        now = self._answer(question)
        if now == reading.answer:
            return ()
        reading.answer = now
        return reading.all()

    def _begun_or_ended(self, found_by: Dependency) -> Iterable[Key]:
        """Who asked which values begin like this one, when it has come or gone."""
        kind, field, value = cast("tuple[type[Record], str, Hashable]", found_by)
        if not isinstance(value, tuple):
            return ()
        reading = self._readings.get((kind, field, value[0], _BEGINNING))
        if reading is None:
            return ()
        if not isinstance(reading.answer, set):
            return reading.all()
        if self._view.any(kind, field, value) == (value in reading.answer):
            return ()
        reading.answer = reading.answer ^ {value}
        return reading.all()

    def _answer(self, question: Dependency) -> object:
        try:
            return self._asked(question)
        except Exception as error:
            return repr(error)  # whoever asked has failed, and is asked again on another answer

    def _asked(self, question: Dependency) -> object:
        if len(question) == _OF_ONE:
            return self._view.detail(*cast("tuple[type[Record], str, Any, Hashable]", question[:4]))
        kind, field, value, what = cast("tuple[type[Record], str, Hashable, str]", question)
        if what is _BEGINNING:
            return set(self._view.beginning(kind, field, value))
        return self._view.any(kind, field, value)

    def _difference(self, touched: set[RowKey], before: dict[RowKey, Hashable]) -> RowChanges:
        upserts: dict[RowKey, Hashable] = {}
        deletes: set[RowKey] = set()
        for row_key in touched:
            claims = self._claims(row_key)
            if claims is None:
                if row_key in before:
                    deletes.add(row_key)
                continue
            value = _winner(claims)
            if row_key not in before or before[row_key] != value:
                upserts[row_key] = value
        return RowChanges(upserts, deletes)

    def _recompute(
        self, key: Key, touched: set[RowKey], before: dict[RowKey, Hashable] | None = None
    ) -> None:
        kind, id = key
        reads: set[Dependency] = set()
        record = self._view.get(kind, id)
        rows = {} if record is None else self._compiled(key, record, reads)
        if record is None:
            self.faults.pop(key, None)
        self._note_reads(key, reads)
        self._drop(key, touched)
        for row_key, value in rows.items():
            claims = self._claims(row_key)
            if before is not None and claims is not None and row_key not in touched:
                before.setdefault(row_key, _winner(claims))
            self._claim(row_key, claims, key, value)
            touched.add(row_key)
        if rows:
            self._rows[key] = tuple(chain.from_iterable(rows))

    def _compiled(self, key: Key, record: Record, reads: set[Dependency]) -> dict[RowKey, Hashable]:
        """The rows that a record wants. A function that fails costs this record's rows and no
        others; it is asked again when something changes that it has read."""
        rows: dict[RowKey, Hashable] = {}
        try:
            for row in self._functions[key[0]](record, TrackingView(self._view, reads)):
                rows.setdefault(RowKey(row.table, row.key), row.value)
        except Exception as error:
            if key not in self.faults:
                log.exception("record not compiled", kind=record.KIND, id=record.id)
            self.faults[key] = f"not compiled: {type(error).__name__}: {error}"
            return {}
        self.faults.pop(key, None)
        return rows

    def _rows_of(self, key: Key) -> Iterator[RowKey]:
        flat = self._rows.get(key, ())
        for table, row in zip(flat[::2], flat[1::2], strict=True):
            assert isinstance(table, str)
            yield RowKey(table, row)

    def _claims(self, row_key: RowKey) -> _Claims | None:
        return self._wanted.get(row_key.table, {}).get(row_key.key)

    def _claim(self, row_key: RowKey, claims: _Claims | None, record: Key, value: Hashable) -> None:
        """`claims`: those that there are; none of this record's."""
        if isinstance(claims, dict):
            claims[record] = value
            return
        wanted = self._wanted.setdefault(row_key.table, {})
        if claims is None:
            wanted[row_key.key] = _Claim(record, value)
        else:
            wanted[row_key.key] = {claims.record: claims.value, record: value}

    def _drop(self, record: Key, touched: set[RowKey]) -> None:
        for row_key in self._rows_of(record):
            touched.add(row_key)
            wanted = self._wanted[row_key.table]
            claims = wanted[row_key.key]
            if isinstance(claims, _Claim):
                del wanted[row_key.key]
                continue
            del claims[record]
            if len(claims) == 1:
                wanted[row_key.key] = _Claim(*claims.popitem())
        self._rows.pop(record, None)

    def _note_reads(self, key: Key, reads: set[Dependency]) -> None:
        for dependency in self._reads.pop(key, ()):
            if dependency in reads:
                continue
            if self._readings[dependency].remove(key):
                self._forget(dependency)
        if reads:
            noted = tuple([self._note(key, dependency) for dependency in reads])
            if len(self._alike) > _ALIKE:
                self._alike.clear()
            self._reads[key] = self._alike.setdefault(noted, noted)

    def _note(self, key: Key, dependency: Dependency) -> Dependency:
        reading = self._readings.get(dependency)
        if reading is None:
            answer = self._answer(dependency) if len(dependency) >= _QUESTION else None
            if len(dependency) == _OF_ONE:
                self._details.setdefault(_subject(dependency), {})[dependency] = None
            reading = self._readings[dependency] = _Reading(dependency, key, answer)
        else:
            reading.add(key)
        return reading.dependency

    def _forget(self, dependency: Dependency) -> None:
        """Nobody reads it any more."""
        del self._readings[dependency]
        if len(dependency) == _OF_ONE:
            asked = self._details[_subject(dependency)]
            del asked[dependency]
            if not asked:
                del self._details[_subject(dependency)]


def _subject(detail: Dependency) -> Key:
    return cast("Key", detail[:2])


def _winner(claims: _Claims) -> Hashable:
    return claims.value if isinstance(claims, _Claim) else claims[min(claims, key=_name)]


def _name(key: Key) -> RecordName:
    kind, id = key
    return kind.KIND, id


def _touched(change: Changed) -> set[Dependency]:
    kind, id = change.key
    dependencies: set[Dependency] = {(kind, id), (kind,)}
    for record in (change.old, change.new):
        if record is not None:
            dependencies.update((kind, field, value) for field, value in index_entries(record))
    return dependencies
