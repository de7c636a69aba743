"""Long work on the event loop, a little at a time: it also answers DNS and Docker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")
AT_ONCE = 50
"""Documents, of some 0.1 ms each."""


async def at_ease(items: Iterable[T]) -> list[T]:
    """All items of an iterable that works to make each; others run in between."""
    found = []
    for number, item in enumerate(items, 1):
        found.append(item)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    return found
