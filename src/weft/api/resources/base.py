"""How a noun is described.

A description is read by `api.nouns` (routes, and by them OpenAPI), by `cli.nouns` (commands,
completion) and by `api.apply` (``weft apply``, ``weft export``). Light on purpose: the command line
imports it, and knows control, which does what is asked, by its type alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from weft.api.schema.base import Answer
from weft.api.schema.queries import Empty
from weft.control.specs import Spec
from weft.errors import WeftError
from weft.model.records import Record

if TYPE_CHECKING:
    from weft.api.context import Context
    from weft.control.control import Control
    from weft.store.interface import View

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Spec)
C = TypeVar("C", bound=Spec)
A = TypeVar("A", bound=Answer)
Path = Mapping[str, str]
"""What a request says in its path, by parameter."""
Document = dict[str, object]
"""An object of `weft apply`, without its kind: the fields of the noun's spec as JSON has them."""


@dataclass(frozen=True, slots=True)
class Column(Generic[A]):
    """Of the table that ``ls`` prints."""

    name: str
    text: Callable[[A], str]
    is_right: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """A flag of ``create`` and ``set``, where spec or changes have its field. What it takes follows
    from the type of the field."""

    field: str
    """``labels``, or ``quota.ports`` for a field of a field."""
    flag: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb(Generic[A]):
    """One thing that can be done."""

    summary: str
    """A sentence without its full stop: of the route, and of the command's help."""
    more: str = ""
    """What the command's help says beyond that."""
    examples: Sequence[str] = ()
    """Command lines. None: there is no such command, or it is written by hand."""
    errors: tuple[type[WeftError], ...] = ()
    """Those that a caller should expect."""
    query: type[Spec] = Empty
    said: Callable[[A], str] | None = None
    """What the command prints when it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied(Generic[R, S]):
    """How objects of a noun are described in files."""

    identity: Collection[str]
    """Fields that say which one is meant, and so cannot be another way."""
    key: Callable[[S], str]
    """What a document names: ``acme/web``. Two of one key in a file contradict each other."""
    find: Callable[[View, S], R | None]
    """The record that a document means; None: there is none yet."""
    document: Callable[[View, R], Document]
    """A record as the document that makes it so, every field of it."""
    exported: Callable[[View], Iterable[R]]
    """All that ``weft export`` gives, in an order that follows from what they are called."""
    brief: Callable[[Document], Document] = lambda document: document
    """Leaves out of what `document` gives what need not be said."""
    fits: Mapping[str, Callable[[Any, Any], bool]] = field(default_factory=dict)
    """By field, for those where it is not equality: whether what a document wants (first) is so."""
    faults: Callable[[S], Iterable[tuple[str, str]]] = lambda spec: ()
    """Fields in which something is wrong that their types cannot tell, and what."""
    normal: Callable[[S, Document], Document] = lambda spec, given: given
    """What a document without faults says, as `document` would say it."""
    later: Mapping[str, object] = field(default_factory=dict)
    """Fields that name others of the noun, and how each is where nothing is named: they are said
    once all of them are there, and are no more before any of them goes."""
    freed: Mapping[str, object] = field(default_factory=dict)
    """Fields by which objects of the noun hold each other, and how each is where nothing is held:
    those that go hold nothing before any of them goes."""
    remove: Callable[[Control, R], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource(Generic[R, S, C, A]):
    """A noun."""

    noun: str
    plural: str
    """In paths; and the field of `listing` with all of them."""
    help: str
    """Of the group of commands."""
    command: str = ""
    """The word of the command line, where it is another one than the noun."""
    record: type[R]
    spec: type[S]
    changes: type[C]
    info: type[A]
    detail: type[Answer]
    """What ``inspect`` answers: `info`, or more."""
    listing: type[Answer]
    parameters: tuple[str, ...]
    """Of the path of one of them."""

    answer: Callable[[Context, R], A]
    inspect: Callable[[Context, R], Answer] | None
    find: Callable[[Control, Path], R]
    """NotFoundError: there is none."""
    list: Callable[[Context, Any], Answer]
    """Second: the query of `ls`."""
    create: Callable[[Control, S], Awaitable[R]]
    change: Callable[[Control, R, C], Awaitable[R]]
    remove: Callable[[Control, R, Any], Awaitable[object]]
    """Third: the query of `rm`."""

    verbs: Mapping[str, Verb[A]]
    """By the words of the command line: create, ls, inspect, set, rm."""
    columns: Sequence[Column[A]] = ()
    options: Sequence[Option] = ()
    facts: Callable[[Any], Sequence[tuple[str, str]]] | None = None
    """What ``inspect`` shows of `detail`, by name. None: its command is written by hand."""
    called: Callable[[A], tuple[str, str]] | None = None
    """For completion: how one is named, and what is said of it."""
    is_followed: bool = False
    """Other systems follow it, and an answer waits for them, within reason."""
    applied: Applied[R, S]

    def items(self, listing: Answer) -> Sequence[A]:
        """The ones in a list."""
        found: Sequence[A] = getattr(listing, self.plural)
        return found

    def can_change(self) -> Collection[str]:
        """Fields of a document that may differ from what is there."""
        return frozenset(self.changes.__struct_fields__) - {"name"}


AnyResource = Resource[Any, Any, Any, Any]
