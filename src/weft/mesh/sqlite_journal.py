"""The journal of a mesh member on disk: SQLite in WAL mode, like `store.sqlite`.

A batch is one transaction in the thread named `store`. It is durable against the death of weftd;
after a power cut the newest batches may be gone, which is what incarnations are for. A file that
SQLite cannot read is renamed, and the records come back from the peers.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from weft.errors import InvalidError, UnavailableError
from weft.mesh.entry import Entry, Origin
from weft.mesh.ledger import Batch, Saved
from weft.mesh.ownership import OWNED_KINDS
from weft.mesh.replica import Draft
from weft.store.clock import Version

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    kind TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, clock INTEGER NOT NULL,
    host TEXT NOT NULL, incarnation INTEGER NOT NULL, sequence INTEGER NOT NULL, body BLOB,
    PRIMARY KEY (kind, id, owner)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
    host TEXT NOT NULL, incarnation INTEGER NOT NULL, mark INTEGER NOT NULL,
    purged INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (host, incarnation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mesh_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_PUT = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM entries WHERE kind = ? AND id = ? AND owner = ?"
_MARK = (
    "INSERT INTO marks (host, incarnation, mark) VALUES (?, ?, ?) "
    "ON CONFLICT (host, incarnation) DO UPDATE SET mark = excluded.mark"
)
_PURGED = "UPDATE marks SET purged = ? WHERE host = ? AND incarnation = ?"
_FORGET = "DELETE FROM marks WHERE host = ? AND incarnation = ?"
_NO_INCARNATION = "DELETE FROM mesh_facts WHERE name = 'incarnation'"
_INCARNATION = "INSERT OR REPLACE INTO mesh_facts VALUES ('incarnation', ?)"


class SqliteJournal:
    """Implements `Journal` over a file."""

    def __init__(self, path: Path, set_aside_suffix: str) -> None:
        """Opens the file; InvalidError when its directory cannot be used.

        set_aside_suffix: for the name of an unreadable file, such as the time.
        """
        self.path = path
        self.set_aside: Path | None = None
        """Where an unreadable file was moved."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._database = self._thread.submit(self._open, set_aside_suffix).result()

    def load(self, is_continued: bool) -> Saved:
        """See `Journal.load`; blocks."""
        return self._thread.submit(self._load, is_continued).result()

    async def append(self, batch: Batch) -> None:
        """See `Journal.append`."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._append, batch)
        except sqlite3.Error as error:
            raise UnavailableError(f"database {self.path}: {error}; nothing was changed") from error

    async def close(self) -> None:
        """See `Journal.close`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown()

    def _open(self, suffix: str) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise InvalidError(
                f"state directory {self.path.parent}: {error.strerror}; "
                "choose another with --state-dir"
            ) from error
        try:
            return self._connect()
        except sqlite3.DatabaseError:
            self.set_aside = self.path.with_suffix(f".broken-{suffix}")
            self.path.rename(self.set_aside)
            for leftover in ("-wal", "-shm"):
                Path(f"{self.path}{leftover}").unlink(missing_ok=True)
            self.path.touch(mode=0o600)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=5)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA cache_size = -512")
            result = database.execute("PRAGMA quick_check").fetchone()
            if result[0] != "ok":
                raise sqlite3.DatabaseError(result[0])
            database.executescript(SCHEMA)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _load(self, is_continued: bool) -> Saved:
        if not is_continued:
            with self._database:
                self._database.execute(_NO_INCARNATION)
        entries = [_entry(*row) for row in self._database.execute("SELECT * FROM entries")]
        marks, purged = {}, {}
        for host, incarnation, mark, gone in self._database.execute("SELECT * FROM marks"):
            origin = Origin(host, incarnation)
            marks[origin] = mark
            if gone:
                purged[origin] = gone
        query = "SELECT value FROM mesh_facts WHERE name = 'incarnation'"
        row = self._database.execute(query).fetchone()
        known = None if row is None else int(row[0])
        return Saved(entries, marks, purged, known)

    def _append(self, batch: Batch) -> None:
        with self._database as database:
            database.executemany(_PUT, map(_row, batch.puts))
            database.executemany(_REMOVE, batch.removes)
            gone = [origin for origin, mark in batch.marks.items() if not mark]
            database.executemany(_FORGET, gone)
            marks = [(*origin, mark) for origin, mark in batch.marks.items() if mark]
            database.executemany(_MARK, marks)
            database.executemany(_PURGED, [(mark, *o) for o, mark in batch.purged.items()])
            if batch.incarnation is None:
                database.execute(_NO_INCARNATION)
            else:
                database.execute(_INCARNATION, (str(batch.incarnation),))


def _row(entry: Entry) -> tuple[object, ...]:
    return (*entry.key, entry.version.clock, *entry.origin, entry.sequence, entry.body)


def _entry(
    kind: str,
    id: str,
    owner: str,
    clock: int,
    host: str,
    incarnation: int,
    sequence: int,
    body: bytes | None,
) -> Entry:
    origin = Origin(host, incarnation)
    return Entry(kind, id, Version(clock, host), origin, sequence, body, bool(owner))


def drafts_of(rows: Iterable[tuple[str, str, bytes]]) -> list[Draft]:
    """The records of a host that was alone until now (kind, id, body), as its writes in the mesh.

    Kinds that this weft does not know are taken as shared.
    """
    return [Draft(kind, id, body, kind in OWNED_KINDS) for kind, id, body in rows]


def records_in(path: Path) -> list[tuple[str, str, bytes]]:
    """What a host's own database (`store.sqlite`) holds; blocks. UnavailableError: unreadable."""
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        try:
            return list(database.execute("SELECT kind, id, body FROM records"))
        finally:
            database.close()
    except sqlite3.Error as error:
        raise UnavailableError(f"database {path}: {error}") from error
