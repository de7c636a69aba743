"""An event loop for simulations: hours pass in seconds."""

from __future__ import annotations

import asyncio
import selectors


class Skipping(asyncio.SelectorEventLoop):
    """Time passes at once while everybody waits."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        super().__init__(_SkippingSelector(self))

    def time(self) -> float:
        """See `asyncio.AbstractEventLoop.time`."""
        return self.now_s


class _SkippingSelector(selectors.SelectSelector):
    def __init__(self, loop: Skipping) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now_s += timeout or 0.0
        return super().select(0)
