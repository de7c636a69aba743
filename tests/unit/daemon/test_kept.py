"""A part of weftd that fails starts again, whatever it is made of."""

from __future__ import annotations

import asyncio

import pytest

from weft.daemon import running


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "RESTART_S", 0.0)


async def test_a_part_whose_inner_task_fails_starts_again() -> None:
    starts = 0

    async def child() -> None:
        await asyncio.sleep(0)
        if starts < 3:
            raise ValueError("a fault")

    async def part() -> None:
        nonlocal starts
        starts += 1
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child())

    async with asyncio.timeout(5):
        await running.kept("part", part)
    assert starts == 3


async def test_a_part_ends_when_it_is_told_to() -> None:
    has_begun, has_ended = asyncio.Event(), asyncio.Event()

    async def part() -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            has_ended.set()

    task = asyncio.ensure_future(running.kept("part", part))
    async with asyncio.timeout(5):
        await has_begun.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert has_ended.is_set()
