"""The record store's interface: reads are immediate and local, writes are atomic and may wait.

Everything above (control, engines, DNS, frontends) knows only this. Whether the records live on
one host, are replicated through the mesh or kept in etcd cannot be told from here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from weft.model.records import Record

R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
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

        Constant in how many there are. A reader that depends on this alone is computed anew only
        when the first record comes or the last one goes.
        """
        ...

    def beginning(self, kind: type[Record], field: str, first: object) -> Iterable[object]:
        """The values of a NamedTuple `field` that some record has and that begin with `first`.

        Constant in how many records have each. A reader that depends on this alone is computed anew
        only when a value comes or goes.
        """
        ...

    def ask(self, question: Question[K, T], key: K) -> T:
        """The answer to a question; not to be changed by whoever asked for it.

        A reader that depends on this alone is computed anew only when the answer is another. Raises
        QuestionError when the question has none.
        """
        ...


class Question(Generic[K, T_co]):
    """A derived fact: what follows from the records about a key.

    Its function is pure: it reads the view and nothing else, and may ask other questions. Two
    answers that are equal are the same to whoever asked.
    """

    def __init__(self, function: Callable[[K, View], T_co]) -> None:
        self.function = function
        self.name = function.__qualname__
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return self.name


def question(function: Callable[[K, View], T]) -> Question[K, T]:
    """Decorates the function of a question."""
    return Question(function)


class QuestionError(Exception):
    """A question has no answer: its function failed, or it came back to itself. Names it."""


class Store(View, Protocol):
    """Where the records live."""

    @property
    def largest_write(self) -> int | None:
        """How many records that hosts share one write may change; None: any number."""
        ...

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
