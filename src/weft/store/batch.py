"""What a journal is given to keep, and what it gives back when a host starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from weft.store.entry import Entry, Key, Origin


class Saved(NamedTuple):
    """What a journal gives back."""

    entries: Sequence[Entry] = ()
    marks: Mapping[Origin, int] = {}
    purged: Mapping[Origin, int] = {}
    incarnation: int | None = None
    """The one to go on with: only if nothing that was written under it can be missing here."""
    since: int | None = None
    """The first of those that led to it with nothing lost in between; None: it has no parent."""


class Batch(NamedTuple):
    """What changed since the last one, to be kept in one transaction."""

    puts: Sequence[Entry] = ()
    removes: Sequence[Key] = ()
    marks: Mapping[Origin, int] = {}
    """0: the origin is to be forgotten, its purged mark too."""
    purged: Mapping[Origin, int] = {}
    incarnation: int | None = None
    since: int | None = None
    """See `Saved.since`."""

    def __bool__(self) -> bool:
        return bool(self.puts or self.removes or self.marks or self.purged)
