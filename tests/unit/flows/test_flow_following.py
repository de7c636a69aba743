"""Whoever follows hears what comes and goes, and who is slow misses some and holds up nobody."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tests.unit.flows.test_flow_history import FLOW
from weft.errors import UnavailableError
from weft.observers.flows import following
from weft.observers.flows.following import FollowedFlows, Followers
from weft.observers.flows.interface import News
from weft.observers.flows.pace import CROWDED_SHARE, FOLLOWED_S, IDLE_S, SHARE, rest_s

BEGUN = replace(FLOW, ended_s=None)


async def next_of(follower: FollowedFlows) -> News:
    async with asyncio.timeout(5):
        async for news in follower.news():
            return news
    raise AssertionError("it has ended")


def test_all_followers_hear_of_a_sweep() -> None:
    async def follow() -> None:
        followers = Followers()
        assert not followers
        one, other = followers.add(), followers.add()
        followers.tell(News([BEGUN], [FLOW], 2))
        for each in (one, other):
            assert await next_of(each) == News([BEGUN], [FLOW], 2)
        one.close()
        other.close()
        assert not followers

    asyncio.run(follow())


def test_what_is_not_taken_waits_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "WAITING", 5)

    async def follow() -> None:
        followers = Followers()
        follower = followers.add()
        followers.tell(News([BEGUN] * 2, [FLOW] * 2, 0))
        assert not follower.is_behind
        followers.tell(News([BEGUN] * 2, [FLOW] * 2, 1))
        assert follower.is_behind
        news = await next_of(follower)
        assert (len(news.begun), len(news.ended), news.untold) == (3, 2, 4)
        assert not follower.is_behind
        followers.tell(News([BEGUN], [], 0))
        assert await next_of(follower) == News([BEGUN], [], 0)

    asyncio.run(follow())


def test_not_all_the_world_may_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST_FOLLOWERS", 2)
    followers = Followers()
    followers.add()
    one = followers.add()
    with pytest.raises(UnavailableError, match="2 follow them already"):
        followers.add()
    one.close()
    followers.add()


def test_followers_end_with_weftd() -> None:
    async def follow() -> None:
        followers = Followers()
        follower = followers.add()
        followers.end()
        assert [news async for news in follower.news()] == []

    asyncio.run(follow())


def test_sweeping_takes_no_more_than_its_share() -> None:
    assert rest_s(0.0, is_followed=False, is_crowded=False) == IDLE_S
    assert rest_s(0.0, is_followed=True, is_crowded=False) == FOLLOWED_S
    for cost_s in (0.1, 1.0, 10.0):
        for is_crowded, share in ((False, SHARE), (True, CROWDED_SHARE)):
            rest = rest_s(cost_s, is_followed=True, is_crowded=is_crowded)
            assert cost_s / (cost_s + rest) <= share + 1e-9
