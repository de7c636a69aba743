"""A record that tells something of this host, and is kept true."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import structlog

from weft.errors import WeftError

log = structlog.get_logger()


class OwnRecord(ABC):
    """A record that is refreshed whenever its facts may have changed: once, however many changes
    came."""

    def __init__(self, complaint: str) -> None:
        """`complaint`: what the log says when `refresh` fails, and the record stays as it is."""
        self._complaint = complaint
        self._is_due = asyncio.Event()

    @abstractmethod
    async def refresh(self) -> None:
        """Look and, if the record says something else, write it. WeftError, OSError: its facts
        cannot be found out now."""

    def look_again(self) -> None:
        """Something may have changed."""
        self._is_due.set()

    async def run(self) -> None:
        """Follow changes until cancelled."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            try:
                await self.refresh()
            except (WeftError, OSError) as error:
                log.warning(self._complaint, reason=str(error))
