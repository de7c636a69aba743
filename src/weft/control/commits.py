"""A commit: what an intent writes is in force when it returns, or is taken back.

A commit waits for the rows that came of its own write. Rows of other records neither hold it up nor
make it fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from weft.control.turn import Turn
from weft.engine.failures import Failure
from weft.errors import UnavailableError
from weft.model.records import Network, Port, Record, Subnet
from weft.store.interface import Change, Delete, Key, Put, Store

SETTLE_S = 20.0
"""How long an intent waits for the kernel before it gives up and takes its records back."""


class Ticket(Protocol):
    """What one write waits for."""

    async def settled(self) -> Sequence[Failure]:
        """Call it when the write has returned. Returns when all that came of it is in force or has
        failed: the failures."""
        ...


class Settler(Protocol):
    """The engine, as far as intents care."""

    def ticket(
        self, records: Iterable[Key], beneath: Iterable[Key]
    ) -> AbstractContextManager[Ticket]:
        """For a write of `records`, to be made inside. `beneath`: records that these stand on,
        whose rows must be in force as well."""
        ...


class Commits:
    """Writes records, and has the kernel follow."""

    def __init__(self, store: Store, settler: Settler, turn: Turn) -> None:
        self._store = store
        self._settler = settler
        self._turn = turn

    async def commit(
        self,
        changes: Iterable[Change],
        *,
        must_hold: Record | Sequence[Record] = (),
        is_awaited: bool = True,
    ) -> None:
        """Write, and wait until the write is in force (unless not `is_awaited`). Holders of the
        turn only.

        The turn ends while the kernel follows, so that intents do not wait for each other's
        devices; so a commit is the last thing that an intent does. When the kernel refuses a row
        that one of `must_hold` wants and that this write changed, or takes longer than
        `SETTLE_S`, each record is put back as it was, unless somebody has changed it since, and
        UnavailableError says why.
        """
        wanted = list(changes)
        inverse = [self._inverse(change) for change in wanted]
        if not is_awaited:
            await self._store.write(wanted)
            return
        with self._settler.ticket(map(_key, wanted), self._beneath(wanted)) as ticket:
            await self._store.write(wanted)
            self._turn.let_go()
            reason = "the request was given up"
            try:
                reason = await _failure(ticket, must_hold)
            finally:
                if reason:
                    await asyncio.shield(self._undo(wanted, inverse))
        if reason:
            raise UnavailableError(f"{reason}; nothing was changed")

    async def _undo(self, wanted: Sequence[Change], inverse: Sequence[Change]) -> None:
        async with self._turn:
            pairs = zip(wanted, inverse)
            undone = [undo for change, undo in pairs if self._is_as_written(change)]
            await self._store.write(reversed(undone))

    def _is_as_written(self, change: Change) -> bool:
        wanted = change.record if isinstance(change, Put) else None
        return self._store.get(*_key(change)) == wanted

    def _inverse(self, change: Change) -> Change:
        kind, id = _key(change)
        old = self._store.get(kind, id)
        return Put(old) if old is not None else Delete(kind, id)

    def _beneath(self, changes: Iterable[Change]) -> Iterator[Key]:
        """A port is plugged into a network, and is reached at addresses of its subnets."""
        for change in changes:
            if isinstance(change, Put) and isinstance(change.record, Port):
                network_id = change.record.network_id
                yield Network, network_id
                for subnet in self._store.by(Subnet, "network_id", network_id):
                    yield Subnet, subnet.id


def _key(change: Change) -> Key:
    if isinstance(change, Put):
        return type(change.record), change.record.id
    return change.kind, change.id


async def _failure(ticket: Ticket, must_hold: Record | Sequence[Record]) -> str:
    """Why the commit fails; empty: it does not."""
    try:
        async with asyncio.timeout(SETTLE_S):
            failures = await ticket.settled()
    except TimeoutError:
        return f"the kernel did not follow within {SETTLE_S:.0f} s"
    held = (must_hold,) if isinstance(must_hold, Record) else must_hold
    names = {(record.KIND, record.id) for record in held}
    return "; ".join(each.reason for each in failures if not names.isdisjoint(each.records))
