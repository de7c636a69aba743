"""The journal of a mesh member on disk: SQLite in WAL mode.

A batch is one transaction in the thread named `store`. It is durable against the death of weftd;
after a power cut the newest batches may be gone, which is what incarnations are for. A file that
SQLite cannot read is renamed, and the records come back from the peers.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from weft.disk import why_not_written, with_fix
from weft.errors import InvalidError, UnavailableError
from weft.model.records import AddressBlocks, Lease, LeaseVote
from weft.store.batch import Batch, Saved
from weft.store.entry import Entry, Origin

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    kind TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, clock INTEGER NOT NULL,
    host TEXT NOT NULL, incarnation INTEGER NOT NULL, sequence INTEGER NOT NULL, body BLOB,
    PRIMARY KEY (kind, id, owner)
);
CREATE TABLE IF NOT EXISTS marks (
    host TEXT NOT NULL, incarnation INTEGER NOT NULL, mark INTEGER NOT NULL,
    purged INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (host, incarnation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mesh_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_PUT_FACT = "INSERT OR REPLACE INTO facts VALUES (?, ?)"
_PUT = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM entries WHERE kind = ? AND id = ? AND owner = ?"
_MARK = (
    "INSERT INTO marks (host, incarnation, mark) VALUES (?, ?, ?) "
    "ON CONFLICT (host, incarnation) DO UPDATE SET mark = excluded.mark"
)
_PURGED = "UPDATE marks SET purged = ? WHERE host = ? AND incarnation = ?"
_FORGET = "DELETE FROM marks WHERE host = ? AND incarnation = ?"
_NO_INCARNATION = "DELETE FROM mesh_facts WHERE name IN ('incarnation', 'since')"
_INCARNATION = "INSERT OR REPLACE INTO mesh_facts VALUES (?, ?)"

BINDING_KINDS = frozenset({AddressBlocks.KIND, Lease.KIND, LeaseVote.KIND})
"""What a host gave away or promised: it must not be forgotten by whoever said it."""


class SqliteJournal:
    """Implements `Journal` over a file."""

    def __init__(self, path: Path, set_aside_suffix: str) -> None:
        """Opens the file; InvalidError when its directory cannot be used, UnavailableError when
        the file cannot be read now.

        set_aside_suffix: for the name of an unreadable file, such as the time.
        """
        self.path = path
        self.set_aside: Path | None = None
        """Where an unreadable file was moved."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._database = self._thread.submit(self._open, set_aside_suffix).result()

    def load(self, is_continued: bool) -> Saved:
        """See `Journal.load`; blocks."""
        try:
            return self._thread.submit(self._load, is_continued).result()
        except sqlite3.Error as error:
            raise UnavailableError(f"database {self.path}: {_why(error)}") from error

    async def append(self, batch: Batch) -> None:
        """See `Journal.append`."""
        await self._in_thread(lambda: self._append(batch))

    async def read_fact(self, name: str) -> str | None:
        """A fact about this host alone that is no record."""
        return await self._in_thread(lambda: self._read_fact(name))

    async def write_fact(self, name: str, value: str) -> None:
        """Keep a fact about this host alone."""

        def work() -> None:
            with self._database as database:
                database.execute(_PUT_FACT, (name, value))

        await self._in_thread(work)

    async def close(self) -> None:
        """See `Journal.close`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise UnavailableError(
                f"database {self.path}: nothing was changed: {_why(error)}"
            ) from error

    def _open(self, suffix: str) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise InvalidError(
                f"state directory {self.path.parent}: {why_not_written(error)}"
            ) from error
        try:
            return self._connect()
        except sqlite3.OperationalError as error:
            raise UnavailableError(f"database {self.path}: {_why(error)}") from error
        except sqlite3.DatabaseError:
            self.set_aside = Path(f"{self.path}.broken-{suffix}")
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
        origins: dict[tuple[str, int], Origin] = {}
        rows = self._database.execute("SELECT * FROM entries")
        entries = [_entry(origins, *row) for row in rows if _is_sound(row, _ENTRY)]
        marks, purged = {}, {}
        rows = self._database.execute("SELECT * FROM marks")
        for host, incarnation, mark, gone in (row for row in rows if _is_sound(row, _MARKED)):
            origin = Origin(host, incarnation)
            marks[origin] = mark
            if gone:
                purged[origin] = gone
        facts = dict(self._database.execute("SELECT name, value FROM mesh_facts"))
        incarnation, since = (_number(facts.get(name)) for name in ("incarnation", "since"))
        return Saved(entries, marks, purged, incarnation, since)

    def _read_fact(self, name: str) -> str | None:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _append(self, batch: Batch) -> None:
        """A batch in which others may already have put their trust outlasts a power cut too, with
        all that came before it."""
        is_binding = any(entry.kind in BINDING_KINDS for entry in batch.puts)
        self._database.execute(f"PRAGMA synchronous = {'FULL' if is_binding else 'NORMAL'}")
        with self._database as database:
            database.executemany(_PUT, map(_row, batch.puts))
            database.executemany(_REMOVE, batch.removes)
            gone = [origin for origin, mark in batch.marks.items() if not mark]
            database.executemany(_FORGET, gone)
            marks = [(*origin, mark) for origin, mark in batch.marks.items() if mark]
            database.executemany(_MARK, marks)
            database.executemany(_PURGED, [(mark, *o) for o, mark in batch.purged.items()])
            facts = {"incarnation": batch.incarnation, "since": batch.since}
            database.execute(_NO_INCARNATION)
            database.executemany(
                _INCARNATION, [(name, str(value)) for name, value in facts.items() if value]
            )


_LIKE = {
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EROFS,
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_PERM: errno.EACCES,
}


def _why(error: sqlite3.Error) -> str:
    """With the fix, where one is known."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what it is extended by
    return with_fix(str(error), _LIKE.get(code, 0))


_ENTRY = (str, str, str, int, str, int, int, (bytes, type(None)))
_MARKED = (str, int, int, int)
_MAX_NUMBER = 2**62


def _is_sound(row: Sequence[object], types: Sequence[type | tuple[type, ...]]) -> bool:
    """SQLite keeps any type in any column, and somebody may have been at the file. What is left out
    comes back from the peers."""
    return all(
        isinstance(value, wanted) and (type(value) is not int or 0 <= value < _MAX_NUMBER)
        for value, wanted in zip(row, types, strict=True)
    )


def _number(text: object) -> int | None:
    """A fact; what is no number is not known."""
    is_number = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 19
    return int(str(text)) if is_number else None


def _row(entry: Entry) -> tuple[object, ...]:
    return (*entry.key, entry.clock, *entry.origin, entry.sequence, entry.body)


def _entry(
    origins: dict[tuple[str, int], Origin],
    kind: str,
    id: str,
    owner: str,
    clock: int,
    host: str,
    incarnation: int,
    sequence: int,
    body: bytes | None,
) -> Entry:
    """What many entries have in common they share, so that weftd stays small."""
    origin = origins.get((host, incarnation))
    if origin is None:
        origin = origins[host, incarnation] = Origin(sys.intern(host), incarnation)
    return Entry(sys.intern(kind), id, clock, origin, sequence, body, bool(owner))


def drop_unshared(path: Path, kind: str) -> None:
    """Let go of all that a host holds of a kind which nobody else has met yet; blocks.

    weftd must not run. Anybody who knew of the writes would give them back. No database is none to
    drop from; UnavailableError: it cannot be read or written.
    """
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as database, database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
                database.execute("DELETE FROM entries WHERE kind = ?", (kind,))
    except sqlite3.Error as error:
        raise UnavailableError(f"database {path}: {error}") from error
