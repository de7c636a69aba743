"""Digests: for each origin, the highest sequence number seen.

A host whose digest says (origin, 7) has taken in the writes 1 to 7 of that origin: each is held, or
was superseded by something held, or by a tombstone that has had its time. Two digests tell what
one host can give to the other, whatever the number of records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b

from weft.store.entry import Origin


def _fingerprint(origin: Origin, mark: int) -> int:
    text = f"{origin.incarnation} {mark} {origin.host}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


class Digest:
    """Marks by origin; what is not there is 0.

    The hash is kept from when it is first asked for: nobody asks for that of a peer's digest.
    """

    def __init__(self, marks: Mapping[Origin, int] | None = None) -> None:
        self._marks = dict(marks or {})
        if 0 in self._marks.values():
            self._marks = {origin: mark for origin, mark in self._marks.items() if mark}
        self._hash: int | None = None

    def __getitem__(self, origin: Origin) -> int:
        return self._marks.get(origin, 0)

    def __iter__(self) -> Iterator[Origin]:
        return iter(self._marks)

    def __len__(self) -> int:
        return len(self._marks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self._marks == other._marks

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Digest({self._marks})"

    @property
    def hash(self) -> int:
        """64 bits that are equal for equal digests. Free but for the first time."""
        if self._hash is None:
            self._hash = 0
            for origin, mark in self._marks.items():
                self._hash ^= _fingerprint(origin, mark)
        return self._hash

    @property
    def marks(self) -> Mapping[Origin, int]:
        """All marks, to read."""
        return self._marks

    def copy(self) -> Digest:
        """A digest that changes on its own."""
        other = Digest()
        other._marks = dict(self._marks)
        other._hash = self._hash
        return other

    def put(self, origin: Origin, mark: int) -> None:
        """Put a mark in place of the present one; 0 takes the present one away."""
        old = self._marks.pop(origin, 0)
        if mark:
            self._marks[origin] = mark
        if self._hash is not None:
            self._hash ^= _fingerprint(origin, old) if old else 0
            self._hash ^= _fingerprint(origin, mark) if mark else 0

    def raise_to(self, origin: Origin, mark: int) -> bool:
        """Whether the mark was lower and now is not."""
        if self._marks.get(origin, 0) >= mark:
            return False
        self.put(origin, mark)
        return True

    def merge(self, marks: Mapping[Origin, int]) -> None:
        """Raise to whatever is higher in `marks`."""
        for origin, mark in marks.items():
            self.raise_to(origin, mark)

    def ahead_of(self, other: Digest, among: Iterable[Origin] | None = None) -> set[Origin]:
        """The origins of which this digest has seen more than the other; linear in the origins
        looked at."""
        mine, theirs = self._marks, other._marks
        if mine == theirs:
            return set()
        origins = mine if among is None else among
        return {origin for origin in origins if mine.get(origin, 0) > theirs.get(origin, 0)}

    def covers(self, other: Digest) -> bool:
        """Whether this one has seen all that the other has."""
        return not other.ahead_of(self)
