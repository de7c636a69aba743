"""What can be read of the records, as values: by these it is known who must be computed anew.

One class a method of `store.interface.View`. Those of sets (`FoundBy`, `Beginning`, `Asked`) can be
followed element by element, see `rows.Each`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import msgspec

from weft.model.records import Record
from weft.store.interface import Changed, Question, View
from weft.store.memory import index_entries


class Got(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """`View.get`."""

    kind: type[Record]
    id: str


class Listed(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """`View.list`."""

    kind: type[Record]


class Exists(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """`View.any`."""

    kind: type[Record]
    field: str
    value: object


class FoundBy(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """`View.by`. As a set: the ids of the records that are found."""

    kind: type[Record]
    field: str
    value: object

    def elements(self, view: View) -> Iterable[Hashable]:
        """All of the set."""
        return [record.id for record in view.by(self.kind, self.field, self.value)]

    def has(self, element: Hashable, view: View) -> bool:
        """Whether it is in the set. Constant."""
        record = view.get(self.kind, str(element))
        return record is not None and (self.field, self.value) in index_entries(record)


class Beginning(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """`View.beginning`. As a set: the values."""

    kind: type[Record]
    field: str
    first: object

    def elements(self, view: View) -> Iterable[Hashable]:
        """All of the set."""
        return view.beginning(self.kind, self.field, self.first)

    def has(self, element: Hashable, view: View) -> bool:
        """Whether it is in the set. Constant."""
        return view.any(self.kind, self.field, element)


class Asked(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """`View.ask`. As a set: the answer, which then must be one."""

    question: Question[Any, Any]
    key: Hashable

    def elements(self, view: View) -> Iterable[Hashable]:
        """All of the set. TypeError: the answer is none."""
        answer = view.ask(self.question, self.key)
        if not isinstance(answer, frozenset):
            raise TypeError(f"{self.question}: the answer is no frozenset, and has no elements")
        return answer

    def has(self, element: Hashable, view: View) -> bool:
        """Whether it is in the set. Constant."""
        return element in self.elements(view)


Read = Got | Listed | FoundBy | Exists | Beginning | Asked
SetRead = FoundBy | Beginning | Asked


def touched(changed: Iterable[Changed]) -> dict[Read, set[Hashable]]:
    """Whatever of the records may read otherwise after these changes; of a set, the elements that
    may have come or gone."""
    found: dict[Read, set[Hashable]] = {}
    for change in changed:
        kind, id = change.key
        found[Got(kind, id)] = found[Listed(kind)] = set()
        for record in (change.old, change.new):
            for field, value in index_entries(record) if record is not None else ():
                found.setdefault(FoundBy(kind, field, value), set()).add(id)
                found[Exists(kind, field, value)] = set()
                if isinstance(value, tuple):
                    values = found.setdefault(Beginning(kind, field, value[0]), set())
                    values.add(value)
    return found
