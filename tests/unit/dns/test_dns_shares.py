"""Nobody is kept waiting by who wants much."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.dns.shares import Shares, Turns

ASKERS = st.sampled_from(["a", "b", "c", "d"])


def fill(shares: Shares, asker: str) -> int:
    """Take all that the asker may; how many that is together."""
    while shares.may_take(asker):
        shares.take(asker)
    return shares.held(asker)


def test_one_takes_half_and_each_who_comes_gets_some() -> None:
    shares = Shares(100)
    assert fill(shares, "a") == 50
    assert fill(shares, "b") == 25
    assert fill(shares, "c") >= 12
    assert shares.free > 0


@given(st.integers(2, 40), st.integers(1, 400))
def test_those_who_want_all_get_the_same_in_the_end(askers: int, total: int) -> None:
    shares = Shares(total)
    wanting = [str(number) for number in range(askers)]
    for _ in range(total):  # each gives one back from time to time, and the lot is taken anew
        for asker in wanting:
            fill(shares, asker)
        greedy = shares.largest()
        assert greedy is not None
        shares.give_back(greedy)
    for asker in wanting:
        fill(shares, asker)
    held = [shares.held(asker) for asker in wanting]
    assert max(held) - min(held) <= 1
    assert sum(held) + shares.free == total


def test_no_one_takes_more_than_the_most() -> None:
    shares = Shares(100, most=4)
    assert fill(shares, "a") == 4


@given(st.lists(st.tuples(ASKERS, st.sampled_from(["take", "end", "cancel"])), max_size=80))
def test_turns_are_neither_lost_nor_given_twice(steps: list[tuple[str, str]]) -> None:
    total = 6

    async def play() -> None:
        turns = Turns(total)
        waiting: dict[str, list[asyncio.Task[None]]] = {}
        held: dict[str, int] = {}

        async def settle() -> None:
            for _ in range(4):
                await asyncio.sleep(0)
            for asker, tasks in waiting.items():
                for task in [task for task in tasks if task.done()]:
                    tasks.remove(task)
                    if not task.cancelled():
                        held[asker] = held.get(asker, 0) + 1

        for asker, step in steps:
            if step == "take":
                waiting.setdefault(asker, []).append(asyncio.create_task(turns.take(asker, 60)))
            elif step == "end" and held.get(asker):
                held[asker] -= 1
                turns.give_back(asker)
            elif step == "cancel" and waiting.get(asker):
                waiting[asker][0].cancel()
            if step != "end":  # an end and what follows it may come in the same moment
                await settle()
            assert sum(held.values()) <= total
        await settle()
        assert turns.waiting == sum(map(len, waiting.values()))
        while turns.waiting:  # whoever waits gets a turn while turns are given back
            asker = next(asker for asker in held if held[asker])
            held[asker] -= 1
            turns.give_back(asker)
            await settle()
        for asker, number in held.items():
            for _ in range(number):
                turns.give_back(asker)
        assert all(turns.try_take("new") for _ in range(total // 2))

    asyncio.run(play())


async def test_a_turn_goes_to_who_holds_the_fewest() -> None:
    turns = Turns(4)
    for asker in ("a", "a", "b", "c"):
        assert asker == "c" or turns.try_take(asker)
    came: list[str] = []

    async def wait(asker: str) -> None:
        await turns.take(asker, 60)
        came.append(asker)

    tasks = [asyncio.create_task(wait(asker)) for asker in ("a", "a", "b")]
    await asyncio.sleep(0)
    turns.give_back("b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert came == ["b"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_too_long_a_wait_ends_and_leaves_the_line() -> None:
    turns = Turns(2)
    assert turns.try_take("a")
    with pytest.raises(TimeoutError):
        await turns.take("a", 0.01)
    assert turns.waiting == 0
    turns.give_back("a")
    assert turns.try_take("a")
