"""A host's own records, opened: who it is, what it held when it ended, and the store over that.

The host's id has a file of its own, so that a database that cannot be read costs the host what its
peers give back to it, and not its place among them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from weft.disk import why_not_written
from weft.errors import InvalidError
from weft.mesh import continuity
from weft.mesh.exchange import Exchange
from weft.mesh.replica import Replica
from weft.mesh.shown import Quarantined
from weft.mesh.sqlite_journal import SqliteJournal
from weft.mesh.store import MeshStore
from weft.mesh.transport import Transport
from weft.model.ids import HOST_ID_LENGTH, HostId, RandomBytes, new_host_id

_DIGITS = frozenset("0123456789abcdef")


class Places(NamedTuple):
    """Where a host keeps what."""

    database: Path
    host_id: Path
    start_mark: Path
    """In the run directory, which ends with the boot."""


class StoreHealth(NamedTuple):
    """Where the records are, and how that is."""

    kind: str = "mesh"
    where: str = ""
    """The member of etcd that is asked."""
    trouble: str = ""
    """Why nothing can be written there now; empty: it can."""
    since_s: float = 0.0
    """Wall clock: since when it cannot."""
    waiting: int = 0
    """Writes of this host that are not there yet."""
    members: Sequence[str] = ()
    """Of an etcd that Weft runs: one line each."""
    problems: Sequence[str] = ()
    """What else is wrong."""


class Health(NamedTuple):
    """What is wrong with a host's records."""

    set_aside: Path | None = None
    """Where an unreadable database was moved at this start."""
    unsaved: str | None = None
    """Why what peers sent is not on disk."""
    quarantined: Sequence[Quarantined] = ()
    skew_s: Mapping[str, float] = {}
    """Hosts whose clocks are so far ahead that this host's logical clock does not follow."""
    has_twin: bool = False
    """Somebody else seems to write under this host's identity."""
    store: StoreHealth = StoreHealth()


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


class Begun(NamedTuple):
    """What a host finds out of its journal when it starts."""

    host_id: HostId
    is_put_back: bool
    """See `continuity.is_put_back`."""
    is_continued: bool
    """Nothing that was written into it can be missing."""


async def begin(places: Places, journal: SqliteJournal, random_bytes: RandomBytes) -> Begun:
    """Who this host is, and whether its journal goes on; leaves the mark of this start."""
    is_known = _read_id(places.host_id) is not None
    host_id = await _host_id(places.host_id, journal, random_bytes)
    is_put_back = await continuity.is_put_back(journal, places.start_mark, is_known=is_known)
    is_continued = await continuity.begin(journal, places.start_mark, random_bytes)
    return Begun(host_id, is_put_back, is_continued and not is_put_back)


async def _host_id(path: Path, journal: SqliteJournal, random_bytes: RandomBytes) -> HostId:
    """Chosen at the first start and kept; before it had a file it was a fact in the database."""
    kept = _read_id(path)
    if kept is not None:
        return kept
    chosen = HostId(await journal.read_fact("host_id") or new_host_id(random_bytes))
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w") as file:
            file.write(f"{chosen}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise InvalidError(f"state directory {path.parent}: {why_not_written(error)}") from error
    return chosen


def _read_id(path: Path) -> HostId | None:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"host id {path}: {error}") from error
    if len(text) != HOST_ID_LENGTH or not _DIGITS.issuperset(text):
        raise InvalidError(
            f"host id {path}: {text[:40]!r} is not {HOST_ID_LENGTH} hexadecimal digits; remove the "
            "file and this host takes another id"
        )
    return HostId(text)
