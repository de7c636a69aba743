"""Records on disk: SQLite in WAL mode, read into memory at the start.

A write is one transaction, done in the thread named `store` so that a slow disk never holds up
the event loop, and is durable against the death of weftd (not of the machine: after a power cut
the newest writes may be gone, the file is still whole). What cannot be decoded is set aside in a
table of its own and shown, never a reason not to start; a file that SQLite cannot read is renamed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from weft.errors import InvalidError, UnavailableError
from weft.model import codec
from weft.model.records import KINDS
from weft.store.clock import HybridClock, Version
from weft.store.interface import Change, Listener, Put
from weft.store.memory import RecordSet, Watchers

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, id TEXT NOT NULL, clock INTEGER NOT NULL, host TEXT NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (
    kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_PUT = "INSERT OR REPLACE INTO records (kind, id, clock, host, body) VALUES (?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM records WHERE kind = ? AND id = ?"


class Quarantined(NamedTuple):
    """A record that could not be decoded, and why."""

    kind: str
    id: str
    reason: str


class SqliteStore(RecordSet):
    """The records of one host's database file."""

    def __init__(self, path: Path, wall_s: Callable[[], float], host: str = "") -> None:
        """Opens the file and reads it; InvalidError when the directory cannot be used."""
        super().__init__()
        self.path = path
        self.quarantined: list[Quarantined] = []
        self.set_aside: Path | None = None
        """Where an unreadable database was moved at this start."""
        self._clock = HybridClock(host, wall_s)
        self._wall_s = wall_s
        self._watchers = Watchers()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._order = asyncio.Lock()
        self._running: set[asyncio.Future[None]] = set()
        self._database = self._thread.submit(self._open).result()
        self._thread.submit(self._load).result()

    async def write(self, changes: Iterable[Change]) -> None:
        """See `Store.write`. A caller that is cancelled leaves its write to finish whole."""
        task = asyncio.ensure_future(self._write(list(changes)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    def watch(self, listener: Listener) -> Callable[[], None]:
        """See `Store.watch`."""
        return self._watchers.add(listener)

    async def close(self) -> None:
        """Wait for running writes, then close the file."""
        if self._running:
            await asyncio.wait(self._running)
        await self._in_thread(self._database.close)
        self._thread.shutdown()

    async def read_fact(self, name: str) -> str | None:
        """A fact about this host alone that is no record, such as its id."""
        return await self._in_thread(lambda: self._read_fact(name))

    async def write_fact(self, name: str, value: str) -> None:
        """Keep a fact about this host alone."""

        def work() -> None:
            with self._database:
                self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

        await self._in_thread(work)

    async def _write(self, changes: list[Change]) -> None:
        async with self._order:
            rows = [self._row(change) for change in changes]
            await self._in_thread(lambda: self._commit(rows))
            changed = self.apply(changes)
        self._watchers.notify(changed)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise UnavailableError(f"database {self.path}: {error}; nothing was changed") from error

    def _row(self, change: Change) -> tuple[str, tuple[object, ...]]:
        if isinstance(change, Put):
            record = change.record
            version = self._clock.next()
            return _PUT, (record.KIND, record.id, *version, codec.encode(record))
        return _DELETE, (change.kind.KIND, change.id)

    def _commit(self, rows: list[tuple[str, tuple[object, ...]]]) -> None:
        with self._database:
            for statement, values in rows:
                self._database.execute(statement, values)

    def _open(self) -> sqlite3.Connection:
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
            self.set_aside = Path(f"{self.path}.broken-{int(self._wall_s())}")
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

    def _load(self) -> None:
        known = {kind.KIND for kind in KINDS}
        cursor = self._database.execute("SELECT kind, id, clock, host, body FROM records")
        bad: list[tuple[str, str, bytes, str]] = []
        puts: list[Change] = []
        for kind, id, clock, host, body in cursor:
            self._clock.observe(Version(clock, host))
            if kind not in known:
                continue  # written by a newer weft: kept on disk as it is
            try:
                puts.append(Put(codec.decode(kind, body)))
            except InvalidError as error:
                bad.append((kind, id, body, str(error)))
        self.apply(puts)
        with self._database:
            for kind, id, body, reason in bad:
                self._database.execute(
                    "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?)",
                    (kind, id, body, reason),
                )
                self._database.execute(_DELETE, (kind, id))
        rows = self._database.execute("SELECT kind, id, reason FROM quarantine")
        self.quarantined = [Quarantined(*row) for row in rows]

    def _read_fact(self, name: str) -> str | None:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])
