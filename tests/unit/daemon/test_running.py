"""Parts of weftd: prepared, started and ended in the order of their table."""

from __future__ import annotations

import asyncio

import pytest

from weft.daemon import running
from weft.daemon.running import Part, Run, run_until


class Weftd:
    """Parts that write down what happens to them."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.stop = asyncio.Event()

    def run(self, name: str) -> Run:
        async def run() -> None:
            self.said.append(f"{name} starts")
            try:
                await asyncio.Event().wait()
            finally:
                self.said.append(f"{name} ends")

        return run

    async def stopped_after(self, *parts: Part, turns: int = 10) -> list[str]:
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            tasks.create_task(run_until(self.stop, parts))
            for _ in range(turns):
                await asyncio.sleep(0)
            self.stop.set()
        return self.said


async def test_parts_are_prepared_before_any_starts_and_end_in_the_order_of_the_table() -> None:
    weftd = Weftd()

    async def prepare() -> None:
        weftd.said.append("b prepared")

    parts = [Part("a", weftd.run("a")), Part("b", weftd.run("b"), prepare=prepare)]
    assert await weftd.stopped_after(*parts) == [
        "b prepared",
        "a starts",
        "b starts",
        "a ends",
        "b ends",
    ]


async def test_a_part_waits_for_those_that_it_needs() -> None:
    weftd = Weftd()
    ready = asyncio.Event()

    async def become_ready() -> None:
        weftd.said.append("a is ready")
        ready.set()

    parts = [
        Part("b", weftd.run("b"), needs=["a"]),
        Part("a", become_ready, ready=ready),
    ]
    assert await weftd.stopped_after(*parts) == ["a is ready", "b starts", "b ends"]


async def test_a_part_that_waits_is_ended_all_the_same() -> None:
    weftd = Weftd()
    parts = [
        Part("a", weftd.run("a"), ready=asyncio.Event()),
        Part("b", weftd.run("b"), needs=["a"]),
    ]
    assert await weftd.stopped_after(*parts) == ["a starts", "a ends"]


async def test_a_part_that_others_cannot_do_without_ends_them_and_is_raised() -> None:
    weftd = Weftd()

    async def fail() -> None:
        raise OSError("no sockets left")

    parts = [Part("a", weftd.run("a")), Part("b", fail, is_kept=False)]
    with pytest.raises(ExceptionGroup) as raised:
        await weftd.stopped_after(*parts)
    assert raised.group_contains(OSError, match="no sockets left")
    assert weftd.said == ["a starts", "a ends"]


async def test_a_kept_part_that_fails_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "RESTART_S", 0.0)
    weftd = Weftd()
    failed = 0

    async def fail_twice() -> None:
        nonlocal failed
        failed += 1
        if failed < 3:
            raise OSError("not now")

    parts = [Part("a", weftd.run("a")), Part("b", fail_twice)]
    assert await weftd.stopped_after(*parts, turns=50) == ["a starts", "a ends"]
    assert failed == 3
