"""Several intents that shall be done together, or not at all.

They are asked of a control over records that nobody else sees (`store.overlay`). If all of them can
be done, what they would write is written at once: so an intent need not know that it is one of
several, and whatever it refuses is refused before anything has happened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from weft.control.commits import Ticket
from weft.control.context import Context
from weft.control.upkeep.space import Space, SpaceNeeded
from weft.engine.failures import Failure
from weft.errors import UnavailableError
from weft.ipam.intervals import Interval
from weft.model.records import Subnet
from weft.store.interface import Change, Key, Put, View
from weft.store.overlay import Overlay

if TYPE_CHECKING:
    from weft.control.control import Control


class NothingFollows:
    """In place of the engine: the kernel has no part in a rehearsal."""

    async def settled(self) -> Sequence[Failure]:
        """See `Ticket.settled`."""
        return ()

    @contextlib.contextmanager
    def ticket(self, records: Iterable[Key], beneath: Iterable[Key]) -> Iterator[Ticket]:
        """See `Settler.ticket`."""
        yield self


class RehearsedSpace:
    """The addresses that the rehearsing host may give. Whoever needs others' must not wait for them
    in a rehearsal, which holds the turn: `SpaceNeeded` ends it, and is for its caller to heed
    (`Addresses.with_space_before`)."""

    def __init__(self, space: Space, view: View) -> None:
        """view: the records as they are."""
        self._space = space
        self._view = view
        self.fence = space.fence
        self.taken_after_s = space.taken_after_s
        self.lost_since_s = space.lost_since_s
        self.created = space.created
        self.run = space.run
        self.hand_over = space.hand_over

    def may_use(self, subnet: Subnet) -> Sequence[Interval]:
        """See `Space.may_use`. All of a subnet that the rehearsal itself has made."""
        if self._view.get(Subnet, subnet.id) is None:
            return ((0, (1 << 128) - 1),)
        return self._space.may_use(subnet)

    async def obtain(self, needed: SpaceNeeded) -> None:
        """See above."""
        raise needed


class Rehearsal:
    """Intents on trial. Used by the holder of the turn alone (`Control.rehearse`)."""

    def __init__(self, context: Context, overlay: Overlay, control: Control) -> None:
        self._context = context
        self._overlay = overlay
        self.control = control
        """Whose intents are rehearsed: those that take records from records, and ask nobody."""

    async def carry_out(self) -> None:
        """Write all that the intents wrote, and wait until it is in force. The last thing that is
        done in a turn.

        It is one write, as far as the store takes that many changes at once
        (`Store.largest_write`); else it is several, in the order of the intents, each of which
        leaves the records whole. What the kernel refuses of the last takes that one back.
        """
        store = self._context.store
        batches = self._overlay.batches(store.largest_write)
        for number, batch in enumerate(batches, 1):
            try:
                if number < len(batches):
                    await store.write(batch)
                else:
                    await self._commit(batch)
            except UnavailableError as error:
                if len(batches) == 1:
                    raise
                raise UnavailableError(
                    f"step {number} of {len(batches)}: {error}; the steps before it are done, and "
                    "the same again goes on from there"
                ) from error

    async def _commit(self, batch: Sequence[Change]) -> None:
        must_hold = [change.record for change in batch if isinstance(change, Put)]
        await self._context.commit(batch, must_hold=must_hold)
