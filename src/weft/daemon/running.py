"""Runs parts: each when those that it needs are ready, again when it fails, until weftd stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import NamedTuple

import structlog

from weft.cancellation import raise_if_cancelled

log = structlog.get_logger()

RESTART_S = 1.0
"""Before a part that failed starts again."""

Run = Callable[[], Coroutine[None, None, None]]


class Part(NamedTuple):
    """A part of weftd that runs as long as weftd does."""

    name: str
    run: Run
    """Until cancelled. A part that returns has done all that it had to."""
    needs: Sequence[str] = ()
    """Names of the parts that must be ready before this one runs."""
    is_kept: bool = True
    """A part that fails starts again, for the others can do without it. A part that is not kept
    ends weftd."""
    ready: asyncio.Event | None = None
    """Set by the part when the parts that need it may run. None: no part needs it."""
    prepare: Callable[[], Awaitable[None]] | None = None
    """Awaited before any part runs."""


async def run_until(stop: asyncio.Event, parts: Sequence[Part]) -> None:
    """Prepare, start and end parts in the order of `parts`.

    A part that is not kept and fails ends the others, and its error is raised.
    """
    ready = {part.name: part.ready for part in parts if part.ready is not None}
    for part in parts:
        if part.prepare is not None:
            await part.prepare()
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(_run(part, [ready[name] for name in part.needs]), name=part.name)
            for part in parts
        ]
        await stop.wait()
        log.info("weftd stops; what forwards goes on")
        for task in running:
            task.cancel()


async def _run(part: Part, needed: Sequence[asyncio.Event]) -> None:
    for event in needed:
        await event.wait()
    await (kept(part.name, part.run) if part.is_kept else part.run())


async def kept(name: str, run: Run) -> None:
    """Run a part that the others can do without; a fault in it is logged and it starts again."""
    while True:
        try:
            # In a task of its own: Python before 3.12.8 leaves one whose TaskGroup failed behind
            # as if somebody had asked it to end.
            return await asyncio.create_task(run(), name=name)
        except Exception:
            log.exception("fault in weftd, this part starts again", part=name)
            raise_if_cancelled()
            await asyncio.sleep(RESTART_S)
