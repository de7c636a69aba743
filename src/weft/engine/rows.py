"""Rows: what an engine wants to be true, as `(table, key, value)`.

A table (`engine.table`) stands for one place where forwarding state lives: a BPF map, the set of
veth pairs, the filters on them, the nftables table. A driver makes its rows true. Keys and values
are symbolic (a device by its name, never by ifindex), hashable and comparable, so that desired and
actual rows can be compared as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from weft.engine.reads import SetRead
from weft.store.interface import View


class Row(NamedTuple):
    """One desired fact."""

    table: str
    key: Hashable
    value: Hashable


class Each(NamedTuple):
    """The rows that are desired for each element of a set, one call of `rows` an element.

    When an element comes or goes, its own rows do, and nothing else is computed anew. Nothing else
    that the same record wants may be for the same set.
    """

    of: SetRead
    rows: Callable[[Any, View], Iterable[Row]]
    """Of an element. Pure."""


class RowKey(NamedTuple):
    """Names a row."""

    table: str
    key: Hashable


class RowChanges(NamedTuple):
    """The difference between two sets of rows."""

    upserts: dict[RowKey, Hashable]
    deletes: set[RowKey]


class RowFailure(NamedTuple):
    """A row that could not be applied, and why, in words for the user."""

    row: RowKey
    reason: str


class Driver(Protocol):
    """The driver of one table. Synchronous: all tables run in the engine's own thread.

    Both methods may be called at any time and any number of times with the same arguments; the
    second call then changes nothing. A driver touches only what Weft made.
    """

    name: str

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """The rows that are there now.

        A row that is there and as desired must compare equal to the desired one; `desired` is
        given for the parts of a value that cannot be read back. Leftovers of Weft's that nobody
        desires are returned too, so that they get deleted.
        """
        ...

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """Make the changes, deletes first. A row that fails does not stop the others."""
        ...
