"""After each look at the kernel: what the engine mended is told, and the janitor sweeps."""

from __future__ import annotations

import asyncio

import structlog

from weft.control.upkeep.janitor import Janitor
from weft.daemon.forwarding import Forwarding
from weft.errors import WeftError
from weft.observers.host.mended_settings import MendedSettings

log = structlog.get_logger()


class Sweeping:
    """One sweep at a time; looks in the meantime ask for one more."""

    def __init__(
        self, forwarding: Forwarding, janitor: Janitor, mended_settings: MendedSettings
    ) -> None:
        self._sink = forwarding.sink
        self._janitor = janitor
        self._mended_settings = mended_settings
        self._due = asyncio.Event()
        forwarding.engine.on_reconciled.append(self._on_reconciled)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._janitor.sweep()
            except WeftError as error:
                log.warning("sweep not finished", reason=str(error))

    def _on_reconciled(self) -> None:
        self._mended_settings.tell(self._sink.mended_settings)
        self._due.set()
