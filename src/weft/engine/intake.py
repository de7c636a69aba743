"""From changes of the store to rows: what was written waits here until the engine compiles it.

A write of the store, or a merge of what other hosts wrote, only puts its changes at the end. They
are compiled in the order in which they came, for a compiler builds on what it has said before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from weft.engine.compiler import Compiler
from weft.engine.rows import RowChanges
from weft.store.interface import Changed

MOST_AT_ONCE = 256
"""Changes that are compiled before their rows are applied and others get their turn on the event
loop. Of another host's ten thousand ports, a commit then waits for these few at the most."""


class Intake:
    """Writes in order. The queue is as long as what is written while the kernel is at work; of each
    change it keeps two records, one of which the store has as well."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._queue: deque[Sequence[Changed]] = deque()
        self.written = 0
        """Writes that the store has told of."""

    @property
    def is_waiting(self) -> bool:
        """Whether something is to be compiled."""
        return bool(self._queue)

    @property
    def compiled(self) -> int:
        """How many of the writes are through."""
        return self.written - len(self._queue)

    def hear(self, changed: Sequence[Changed]) -> None:
        """The store's listener."""
        self._queue.append(changed)
        self.written += 1

    def compile(self, needed: int) -> Iterator[tuple[Sequence[Changed], RowChanges]]:
        """Compile a piece of what waits, and go on to the write of number `needed`.

        An error of the compiler goes up and costs that write; the caller must then compile all
        anew.
        """
        count = 0
        while self._queue and (count < MOST_AT_ONCE or self.compiled < needed):
            changed = self._queue.popleft()
            count += len(changed)
            yield changed, self._compiler.update(changed)

    def drop(self) -> None:
        """All records are compiled anew, so no change is of interest."""
        self._queue.clear()
