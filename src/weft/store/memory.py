"""Records in memory, with the indexes that make `View.by` constant in the size of the store.

`RecordSet` is the state that every store keeps for reading; `MemoryStore` is a store that keeps
nothing else (tests, simulations).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar, cast

import structlog

from weft.model.records import Record
from weft.store.asking import Asking
from weft.store.interface import Change, Changed, Delete, Listener, Put, Question

log = structlog.get_logger()
R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

Found = Record | dict[str, Record]
"""What one value of an indexed field leads to: most lead to one record, which needs no dict."""


def index_entries(record: Record) -> Iterator[tuple[str, object]]:
    """The (field, value) pairs under which a record is found."""
    for field in record.INDEXED:
        value = getattr(record, field)
        if type(value) is tuple:
            for item in value:
                yield field, item
        else:
            yield field, value


class RecordSet:
    """Records of all kinds, indexed. Implements `View`."""

    def __init__(self) -> None:
        self._records: dict[type[Record], dict[str, Record]] = {}
        self._index: dict[tuple[object, ...], dict[object, Found]] = {}
        """What values of a kind's field lead to; NamedTuples that begin alike are by themselves."""

    def get(self, kind: type[R], id: str) -> R | None:
        """See `View.get`."""
        records = self._records.get(kind)
        return None if records is None else cast("R | None", records.get(id))

    def list(self, kind: type[R]) -> Iterable[R]:
        """See `View.list`."""
        return cast("Iterable[R]", tuple(self._records.get(kind, {}).values()))

    def by(self, kind: type[R], field: str, value: object) -> Iterable[R]:
        """See `View.by`."""
        if field not in kind.INDEXED:
            raise KeyError(f"{kind.__name__} is not indexed by {field}")
        found = self._index.get(_part(kind, field, value), {}).get(value, {})
        return cast("Iterable[R]", tuple(found.values()) if isinstance(found, dict) else (found,))

    def any(self, kind: type[Record], field: str, value: object) -> bool:
        """See `View.any`."""
        if field not in kind.INDEXED:
            raise KeyError(f"{kind.__name__} is not indexed by {field}")
        return value in self._index.get(_part(kind, field, value), {})

    def beginning(self, kind: type[Record], field: str, first: object) -> Iterable[object]:
        """See `View.beginning`."""
        return tuple(self._index.get((kind, field, first), ()))

    def ask(self, question: Question[K, T], key: K) -> T:
        """See `View.ask`. Nothing is remembered from one call to the next."""
        return Asking(self).ask(question, key)

    def apply(self, changes: Iterable[Change]) -> Sequence[Changed]:
        """Make the changes; returns those that changed something, in order."""
        done = []
        for change in changes:
            changed = self._put(change.record) if isinstance(change, Put) else self._delete(change)
            if changed.old != changed.new:
                done.append(changed)
        return done

    def _put(self, record: Record) -> Changed:
        records = self._records.setdefault(type(record), {})
        old = records.get(record.id)
        if old is not None:
            self._unindex(old)
        records[record.id] = record
        for field, value in index_entries(record):
            _add(self._index.setdefault(_part(type(record), field, value), {}), value, record)
        return Changed(old, record)

    def _delete(self, change: Delete) -> Changed:
        old = self._records.get(change.kind, {}).pop(change.id, None)
        if old is not None:
            self._unindex(old)
        return Changed(old, None)

    def _unindex(self, record: Record) -> None:
        for field, value in index_entries(record):
            at = _part(type(record), field, value)
            part = self._index.get(at, {})
            _remove(part, value, record)
            if not part:
                self._index.pop(at, None)


def _part(kind: type[Record], field: str, value: object) -> tuple[object, ...]:
    """The part of the index that a value is in."""
    return (kind, field, value[0]) if isinstance(value, tuple) else (kind, field)


def _add(index: dict[object, Found], value: object, record: Record) -> None:
    found = index.get(value)
    if found is None:
        index[value] = record
    elif isinstance(found, dict):
        found[record.id] = record
    elif found.id != record.id:
        index[value] = {found.id: found, record.id: record}


def _remove(index: dict[object, Found], value: object, record: Record) -> None:
    """Nothing happens where a record has one value twice and the first has removed it."""
    found = index.get(value)
    if isinstance(found, dict):
        found.pop(record.id, None)
    if found == {} or (isinstance(found, Record) and found.id == record.id):
        del index[value]


class Watchers:
    """Who wants to hear of changes."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Returns the function that takes the listener away; calling it twice does no harm."""
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return remove

    def notify(self, changed: Sequence[Changed]) -> None:
        """Call all listeners, in the order in which they came. One that fails is logged: whoever
        writes, or merges what others wrote, has no part in it, nor have those that come after."""
        if changed:
            for listener in tuple(self._listeners):
                try:
                    listener(changed)
                except Exception:
                    log.exception("fault in weftd: a listener failed", listener=repr(listener))


class MemoryStore(RecordSet):
    """A store that forgets everything when the process ends."""

    largest_write: int | None = None

    def __init__(self, records: Iterable[Record] = ()) -> None:
        super().__init__()
        self._watchers = Watchers()
        self.apply(Put(record) for record in records)

    async def write(self, changes: Iterable[Change]) -> None:
        """See `Store.write`."""
        self._watchers.notify(self.apply(changes))

    def watch(self, listener: Listener) -> Callable[[], None]:
        """See `Store.watch`."""
        return self._watchers.add(listener)

    async def close(self) -> None:
        """Nothing is held open."""
