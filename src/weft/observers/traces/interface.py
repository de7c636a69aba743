"""What the API asks of traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from weft.observers.traces.seen import Asked, Moved


class Traces(Protocol):
    """This host's part of traces (`traces.tracer.Tracer`)."""

    async def told(self, asked: Asked) -> Sequence[Moved]:
        """What becomes of packets here, up to the first one that is not there to be moved.
        UnavailableError and KernelError: nothing can be rehearsed here."""
        ...
