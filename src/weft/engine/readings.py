"""Who has read what of the records.

A large cluster has a hundred thousand ports, and each of them reads a few things, so what is kept
for each is kept small: what many read is there once, and so is the list of what many read alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import cast

import msgspec

from weft.engine.reads import Asked, Read, SetRead
from weft.store.interface import Key

_ALIKE = 4096


class Part(msgspec.Struct, frozen=True, gc=False):
    """What a record wants for one element of a set."""

    owner: Key
    of: SetRead
    element: Hashable


class Follower(msgspec.Struct, frozen=True, gc=False):
    """A record that wants something for each element of a set."""

    owner: Key
    of: SetRead


Reader = Key | Part | Follower | Asked


_Some = Reader | dict[Reader, None] | None
"""None, one, or several: of most things there is one reader. Of a thousand, a dict takes half of
what a set does."""


class _Reading(msgspec.Struct, gc=False):
    """Something that somebody has read."""

    read: Read
    """Once for all who have read it."""
    callers: _Some = None
    questions: _Some = None
    """Apart from all else, for these are looked at more often, and mostly few."""

    def remove(self, reader: Reader) -> None:
        """It reads it no more."""
        if isinstance(reader, Asked):
            self.questions = _without(self.questions, reader)
        else:
            self.callers = _without(self.callers, reader)

    @property
    def is_read(self) -> bool:
        """Whether anybody still reads it."""
        return self.callers is not None or self.questions is not None


def _with(some: _Some, reader: Reader) -> _Some:
    if isinstance(some, dict):
        some[reader] = None
        return some
    return reader if some is None or some == reader else {some: None, reader: None}


def _without(some: _Some, reader: Reader) -> _Some:
    if isinstance(some, dict):
        some.pop(reader, None)
        return some or None
    return None if some == reader else some


def _all(some: _Some) -> Iterable[Reader]:
    if some is None:
        return ()
    return some if isinstance(some, dict) else (some,)


class Readings:
    """By reader and by what is read."""

    def __init__(self, begun: Callable[[Read], None], ended: Callable[[Read], None]) -> None:
        """`begun` is called with what has got its first reader, `ended` with what has lost its last
        one."""
        self._begun = begun
        self._ended = ended
        self._readings: dict[Read, _Reading] = {}
        self._reads: dict[Reader, tuple[Read, ...]] = {}
        self._alike: dict[tuple[Read, ...], tuple[Read, ...]] = {}
        """Of what many read alike, as a network's ports do, one for all; some are missing."""

    def __contains__(self, read: Read) -> bool:
        """Whether anybody reads it."""
        return read in self._readings

    def of(self, reader: Reader) -> Collection[Read]:
        """What a reader has read, in the order in which it did."""
        return self._reads.get(reader, ())

    def callers(self, read: Read) -> Iterable[Reader]:
        """Who has read this, but for questions."""
        reading = self._readings.get(read)
        return _all(reading.callers) if reading is not None else ()

    def questions(self, read: Read) -> Iterable[Asked]:
        """The questions that have read this."""
        reading = self._readings.get(read)
        return cast("Iterable[Asked]", _all(reading.questions)) if reading is not None else ()

    def note(self, reader: Reader, reads: Mapping[Read, None]) -> None:
        """This is what a reader has read now, in this order; nothing: forget it."""
        for read in self._reads.pop(reader, ()):
            if read not in reads:
                self._remove(reader, read)
        if reads:
            known = tuple([self._add(reader, read) for read in reads])
            if len(self._alike) > _ALIKE:
                self._alike.clear()
            self._reads[reader] = self._alike.setdefault(known, known)

    def _add(self, reader: Reader, read: Read) -> Read:
        reading = self._readings.get(read)
        if reading is None:
            reading = self._readings[read] = _Reading(read)
            self._begun(read)
        if isinstance(reader, Asked):
            reading.questions = _with(reading.questions, reader)
        else:
            reading.callers = _with(reading.callers, reader)
        return reading.read

    def _remove(self, reader: Reader, read: Read) -> None:
        reading = self._readings[read]
        reading.remove(reader)
        if not reading.is_read:
            del self._readings[read]
            self._ended(read)
