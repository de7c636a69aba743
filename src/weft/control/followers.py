"""Parts that bring what the records want into another system, in the background.

A user who has just made a network by Weft's own means wants to use it there at once; so whoever
answers him waits for these, within reason. Nobody who answers the other system itself may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

PATIENCE_S = 3.0
log = structlog.get_logger()

Settle = Callable[[], Awaitable[None]]
"""Returns when what the records say now is so in the other system, or cannot be now."""


class Followers:
    """All such parts of one weftd."""

    def __init__(self) -> None:
        self._settles: list[Settle] = []

    def add(self, settle: Settle) -> Callable[[], None]:
        """One more to wait for. Returns the function that takes it away."""
        self._settles.append(settle)
        return lambda: self._settles.remove(settle)

    async def settle(self) -> None:
        """Wait for all of them, at most `PATIENCE_S`; what takes longer happens later."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                for settle in tuple(self._settles):
                    await settle()
        except TimeoutError:
            log.info("other systems follow later")
