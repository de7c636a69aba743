"""What control stands on, without a kernel: fakes of the Protocols of `control.context`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from weft.control.commits import Ticket
from weft.control.context import Target
from weft.engine.failures import Failure
from weft.errors import UnavailableError
from weft.store.interface import Key


class AtOnce:
    """An engine that has everything in force at once."""

    async def settled(self) -> Sequence[Failure]:
        """See `Ticket.settled`."""
        return ()

    @contextlib.contextmanager
    def ticket(self, records: Iterable[Key], beneath: Iterable[Key]) -> Iterator[Ticket]:
        """See `Settler.ticket`."""
        yield self


class NothingRuns:
    """A host on which nothing runs that could be attached."""

    async def resolve(self, target: str) -> Target:
        """See `Targets.resolve`."""
        raise UnavailableError(f"attach {target}: nothing runs here")
