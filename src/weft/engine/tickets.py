"""Tickets: a ticket stands for one write, and waits for the rows that came of it and for no others.

A ticket is opened before its records are written, so that no row is missed however soon the engine
compiles them. The ticket collects the rows that compiling its write changed, and those rows of its
records and of the records beneath that wait already: a port is of no use before its network's own
rows are there. The ticket is through when each of these rows is in force or has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from weft.engine.claims import RecordName
from weft.engine.failures import Failure, Failures, record_name
from weft.engine.intake import Intake
from weft.engine.rows import RowChanges, RowKey
from weft.store.interface import Changed, Key

LOOK = RowKey("kernel", "all rows")
"""As a row of a ticket: it waits for a look at the kernel, which makes all rows true."""


class Ticket:
    """Of one write. See `Tickets.opened`."""

    def __init__(
        self, records: Iterable[Key], beneath: Iterable[Key], settle: Callable[[Ticket], None]
    ) -> None:
        self.records = frozenset(records)
        self.names = {record_name(key) for key in (*self.records, *beneath)}
        self.rows: set[RowKey] = set()
        """The rows of the write that are neither in force nor failed."""
        self.failures: list[Failure] = []
        self.needed: int | None = None
        """So many writes of the store must be compiled; None: its own may not have come yet."""
        self.through = asyncio.Event()
        self._settle = settle

    async def settled(self) -> Sequence[Failure]:
        """Call it when the write has returned. Returns when all that came of it is in force or has
        failed: the failures."""
        self._settle(self)
        await self.through.wait()
        return tuple(self.failures)

    def is_of(self, changed: Iterable[Changed]) -> bool:
        """Whether one of its records is among these."""
        return any(change.key in self.records for change in changed)


class Tickets:
    """The open tickets of an engine."""

    def __init__(
        self,
        intake: Intake,
        failures: Failures,
        problem: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        """`problem`: why nothing at all can be relied upon, or empty; `wake`: somebody begins to
        wait."""
        self._intake = intake
        self._failures = failures
        self._problem = problem
        self._wake = wake
        self._open: list[Ticket] = []
        self._fresh: list[Ticket] = []
        """The tickets of which a write was compiled since the last `gather`."""

    @contextlib.contextmanager
    def opened(self, records: Iterable[Key], beneath: Iterable[Key]) -> Iterator[Ticket]:
        """A ticket for a write of these records, to be made inside. `beneath`: records that they
        stand on."""
        ticket = Ticket(records, beneath, self._settle)
        self._open.append(ticket)
        try:
            yield ticket
        finally:
            self._open.remove(ticket)

    def _settle(self, ticket: Ticket) -> None:
        ticket.needed = self._intake.written
        self.end()
        self._wake()

    @property
    def needed(self) -> int:
        """So many writes must be compiled before all that are waited for are."""
        return max((ticket.needed or 0 for ticket in self._open), default=0)

    @property
    def rows(self) -> set[RowKey]:
        """All that are waited for."""
        return set().union(*(ticket.rows for ticket in self._open))

    @property
    def are_many(self) -> bool:
        """Whether more than one waits for rows."""
        return sum(bool(ticket.rows) for ticket in self._open) > 1

    def compiled(self, changed: Sequence[Changed], changes: RowChanges) -> None:
        """A write became rows."""
        for ticket in self._open:
            if ticket.is_of(changed):
                ticket.rows.update(changes.upserts, changes.deletes)
                self._fresh.append(ticket)

    def gather(
        self,
        waiting: Collection[RowKey],
        owners: Callable[[RowKey], Iterable[RecordName]],
    ) -> None:
        """Give to each ticket whose write was compiled just now the rows of `waiting` that its
        records want, or the records beneath. Linear in `waiting`, if rows of others are among them.
        """
        fresh, self._fresh = self._fresh, []
        own = set().union(*(ticket.rows for ticket in fresh))
        for row in waiting if fresh and len(waiting) > len(own) else ():
            names = set(owners(row))
            for ticket in fresh:
                if not ticket.names.isdisjoint(names):
                    ticket.rows.add(row)

    def await_look(self) -> None:
        """The rows of the open tickets are not known before the next look at the kernel."""
        for ticket in self._open:
            ticket.rows.add(LOOK)

    def tried(self, rows: Collection[RowKey]) -> None:
        """These are in force now, or among the failures."""
        for ticket in self._open:
            done = ticket.rows.intersection(rows)
            ticket.rows -= done
            ticket.failures.extend(self._failures.of(done))

    def end(self) -> None:
        """End the tickets that wait for no row any more."""
        for ticket in self._open:
            if ticket.needed is None or ticket.rows or ticket.through.is_set():
                continue
            if ticket.needed <= self._intake.compiled:
                ticket.failures.extend(self._failures.of_records(ticket.records))
                if self._problem():
                    names = [record_name(key) for key in ticket.records]
                    ticket.failures.append(Failure(LOOK, names, self._problem()))
                ticket.through.set()

    def parted(self, rows: set[RowKey]) -> Sequence[set[RowKey]]:
        """`rows` in parts, one for each ticket that waits for some; rows for which none waits come
        last."""
        left, parts = set(rows), []
        for ticket in self._open:
            parts.append(ticket.rows & left)
            left -= parts[-1]
        return [part for part in (*parts, left) if part]
