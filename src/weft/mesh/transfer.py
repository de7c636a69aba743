"""One delta on its way over one link: cut into parts, a few in flight, the rest after their
acknowledgement.

The entries are those of the moment at which the delta was taken, whatever is written meanwhile, for
its marks speak of that moment.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.mesh.delta import Delta
from weft.mesh.messages import Part
from weft.store.entry import Entry, Key

_OVERHEAD_BYTES = 48
"""Of an entry on the wire, about."""


def size_bytes(entry: Entry) -> int:
    """About how much an entry takes on the wire."""
    body = entry.body or b""
    return len(body) + len(entry.kind) + len(entry.id) + _OVERHEAD_BYTES


def cut(delta: Delta, part_bytes: int) -> list[tuple[int, int]]:
    """Where the entries are cut, (from, to), each piece of at most `part_bytes` or one entry."""
    pieces, start, size = [], 0, 0
    for index, entry in enumerate(delta.entries):
        more = size_bytes(entry)
        if index > start and size + more > part_bytes:
            pieces.append((start, index))
            start, size = index, 0
        size += more
    pieces.append((start, len(delta.entries)))
    return pieces


class Outgoing:
    """The sender's side."""

    def __init__(self, number: int, delta: Delta, part_bytes: int, window: int) -> None:
        self.number = number
        self.delta = delta
        self.retries = 0
        self._pieces = cut(delta, part_bytes)
        self._window = window
        self._acknowledged = 0
        self._sent = 0

    @property
    def is_done(self) -> bool:
        """Whether the receiver has all of it."""
        return self._acknowledged == len(self._pieces)

    def acknowledge(self, next_piece: int) -> bool:
        """Whether that is news."""
        if not self._acknowledged < next_piece <= self._sent:
            return False
        self._acknowledged = next_piece
        self.retries = 0
        return True

    def send_again(self) -> None:
        """From the first part that was not acknowledged."""
        self._sent = self._acknowledged
        self.retries += 1

    def due(self) -> Iterator[Part]:
        """The parts that may be sent now."""
        end = min(self._acknowledged + self._window, len(self._pieces))
        while self._sent < end:
            self._sent += 1
            yield self._part(self._sent - 1)

    def _part(self, number: int) -> Part:
        start, end = self._pieces[number]
        entries = self.delta.entries[start:end]
        if number == len(self._pieces) - 1:
            return Part(self.number, number, True, self.delta._replace(entries=entries))
        return Part(self.number, number, False, Delta(self.delta.scope, entries, {}, {}))


class Incoming:
    """The receiver's side: which part is next, and, of a full set, which keys have come."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.next_piece = 0
        self.keys: set[Key] = set()
        self.is_refused = False

    def accept(self, part: Part) -> bool:
        """Whether it is the next part; notes its keys if they will be asked for."""
        if part.piece != self.next_piece:
            return False
        self.next_piece += 1
        if part.delta.scope == "full":
            self.keys.update(entry.key for entry in part.delta.entries)
        return True
