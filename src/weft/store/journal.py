"""What a replica keeps over restarts.

A journal takes batches, each whole or not at all. After a power cut the newest may be gone; what is
left is then what the host knew some time before, marks and entries of one moment.
"""

from __future__ import annotations

from typing import Protocol

from weft.store.batch import Batch, Saved
from weft.store.entry import Entry, Key, Origin


class Journal(Protocol):
    """Where the entries and marks of one host are kept."""

    def load(self, is_continued: bool) -> Saved:
        """All that was kept.

        is_continued: nothing that was kept can have been lost since (same boot of the machine, same
        file), so the host goes on under the incarnation that it had. Otherwise that incarnation is
        over for good: the journal forgets it at once, lest a later start, with nothing lost since,
        goes on with it.
        """
        ...

    async def append(self, batch: Batch) -> None:
        """Keep a batch in one transaction; UnavailableError: nothing of it was kept."""
        ...

    async def close(self) -> None:
        """Give back what is held open."""
        ...


class MemoryJournal:
    """Keeps batches in memory, and can lose the last of them."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []

    def load(self, is_continued: bool) -> Saved:
        """See `Journal.load`."""
        if not is_continued:
            self._batches.append(Batch())
        entries: dict[Key, Entry] = {}
        marks: dict[Origin, int] = {}
        purged: dict[Origin, int] = {}
        incarnation = since = None
        for batch in self._batches:
            entries.update((entry.key, entry) for entry in batch.puts)
            for key in batch.removes:
                entries.pop(key, None)
            marks.update(batch.marks)
            purged.update(batch.purged)
            incarnation, since = batch.incarnation, batch.since
        marks = {origin: mark for origin, mark in marks.items() if mark}
        return Saved(
            tuple(entries.values()),
            marks,
            {origin: mark for origin, mark in purged.items() if origin in marks},
            incarnation,
            since,
        )

    def keep(self, batch: Batch) -> None:
        """The same as `append`, at once."""
        self._batches.append(batch)

    def lose(self, batches: int) -> set[Key]:
        """As a power cut does; returns the keys that were in them."""
        lost = self._batches[-batches:]
        del self._batches[-batches:]
        return {key for batch in lost for key in (*(e.key for e in batch.puts), *batch.removes)}

    async def append(self, batch: Batch) -> None:
        """See `Journal.append`."""
        self.keep(batch)

    async def close(self) -> None:
        """Nothing is held open."""
