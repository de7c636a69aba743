"""Deltas: what one host gives to another that has seen less.

A delta is taken at one moment over all origins, and its marks are raised all or none, when all of
its entries are there. So a host's state always contains the causes of what it contains: a host that
has seen a deletion has seen the write that the deleting host saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from weft.store.entry import Entry, Origin

Scope = Literal["increment", "full", "repair"]
"""increment: what the receiver has not seen.
full: all that the sender holds, for a receiver that has missed tombstones which are gone. The
receiver drops what the sender has seen and holds no more.
repair: all that the sender holds, for a receiver that has seen the same and yet holds something
else. Of two entries the greater stays, and nothing is dropped."""


class Span(NamedTuple):
    """Writes of one origin: those after `base`, up to `mark`."""

    base: int
    mark: int


class Delta(NamedTuple):
    """Entries, and what the receiver has seen once it has them all."""

    scope: Scope
    entries: Sequence[Entry]
    spans: Mapping[Origin, Span]
    purged: Mapping[Origin, int]
    """full: of each origin the latest tombstone that the sender has let go."""


class Difference(NamedTuple):
    """What a merge or a write did to one key. `old` None: not held before. `new` None: dropped."""

    old: Entry | None
    new: Entry | None
