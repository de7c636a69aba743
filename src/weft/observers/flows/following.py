"""Who follows the connections. A follower who is slow holds up nobody: it misses some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from weft.errors import UnavailableError
from weft.observers.flows.interface import News

MOST_FOLLOWERS = 16
WAITING = 16384
"""Connections that wait for one follower to take them."""


class Followers:
    """All who follow."""

    def __init__(self) -> None:
        self._all: set[FollowedFlows] = set()

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self) -> FollowedFlows:
        """One more. UnavailableError: there are as many as may be."""
        if len(self._all) >= MOST_FOLLOWERS:
            raise UnavailableError(f"flows: {MOST_FOLLOWERS} follow them already; end one of them")
        follower = FollowedFlows(self._all)
        self._all.add(follower)
        return follower

    def tell(self, news: News) -> None:
        """Of a sweep."""
        for follower in self._all:
            follower.put(news)

    def end(self) -> None:
        """weftd stops."""
        for follower in tuple(self._all):
            follower.close()


class FollowedFlows:
    """One who follows. Implements `interface.Follower`."""

    def __init__(self, all_of_them: set[FollowedFlows]) -> None:
        self._all = all_of_them
        self._waiting = News([], [], 0)
        self._arrived = asyncio.Event()
        self._is_closed = False
        self._is_behind = False

    @property
    def is_behind(self) -> bool:
        """See `interface.Follower`."""
        return self._is_behind

    def put(self, news: News) -> None:
        """Later it is taken. What does not fit is counted alone."""
        before = self._waiting
        room = max(0, WAITING - len(before.begun) - len(before.ended))
        begun = news.begun[:room]
        ended = news.ended[: room - len(begun)]
        lost = len(news.begun) + len(news.ended) - len(begun) - len(ended)
        self._waiting = News(
            before.begun + begun, before.ended + ended, before.untold + news.untold + lost
        )
        self._is_behind = self._is_behind or lost > 0
        self._arrived.set()

    async def news(self) -> AsyncGenerator[News, None]:
        """See `interface.Follower`."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._is_closed:
                return
            self._is_behind = False
            news, self._waiting = self._waiting, News([], [], 0)
            yield news

    def close(self) -> None:
        """See `interface.Follower`."""
        self._is_closed = True
        self._all.discard(self)
        self._arrived.set()
