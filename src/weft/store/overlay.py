"""Writes that are not made yet: a store over the records, which keeps what is written to itself.

What several intents would do together can so be tried, and then be written at once. Nothing that is
written here is durable or seen by anybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from weft.model.records import Record
from weft.store.asking import Asking
from weft.store.interface import Change, Delete, Key, Listener, Put, Question, View
from weft.store.memory import RecordSet
from weft.store.ownership import owner_of

R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Overlay:
    """The records as they would be. Implements `Store`."""

    largest_write: int | None = None

    def __init__(self, base: View) -> None:
        """What other hosts change in the base meanwhile is seen, and is overwritten where it was
        written here as well, as by any other intent."""
        self._base = base
        self._over = RecordSet()
        self._written: dict[Key, int] = {}
        """What was written, and by which write first."""
        self._writes = 0

    def get(self, kind: type[R], id: str) -> R | None:
        """See `View.get`."""
        if (kind, id) in self._written:
            return self._over.get(kind, id)
        return self._base.get(kind, id)

    def list(self, kind: type[R]) -> Iterable[R]:
        """See `View.list`."""
        return (*self._untouched(self._base.list(kind)), *self._over.list(kind))

    def by(self, kind: type[R], field: str, value: object) -> Iterable[R]:
        """See `View.by`."""
        beneath = self._untouched(self._base.by(kind, field, value))
        return (*beneath, *self._over.by(kind, field, value))

    def any(self, kind: type[Record], field: str, value: object) -> bool:
        """See `View.any`; linear in how many there are."""
        return bool(tuple(self.by(kind, field, value)))

    def beginning(self, kind: type[Record], field: str, first: object) -> Iterable[object]:
        """See `View.beginning`; linear in how many there are."""
        found = (
            *self._base.beginning(kind, field, first),
            *self._over.beginning(kind, field, first),
        )
        return tuple(value for value in dict.fromkeys(found) if self.any(kind, field, value))

    def ask(self, question: Question[K, T], key: K) -> T:
        """See `View.ask`."""
        return Asking(self).ask(question, key)

    async def write(self, changes: Iterable[Change]) -> None:
        """Keep the changes."""
        self._writes += 1
        for change in changes:
            self._over.apply([change])
            self._written.setdefault(_key(change), self._writes)

    def watch(self, listener: Listener) -> Callable[[], None]:
        """Nobody hears of anything."""
        return lambda: None

    async def close(self) -> None:
        """Nothing is held open."""

    def batches(self, most: int | None) -> Sequence[Sequence[Change]]:
        """All that has changed, to be written in as many steps as it takes.

        most: of the records that hosts share, in one step; None: any number. What one write said is
        in one step, even where that is more.
        """
        by_write: dict[int, list[Change]] = {}
        for key, number in self._written.items():
            if (change := self._change(key)) is not None:
                by_write.setdefault(number, []).append(change)
        batches: list[list[Change]] = []
        room = 0
        for changes in by_write.values():
            shared = sum(self._is_shared(change) for change in changes)
            if batches and (most is None or shared <= room):
                batches[-1] += changes
            else:
                batches.append(list(changes))
                room = most or 0
            room -= shared
        return batches

    def _change(self, key: Key) -> Change | None:
        new, old = self._over.get(*key), self._base.get(*key)
        if new == old:
            return None
        return Put(new) if new is not None else Delete(*key)

    def _is_shared(self, change: Change) -> bool:
        record = change.record if isinstance(change, Put) else self._base.get(*_key(change))
        return record is None or owner_of(record) is None

    def _untouched(self, records: Iterable[R]) -> Iterable[R]:
        return (each for each in records if (type(each), each.id) not in self._written)


def _key(change: Change) -> Key:
    if isinstance(change, Put):
        return type(change.record), change.record.id
    return change.kind, change.id
