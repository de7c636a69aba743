"""The engine: keeps the kernel as the records say, at start, on change and for ever.

One loop. A change of the store is compiled at once on the event loop; the rows it touches are
applied in the thread named `engine`. Start-up, repair and upgrade are the same call: desired
rows, actual rows, difference. A row that fails is shown and tried again at the next look.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

import structlog

from weft.engine.compiler import CompileFunction, Compiler, RowChanges
from weft.engine.rows import RowFailure, RowKey
from weft.errors import WeftError
from weft.model.records import Record
from weft.store.interface import Changed, Store

T = TypeVar("T")
Tables = Mapping[str, Mapping[Hashable, Hashable]]
NOT_COMPILED = "records"
"""As the table of what failed before it was rows."""
MIN_SPACING_S = 0.2
SPACING_FACTOR = 20
"""Between two looks at the kernel that somebody asked for: this many times what one takes."""
EASY_LOOK_S = 0.15
"""Half a percent of 30 s. Looks that take longer are made less often in proportion."""
LEAST_LOOKS = 10
"""So many times less often at the most."""
log = structlog.get_logger()


class Counters(Protocol):
    """A port's traffic as its workload sees it; `drops` by reason."""

    @property
    def rx_packets(self) -> int:
        """Received."""
        ...

    @property
    def rx_bytes(self) -> int:
        """Received."""
        ...

    @property
    def tx_packets(self) -> int:
        """Sent."""
        ...

    @property
    def tx_bytes(self) -> int:
        """Sent."""
        ...

    @property
    def drops(self) -> Mapping[str, int]:
        """Packets by reason."""
        ...


class Sink(Protocol):
    """Where rows become true. Synchronous; called in one thread only."""

    def start(self) -> None:
        """Prepare what all rows need. Nothing happens when it is there."""
        ...

    def actual(self, desired: Tables) -> dict[str, dict[Hashable, Hashable]]:
        """The rows that are there; see `Table.read`."""
        ...

    def apply(
        self, upserts: Tables, deletes: Mapping[str, Collection[Hashable]]
    ) -> list[RowFailure]:
        """Make the changes in the order that the tables need; see `Table.write`."""
        ...

    def follow(self) -> list[RowFailure]:
        """Make rows true again that rest on what others have changed in the kernel."""
        ...

    @property
    def follow_in_s(self) -> float | None:
        """In how many seconds `follow` has something to do that the kernel does not tell of; None:
        nothing. As it is after `apply` and `follow`."""
        ...

    def counters(self) -> Mapping[str, Counters]:
        """Traffic by ifname of the host's end."""
        ...

    def stop(self) -> None:
        """Give back file descriptors; what forwards goes on."""
        ...


class Failure(NamedTuple):
    """A row that is not in force: for which records, and why."""

    row: RowKey
    records: Sequence[tuple[str, str]]
    reason: str


class Repair(NamedTuple):
    """What one look at the kernel had to mend, by table."""

    upserts: Mapping[str, int]
    deletes: Mapping[str, int]


class Engine:
    """Keeps a sink in step with a store."""

    def __init__(
        self,
        store: Store,
        functions: Mapping[type[Record], CompileFunction],
        sink: Sink,
        *,
        reconcile_s: float,
    ) -> None:
        self._sink = sink
        self._reconcile_s = reconcile_s
        self._compiler = Compiler(functions, store)
        self._end_watch = store.watch(self._on_change)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._upserts: dict[RowKey, Hashable] = {}
        self._deletes: set[RowKey] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._look_due_s = 0.0
        self._looked_s = 0.0
        self._is_asked = False
        self._spacing_s = MIN_SPACING_S
        self._is_busy = False
        self._has_mended = False
        """The last look found something to mend, which may have upset something else."""
        self._has_moved = False
        self._failures: dict[RowKey, str] = {}
        self.ready = asyncio.Event()
        """Set once the first reconcile is through."""
        self.problem = ""
        """Why the last look at the kernel failed as a whole; empty: it did not."""
        self.repairs_total = 0
        self.reconciles_total = 0
        self.on_reconciled: Callable[[], None] = lambda: None
        """Called after each look at the kernel, on the event loop."""

    async def run(self) -> None:
        """Until cancelled; then what forwards goes on forwarding."""
        now_s = asyncio.get_running_loop().time
        try:
            await self._in_thread(self._sink.start)
            while True:
                if now_s() >= self._look_due_s:
                    self._is_asked, began_s = False, now_s()
                    await self._look()
                    self._looked_s = now_s()
                    took_s = self._looked_s - began_s
                    self._spacing_s = max(MIN_SPACING_S, SPACING_FACTOR * took_s)
                    self._look_due_s = self._looked_s + self._pause_s(took_s)
                await self._apply_pending()
                if self._has_moved:
                    await self._follow()
                await self._sleep()
        finally:
            self._end_watch()
            for waiter in self._waiters:
                waiter.cancel()
            await asyncio.shield(self._in_thread(self._sink.stop))
            self._thread.shutdown()

    def _pause_s(self, took_s: float) -> float:
        """Until the next look at the kernel, after one that took so long."""
        if self._is_asked:
            return min(self._spacing_s, self._reconcile_s)
        if self._failures or self.problem or self._has_mended:
            return self._reconcile_s
        return periodic_pause_s(self._reconcile_s, took_s)

    async def settle(self) -> None:
        """Return when all changes that the store has made until now are in force or have failed."""
        if self.ready.is_set() and not (self._upserts or self._deletes or self._is_busy):
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        await waiter

    def repair_soon(self) -> None:
        """Look at the kernel without waiting for the next turn.

        However often it is called, looking takes a small part of the time: Weft's own changes
        look like damage from outside, and a look is linear in the number of ports.
        """
        self._is_asked = True
        self._look_due_s = min(self._look_due_s, self._looked_s + self._spacing_s)
        self._wake.set()

    def follow_soon(self) -> None:
        """What rows rest on has changed in the kernel, and is no damage: see `Sink.follow`."""
        self._has_moved = True
        self._wake.set()

    def failures(self) -> Sequence[Failure]:
        """Rows that are not in force."""
        faults = [
            Failure(RowKey(NOT_COMPILED, (kind.KIND, id)), [(kind.KIND, id)], reason)
            for (kind, id), reason in self._compiler.faults.items()
        ]
        return faults + [
            Failure(row, self._compiler.owners(row), reason)
            for row, reason in self._failures.items()
        ]

    def failures_of(self, record: Record) -> Sequence[str]:
        """Why something that a record wants is not in force."""
        if self.problem:
            return [self.problem]
        name = (record.KIND, record.id)
        return [failure.reason for failure in self.failures() if name in failure.records]

    async def counters(self) -> Mapping[str, Counters]:
        """Traffic by ifname of the host's end."""
        return await self._in_thread(self._sink.counters)

    def _on_change(self, changed: Sequence[Changed]) -> None:
        changes = self._compiler.update(changed)
        for row in changes.deletes:
            self._upserts.pop(row, None)
            self._deletes.add(row)
        for row, value in changes.upserts.items():
            self._deletes.discard(row)
            self._upserts[row] = value
        self._wake.set()

    async def _sleep(self) -> None:
        if not (self._upserts or self._deletes or self._waiters or self._has_moved):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._look_due_s):
                    await self._wake.wait()
        self._wake.clear()

    async def _apply_pending(self) -> None:
        waiters, self._waiters = self._waiters, []
        changes = RowChanges(self._upserts, self._deletes)
        self._upserts, self._deletes = {}, set()
        if changes.upserts or changes.deletes:
            await self._apply(_by_table(changes.upserts), _grouped(changes.deletes))
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _look(self) -> None:
        """One reconcile step. The first must succeed; a later one that fails is shown.

        It takes pending changes over, so `settle` must not pass meanwhile.
        """
        self._is_busy = True
        try:
            await self._reconcile()
        except Exception as error:
            if not self.ready.is_set():
                raise
            self.problem = _words(error)
            log.error("reconcile failed", reason=self.problem)
            return
        finally:
            self._is_busy = False
        self.problem = ""
        self.ready.set()
        self.on_reconciled()

    async def _reconcile(self) -> None:
        desired = self._compiler.rows()
        self._upserts, self._deletes = {}, set()
        actual = await self._in_thread(lambda: self._sink.actual(desired))
        upserts, deletes = difference(desired, actual)
        self.reconciles_total += 1
        self._has_mended = bool(upserts or deletes)
        self._failures = {
            row: reason
            for row, reason in self._failures.items()
            if row.key in upserts.get(row.table, {})
        }
        if not upserts and not deletes:
            return
        repair = Repair(
            {table: len(rows) for table, rows in upserts.items()},
            {table: len(keys) for table, keys in deletes.items()},
        )
        if self.ready.is_set():
            self.repairs_total += 1
            log.info("kernel differed from the records", **repair._asdict())
        await self._apply(upserts, deletes)

    async def _apply(self, upserts: Tables, deletes: Mapping[str, Collection[Hashable]]) -> None:
        self._is_busy = True
        try:
            failures = await self._in_thread(lambda: self._sink.apply(upserts, deletes))
        except Exception as error:
            failures = [
                RowFailure(RowKey(table, key), _words(error))
                for table, rows in upserts.items()
                for key in rows
            ]
        finally:
            self._is_busy = False
        for table, rows in upserts.items():
            for key in rows:
                self._failures.pop(RowKey(table, key), None)
        for table, keys in deletes.items():
            for key in keys:
                self._failures.pop(RowKey(table, key), None)
        self._note_failures(failures)
        self._follow_later()

    def _follow_later(self) -> None:
        delay_s = self._sink.follow_in_s
        if delay_s is not None:
            asyncio.get_running_loop().call_later(delay_s, self.follow_soon)

    def _note_failures(self, failures: Sequence[RowFailure]) -> None:
        """A full map refuses thousands for one reason: one line tells of all."""
        for failure in failures:
            self._failures[failure.row] = failure.reason
        counts = Counter((failure.row.table, failure.reason) for failure in failures)
        for (table, reason), count in counts.items():
            log.warning("rows not applied", table=table, reason=reason, count=count)

    async def _follow(self) -> None:
        self._has_moved = False
        try:
            failures = await self._in_thread(self._sink.follow)
        except Exception as error:
            log.warning("changes of the kernel not followed", reason=_words(error))
            self.repair_soon()
            return
        self._note_failures(failures)
        self._follow_later()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await future
            raise


def periodic_pause_s(reconcile_s: float, took_s: float) -> float:
    """Between two looks that nobody asked for. A look is linear in the ports: where there are
    thousands, it is worth its cost less often, for the kernel tells of nearly all damage."""
    return reconcile_s * min(LEAST_LOOKS, max(1.0, took_s / EASY_LOOK_S))


def difference(
    desired: Tables, actual: Tables
) -> tuple[dict[str, dict[Hashable, Hashable]], dict[str, set[Hashable]]]:
    """What must be written and deleted so that `actual` becomes `desired`."""
    upserts: dict[str, dict[Hashable, Hashable]] = {}
    deletes: dict[str, set[Hashable]] = {}
    for table in {*desired, *actual}:
        wanted, found = desired.get(table, {}), actual.get(table, {})
        changed = {
            key: value for key, value in wanted.items() if key not in found or found[key] != value
        }
        if changed:
            upserts[table] = changed
        gone = found.keys() - wanted.keys()
        if gone:
            deletes[table] = set(gone)
    return upserts, deletes


def _words(error: Exception) -> str:
    """What is shown of an error; one that is not ours may have no words, and is named."""
    return str(error) if isinstance(error, WeftError) else f"{type(error).__name__}: {error}"


def _by_table(rows: Mapping[RowKey, Hashable]) -> dict[str, dict[Hashable, Hashable]]:
    tables: dict[str, dict[Hashable, Hashable]] = {}
    for row, value in rows.items():
        tables.setdefault(row.table, {})[row.key] = value
    return tables


def _grouped(rows: Collection[RowKey]) -> dict[str, set[Hashable]]:
    tables: dict[str, set[Hashable]] = {}
    for row in rows:
        tables.setdefault(row.table, set()).add(row.key)
    return tables
