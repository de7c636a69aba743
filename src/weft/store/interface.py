"""The record store's interface: reads are immediate and local, writes are atomic and may wait.

Everything above (control, engines, DNS, frontends) knows only this. Whether the records live on
one host, are replicated through the mesh or kept in etcd cannot be told from here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from weft.model.records import Record

R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Key = tuple[type[Record], str]
"""Kind and id."""


class Put(NamedTuple):
    """Write a record, new or in place of the one with its id."""

    record: Record


class Delete(NamedTuple):
    """Remove a record; nothing happens if it is not there."""

    kind: type[Record]
    id: str


Change = Put | Delete


class Changed(NamedTuple):
    """What a write did to one record. `old` None: created. `new` None: deleted."""

    old: Record | None
    new: Record | None

    @property
    def key(self) -> Key:
        """Kind and id of the record."""
        record = self.new or self.old
        assert record is not None
        return type(record), record.id


Listener = Callable[[Sequence[Changed]], None]


class View(Protocol):
    """Read-only access to the records of one moment."""

    def get(self, kind: type[R], id: str) -> R | None:
        """The record with this id."""
        ...

    def detail(self, kind: type[R], id: str, of: Callable[[R | None, K], T], what: K) -> T:
        """What `of` says about `what` in the record with this id; None: there is none. Pure.

        Whoever depends on this alone is computed anew only when the answer is another.
        """
        ...

    def list(self, kind: type[R]) -> Iterable[R]:
        """All records of a kind, in no particular order."""
        ...

    def by(self, kind: type[R], field: str, value: object) -> Iterable[R]:
        """Records whose `field` is (or, for a tuple, contains) `value`.

        Constant in the size of the store for the fields in `Record.INDEXED`; KeyError for any
        other.
        """
        ...

    def any(self, kind: type[Record], field: str, value: object) -> bool:
        """Whether `by` would find a record.

        Constant in how many there are, and whoever depends on this alone is computed anew only
        when the first comes or the last goes.
        """
        ...

    def beginning(self, kind: type[Record], field: str, first: object) -> Iterable[object]:
        """The values of a NamedTuple `field` that some record has and that begin with `first`.

        Constant in how many records have each, and whoever depends on this is computed anew only
        when a value comes or goes.
        """
        ...


class Store(View, Protocol):
    """Where the records live."""

    async def write(self, changes: Iterable[Change]) -> None:
        """Apply all changes or none.

        When it returns, they are durable against the death of this process, and every listener
        has been called. Raises UnavailableError when the store cannot take writes now.
        """
        ...

    def watch(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each write, in order, on the event loop; it must not block.

        Returns the function that ends the watch.
        """
        ...

    async def close(self) -> None:
        """Give back what the store holds open."""
        ...
