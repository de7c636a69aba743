"""A record of this host is refreshed when it was told of a change, and outlives what fails."""

from __future__ import annotations

import asyncio
import contextlib

from structlog.testing import capture_logs

from weft.observers.host.own_record import OwnRecord


class Counted(OwnRecord):
    """Counts its refreshes, the first of which fails."""

    def __init__(self) -> None:
        super().__init__("not told")
        self.count = 0
        self.may_end = asyncio.Event()
        self.begun = asyncio.Event()

    async def refresh(self) -> None:
        self.count += 1
        self.begun.set()
        await self.may_end.wait()
        if self.count == 1:
            raise OSError("no route")


async def test_changes_during_a_refresh_are_one_more_refresh_also_when_it_fails() -> None:
    record = Counted()
    task = asyncio.create_task(record.run())
    with capture_logs() as lines:
        record.look_again()
        await record.begun.wait()
        record.begun.clear()
        record.look_again()
        record.look_again()
        record.may_end.set()
        async with asyncio.timeout(5):
            await record.begun.wait()
        for _ in range(5):
            await asyncio.sleep(0)
    assert record.count == 2
    assert [(line["event"], line["reason"]) for line in lines] == [("not told", "no route")]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
