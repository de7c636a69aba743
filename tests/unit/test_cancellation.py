from __future__ import annotations

import asyncio

import pytest

from weft.cancellation import raise_if_cancelled


async def failing(release: asyncio.Event) -> None:
    await release.wait()
    raise ValueError


async def loop_over_groups(release: asyncio.Event) -> None:
    while True:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(failing(release))
        except* ValueError:
            release.clear()
        raise_if_cancelled()


async def test_a_cancellation_beside_an_error_is_not_lost() -> None:
    release = asyncio.Event()
    task = asyncio.create_task(loop_over_groups(release))
    await asyncio.sleep(0)
    release.set()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task


async def test_who_is_not_cancelled_goes_on() -> None:
    raise_if_cancelled()
