"""The store of a mesh member: records of all hosts, read from memory, replicated.

Implements `store.interface.Store`. Writes of this host are in the journal before they count; what
peers send counts at once and is journaled soon after, for they have it. An entry that cannot be
used as a record is set aside (`shown.py`), and passed on to other hosts all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from weft.errors import NotFoundError, UnavailableError
from weft.mesh.delta import Difference
from weft.mesh.replica import Replica
from weft.store.draft import Draft
from weft.store.entry import Entry, Key
from weft.store.interface import Change, Changed, Listener
from weft.store.journal import Journal
from weft.store.memory import RecordSet, Watchers
from weft.store.shown import Quarantined, Shown, belongs_to


class MeshStore(RecordSet):
    """The records of all hosts, as this host sees them."""

    largest_write: int | None = None

    def __init__(self, replica: Replica, journal: Journal) -> None:
        """Shows what the replica holds. The links must tell `merged` of what peers change."""
        super().__init__()
        self.unsaved: str | None = None
        """Why what peers sent is not in the journal; None: it is, or soon will be."""
        self._replica = replica
        self._journal = journal
        self._watchers = Watchers()
        self._shown = Shown(replica, self)
        self._order = asyncio.Lock()
        self._running: set[asyncio.Future[None]] = set()
        self._written: list[Callable[[], None]] = []
        self.apply(self._show(Difference(None, entry) for entry in replica.entries()))

    @property
    def quarantined(self) -> Mapping[Key, Quarantined]:
        """Entries that cannot be used."""
        return self._shown.quarantined

    def on_write(self, action: Callable[[], None]) -> None:
        """Call `action` after each write of this host, for the links to pass it on."""
        self._written.append(action)

    async def write(self, changes: Iterable[Change]) -> None:
        """See `Store.write`. ConflictError: a record is another host's.

        A caller that is cancelled leaves its write to finish whole.
        """
        task = asyncio.ensure_future(self._write(list(changes)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def mend(self, kind: str, id: str) -> None:
        """Remove an entry that cannot be used. NotFoundError: all that is held under this kind and
        id can be; ConflictError: it is another host's to remove.
        """
        keys = [key for key in self.quarantined if (key.kind, key.id) == (kind, id)]
        if not keys:
            raise NotFoundError(f"record {kind} {id}: is not among those that cannot be used")
        own = [key for key in keys if key.owner in ("", self._replica.host)]
        if not own:
            raise belongs_to(kind, id, keys[0].owner)
        async with self._order:
            drafts = [Draft(key.kind, key.id, None, bool(key.owner)) for key in own]
            changed = await self._commit(drafts)
        self._tell(changed)

    def watch(self, listener: Listener) -> Callable[[], None]:
        """See `Store.watch`; merges are told too."""
        return self._watchers.add(listener)

    def merged(self, differences: Sequence[Difference]) -> None:
        """Show what peers changed."""
        self._watchers.notify(self.apply(self._show(differences)))

    async def save(self) -> None:
        """Journal what peers changed. Called from time to time; a full disk is tried again."""
        async with self._order:
            batch = self._replica.drain()
            if not batch:
                return
            try:
                await self._journal.append(batch)
                self.unsaved = None
            except UnavailableError as error:
                self._replica.undrain(batch)
                self.unsaved = str(error)

    async def close(self) -> None:
        """Wait for running writes, save, and close the journal."""
        if self._running:
            await asyncio.wait(self._running)
        await self.save()
        await self._journal.close()

    async def _write(self, changes: list[Change]) -> None:
        async with self._order:
            changed = await self._commit(self._shown.drafts(changes))
        self._tell(changed)

    def _tell(self, changed: Sequence[Changed]) -> None:
        self._watchers.notify(changed)
        for action in self._written:
            action()

    async def _commit(self, drafts: Sequence[Draft]) -> Sequence[Changed]:
        """Durable when it returns. Holders of `_order` only."""
        entries = self._replica.compose(drafts)
        if not entries:
            return ()
        batch = self._replica.drain_with(entries)
        try:
            await self._journal.append(batch)
        except UnavailableError:
            self._replica.undrain(batch)
            raise
        self.unsaved = None
        return self.apply(self._show(self._replica.commit(entries, is_saved=True)))

    def _show(self, differences: Iterable[Difference]) -> Iterator[Change]:
        """What the differences mean for the records; see `Shown.changes`."""
        return self._shown.changes(_key_of(difference) for difference in differences)


def _key_of(difference: Difference) -> Key:
    entry: Entry | None = difference.new or difference.old
    assert entry is not None
    return entry.key
