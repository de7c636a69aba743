"""Intents take turns, but do not wait for each other's devices."""

from __future__ import annotations

import asyncio


class Turn:
    """A lock whose holder may let go before the end of its block."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[object] | None = None

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        self._holder = asyncio.current_task()

    async def __aexit__(self, *_: object) -> None:
        self.let_go()

    def let_go(self) -> None:
        """End the turn. Nothing happens if it is over already."""
        if self._holder is asyncio.current_task():
            self._holder = None
            self._lock.release()
