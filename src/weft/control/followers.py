"""Parts that bring what the records want into another system, in the background.

A user who has just made a network by Weft's own means wants to use it in Docker at once; so the
API's answer to that user waits for the followers, within reason. An answer to the other system
itself must never wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

PATIENCE_S = 3.0
log = structlog.get_logger()

Settle = Callable[[], Awaitable[None]]
"""Returns when the other system is as the records say now, or cannot be made so now."""


class Followers:
    """All followers of one weftd."""

    def __init__(self) -> None:
        self._settles: list[Settle] = []

    def add(self, settle: Settle) -> Callable[[], None]:
        """One more to wait for. Returns the function that takes it away."""
        self._settles.append(settle)
        return lambda: self._settles.remove(settle)

    async def settle(self) -> None:
        """Wait for all followers, at most `PATIENCE_S`; a slower one goes on behind."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                for settle in tuple(self._settles):
                    await settle()
        except TimeoutError:
            log.info("other systems follow later")
