"""Records to rows, recomputing only what a change touches.

An engine brings one pure function a record kind. What each call reads, of records or of questions,
is noted (`questions`); when any of that differs, the call is made again. Which of several records
gets a row that all of them want does not depend on the order of changes (`claims`). So an
incremental result always equals a compile from nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from weft.engine.claims import Claims, RecordName
from weft.engine.questions import Questions
from weft.engine.readings import Follower, Part
from weft.engine.reads import Read, SetRead
from weft.engine.rows import Each, Row, RowChanges, RowKey
from weft.model.records import Record
from weft.store.interface import Changed, Key, QuestionError, View

log = structlog.get_logger()
CompileFunction = Callable[[Any, View], Iterable[Row | Each]]
"""From a record of one kind and the others to the rows that it wants. Pure. A row given twice
counts as it was given first."""


class _Elements(NamedTuple):
    """What a record wants for the elements of a set."""

    rows: CompileFunction
    known: set[Hashable]


_Sets = dict[SetRead, _Elements]


class Compiler:
    """All rows that an engine wants, kept up to date change by change."""

    def __init__(self, functions: Mapping[type[Record], CompileFunction], view: View) -> None:
        self._functions = functions
        self._view = view
        self.compile_all()

    def compile_all(self) -> None:
        """Forget everything and compile all records."""
        self._questions = Questions(self._view)
        self._claims = Claims()
        self._sets: dict[Key, _Sets] = {}
        """Of a record the sets of which it wants rows for each element; most records have none."""
        self._faults: dict[Key | Part, str] = {}
        for kind in self._functions:
            for record in self._view.list(kind):
                self._compile((kind, record.id))
        self._claims.take_changes()

    @property
    def faults(self) -> Mapping[Key, str]:
        """Records for which a compile function failed, so that rows are missing; why."""
        found: dict[Key, str] = {}
        for failed, reason in self._faults.items():
            found.setdefault(failed.owner if isinstance(failed, Part) else failed, reason)
        return found

    def rows(self) -> dict[str, dict[Hashable, Hashable]]:
        """All rows: table -> key -> value. Linear in their number."""
        return self._claims.rows()

    def owners(self, row: RowKey) -> Sequence[RecordName]:
        """(kind, id) of the records that want a row; the first one's value is in force."""
        return self._claims.claimants(row)

    def update(self, changed: Sequence[Changed]) -> RowChanges:
        """Take changes of the view, which already shows them; returns what they do to the rows."""
        stale = self._questions.update(changed)
        records = {change.key for change in changed if change.key[0] in self._functions}
        parts = {reader for reader in stale.readers if isinstance(reader, Part)}
        followers = {
            reader: stale.elements[reader.of]
            for reader in stale.readers
            if isinstance(reader, Follower)
        }
        records.update(reader for reader in stale.readers if isinstance(reader, tuple))
        records.update(reader.owner for reader, each in followers.items() if each is None)
        for follower, elements in followers.items():
            if elements is not None and follower.owner not in records:
                parts |= self._come_and_gone(follower, elements)
        for key in records:
            self._compile(key)
        for part in parts:
            if part.owner not in records:
                self._compile_part(part)
        self._questions.forget_unread()
        return self._claims.take_changes()

    def _come_and_gone(self, follower: Follower, elements: set[Hashable]) -> set[Part]:
        """Of these elements of a set the parts that there are now or no more."""
        owner, of = follower.owner, follower.of
        known, view = self._sets[owner][of].known, self._questions.view({})
        flipped = {each for each in elements if of.has(each, view) != (each in known)}
        known ^= flipped
        return {Part(owner, of, element) for element in flipped}

    def _compile(self, key: Key) -> None:
        """All that a record wants, of which there may be none any more."""
        kind, id = key
        record = self._view.get(kind, id)
        function = self._functions[kind] if record is not None else _no_rows
        former, sets = self._sets.pop(key, {}), self._call(key, function, record)
        if not former and not sets:
            return
        self._sets[key] = sets
        for of in {**former, **sets}:
            known = sets[of].known if of in sets else set()
            self._questions.note(Follower(key, of), {of: None} if of in sets else {})
            for element in known | (former[of].known if of in former else set()):
                self._compile_part(Part(key, of, element))
        if not sets:
            del self._sets[key]

    def _compile_part(self, part: Part) -> None:
        """What a record wants for an element, which may have gone."""
        elements = self._sets.get(part.owner, {}).get(part.of)
        is_there = elements is not None and part.element in elements.known
        self._call(part, elements.rows if elements and is_there else _no_rows, part.element)

    def _call(self, caller: Key | Part, function: CompileFunction, what: object) -> _Sets:
        """Have a function say what is wanted. One that fails costs the caller's rows and no others;
        it is called again when something changes that it has read."""
        reads: dict[Read, None] = {}
        rows: dict[RowKey, Hashable] = {}
        sets: _Sets = {}
        try:
            for item in function(what, self._questions.view(reads)):
                if isinstance(item, Row):
                    rows.setdefault(RowKey(item.table, item.key), item.value)
                elif isinstance(caller, Part) or item.of in sets:
                    raise TypeError(f"{item.of}: a set of a set, or the same set twice")
                else:
                    sets[item.of] = _Elements(item.rows, self._elements(item.of, reads))
            self._faults.pop(caller, None)
        except Exception as error:
            if caller not in self._faults and not isinstance(error, QuestionError):
                kind, id = caller.owner if isinstance(caller, Part) else caller
                log.exception("record not compiled", kind=kind.KIND, id=id)
            self._faults[caller] = f"not compiled: {type(error).__name__}: {error}"
            reads.update(dict.fromkeys(sets))
            rows, sets = {}, {}
        self._questions.note(caller, reads)
        self._claims.replace(caller, rows)
        return sets

    def _elements(self, of: SetRead, reads: dict[Read, None]) -> set[Hashable]:
        """All of a set. Which they are is read by a follower, that there are none by the record."""
        try:
            return set(of.elements(self._questions.view({})))
        except Exception:
            reads[of] = None
            raise


def _no_rows(_: object, view: View) -> Iterable[Row]:
    return ()
