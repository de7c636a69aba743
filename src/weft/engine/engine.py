"""The engine: keeps the kernel as the records say, at start, on change and for ever.

One loop. The store's changes wait until the loop compiles them; the rows that they touch are
applied in the thread named `engine`, first those for which a commit waits. Start-up, repair and
upgrade are the same call: desired rows, actual rows, difference. A row that fails is shown, and is
tried again at the next look.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import structlog

from weft.engine.compiler import CompileFunction, Compiler
from weft.engine.difference import Difference, difference
from weft.engine.failures import Failure, Failures, words
from weft.engine.intake import Intake
from weft.engine.looks import Looks
from weft.engine.pending import Pending
from weft.engine.rows import RowFailure, RowKey
from weft.engine.sink import Counters, Sink
from weft.engine.tickets import LOOK, Ticket, Tickets
from weft.model.records import Record
from weft.store.interface import Changed, Key, Store

T = TypeVar("T")
log = structlog.get_logger()


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
        self._compiler = compiler = Compiler(functions, store)
        self._intake = Intake(compiler)
        self._end_watch = store.watch(self._on_change)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._pending = Pending()
        self._failures = Failures(compiler.owners, lambda: compiler.faults)
        self._wake = asyncio.Event()
        self._tickets = Tickets(self._intake, self._failures, lambda: self.problem, self._wake.set)
        self._looks = Looks(reconcile_s)
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        """Futures of callers that wait for everything, each with the number of writes until then.
        """
        self._is_broken = False
        """The compiler has failed: its rows are wrong until it has compiled all records anew."""
        self._has_mended = False
        """The last look found damage to mend, which may have upset something else. What a start of
        weftd writes is none."""
        self._has_moved = False
        self.ready = asyncio.Event()
        """Set once the first reconcile is through."""
        self.problem = ""
        """Why the last look at the kernel failed as a whole; empty: it did not."""
        self.repairs_total = 0
        self.reconciles_total = 0
        self.on_reconciled: list[Callable[[], None]] = []
        """Called after each look at the kernel, on the event loop."""

    async def run(self) -> None:
        """Until cancelled; then what forwards goes on forwarding."""
        now_s = asyncio.get_running_loop().time
        try:
            await self._in_thread(self._sink.start)
            while True:
                self._compile()
                if now_s() >= self._looks.due_s:
                    await self._look()
                await self._apply_pending()
                if self._has_moved:
                    await self._follow()
                self._tell_waiters()
                await self._sleep()
        finally:
            self._end_watch()
            for _, waiter in self._waiters:
                waiter.cancel()
            await asyncio.shield(self._in_thread(self._sink.stop))
            self._thread.shutdown()

    async def settle(self) -> None:
        """Return when all changes that the store has made until now are in force or have failed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((self._intake.written, waiter))
        self._wake.set()
        await waiter

    def ticket(
        self, records: Iterable[Key], beneath: Iterable[Key] = ()
    ) -> contextlib.AbstractContextManager[Ticket]:
        """For a commit that waits for what comes of its own write. See `Tickets.opened`."""
        return self._tickets.opened(records, beneath)

    def repair_soon(self) -> None:
        """Look at the kernel without waiting for the next turn."""
        self._looks.ask()
        self._wake.set()

    def follow_soon(self) -> None:
        """The kernel has changed something that rows rest on, and that is no damage: see
        `Sink.follow`."""
        self._has_moved = True
        self._wake.set()

    def failures(self) -> Sequence[Failure]:
        """Rows that are not in force."""
        return self._failures.all()

    async def counters(self) -> Mapping[str, Counters]:
        """Traffic by ifname of the host's end."""
        return await self._in_thread(self._sink.counters)

    def _on_change(self, changed: Sequence[Changed]) -> None:
        self._intake.hear(changed)
        self._wake.set()

    async def _sleep(self) -> None:
        if self._intake.is_waiting or self._waiters or self._has_moved:
            await asyncio.sleep(0)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._looks.due_s):
                    await self._wake.wait()
        self._wake.clear()

    # Records to rows.

    def _compile(self) -> None:
        if self._is_broken and self._intake.is_waiting:
            self._begin_anew()
        needed = max([self._tickets.needed, *(written for written, _ in self._waiters)])
        try:
            for changed, changes in self._intake.compile(needed):
                self._pending.add(changes)
                self._tickets.compiled(changed, changes)
            self._tickets.gather(self._pending.upserts, self._compiler.owners)
        except Exception:
            log.exception("fault in weftd: changes not compiled, all records are compiled anew")
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Leave it to a look at the kernel, which is due now, to find out which rows changed."""
        self._is_broken = True
        self._looks.need()
        self._intake.drop()
        self._tickets.await_look()

    # Rows to the kernel.

    async def _apply_pending(self) -> None:
        """Apply all rows that wait, those first for which commits wait. A row of a commit that
        fails beside other rows, or before what was written earlier, is tried once more by itself,
        after these: a table may refuse many rows for the sake of one, and a device that is to go
        may be in the way of a new one."""
        first = self._pending.take_only(self._tickets.rows)
        failed = await self._apply(first)
        again: set[RowKey] = set()
        if failed and (self._pending or self._tickets.are_many):
            again = {failure.row for failure in failed} & first.rows()
        self._note(first.rows() - again, [each for each in failed if each.row not in again])
        if self._pending:
            rest = self._pending.take()
            self._note(rest.rows(), await self._apply(rest))
        for rows in self._tickets.parted(again):
            self._note(rows, await self._apply(first.only(rows)))

    def _note(self, rows: Collection[RowKey], failures: Sequence[RowFailure]) -> None:
        """`rows` were applied, and of them `failures` failed; the commits that wait for them are
        told."""
        self._failures.tried(rows, failures)
        self._tickets.tried(rows)
        self._tickets.end()

    def _tell_waiters(self) -> None:
        compiled = self._intake.compiled
        due = [waiter for written, waiter in self._waiters if written <= compiled]
        self._waiters = [each for each in self._waiters if each[0] > compiled]
        for waiter in due:
            if not waiter.done():
                waiter.set_result(None)

    async def _apply(self, changes: Difference) -> Sequence[RowFailure]:
        if not changes.upserts and not changes.deletes:
            return ()
        try:
            failures = await self._in_thread(
                lambda: self._sink.apply(changes.upserts, changes.deletes)
            )
        except Exception as error:
            failures = [
                RowFailure(RowKey(table, key), words(error))
                for table, rows in changes.upserts.items()
                for key in rows
            ]
        self._follow_later()
        return failures

    # What the kernel holds.

    async def _look(self) -> None:
        """One reconcile step. The first must succeed; a later one that fails is shown."""
        now_s = asyncio.get_running_loop().time
        self._looks.begin()
        began_s = now_s()
        try:
            await self._reconcile()
            self.problem = ""
        except Exception as error:
            if not self.ready.is_set():
                raise
            self.problem = words(error)
            log.error("reconcile failed", reason=self.problem)
        self._tickets.tried({LOOK} if self.problem else self._tickets.rows)
        self._tickets.end()
        is_well = not (self._failures or self.problem or self._has_mended)
        self._looks.end(now_s(), now_s() - began_s, is_well=is_well)
        if not self.problem:
            self.ready.set()
            for listener in self.on_reconciled:
                listener()

    async def _reconcile(self) -> None:
        if self._is_broken:
            self._compiler.compile_all()
            self._is_broken = False
        desired = self._compiler.rows()
        actual = await self._in_thread(lambda: self._sink.actual(desired))
        self._pending.take()  # which `desired` holds, for nothing is compiled meanwhile
        changes = difference(desired, actual)
        self.reconciles_total += 1
        differs = bool(changes.upserts or changes.deletes)
        self._has_mended = differs and self.ready.is_set()
        self._failures.keep_only(changes.rows())
        if not differs:
            return
        if self._has_mended:
            repair = Repair(
                {table: len(rows) for table, rows in changes.upserts.items()},
                {table: len(keys) for table, keys in changes.deletes.items()},
            )
            self.repairs_total += 1
            log.info("kernel differed from the records", **repair._asdict())
        self._failures.tried(changes.rows(), await self._apply(changes))

    def _follow_later(self) -> None:
        delay_s = self._sink.follow_in_s
        if delay_s is not None:
            asyncio.get_running_loop().call_later(delay_s, self.follow_soon)

    async def _follow(self) -> None:
        self._has_moved = False
        try:
            failures = await self._in_thread(self._sink.follow)
        except Exception as error:
            log.warning("changes of the kernel not followed", reason=words(error))
            self.repair_soon()
            return
        self._failures.note(failures)
        self._follow_later()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await future
            raise
