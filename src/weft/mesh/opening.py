"""A host's own records, opened: what it held when it ended, and the store over that."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from weft.mesh.exchange import Exchange
from weft.mesh.replica import Replica
from weft.mesh.store import MeshStore
from weft.mesh.transport import Transport
from weft.model.ids import HostId, RandomBytes
from weft.store.beginning import Places, begin
from weft.store.health import Health
from weft.store.sqlite_journal import SqliteJournal


class Opened(NamedTuple):
    """What a member of the mesh is made of."""

    host_id: HostId
    replica: Replica
    store: MeshStore
    journal: SqliteJournal
    is_put_back: bool = False
    """The records may be older than what this host wrote last (`continuity.is_put_back`)."""

    def health(self) -> Health:
        """As it is now."""
        return Health(
            self.journal.set_aside,
            self.store.unsaved,
            tuple(self.store.quarantined.values()),
            dict(self.replica.skew_s),
            self.replica.has_twin,
        )

    async def close(self) -> None:
        """Give back what is held open."""
        await self.store.close()

    @property
    def set_aside(self) -> Path | None:
        """Where an unreadable database was moved at this start."""
        return self.journal.set_aside

    def exchange(self, transport: Transport) -> Exchange:
        """See `cluster.opening.Records`."""
        return Exchange(self.replica, self.store, transport, time.monotonic)

    async def mend(self, kind: str, id: str) -> None:
        """See `MeshStore.mend`."""
        await self.store.mend(kind, id)


async def open_mesh(
    places: Places, wall_s: Callable[[], float], random_bytes: RandomBytes
) -> Opened:
    """Open or begin; blocks the event loop while it reads, for nothing else runs yet."""
    journal = SqliteJournal(places.database, str(int(wall_s())))
    try:
        begun = await begin(places, journal, random_bytes)
        saved = journal.load(begun.is_continued)
        replica = Replica(begun.host_id, wall_s, random_bytes, saved)
        store = MeshStore(replica, journal)
        return Opened(begun.host_id, replica, store, journal, begun.is_put_back)
    except BaseException:
        await journal.close()
        raise
