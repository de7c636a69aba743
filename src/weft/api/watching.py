"""`GET /v1/watch`: records of chosen kinds as lines of JSON, those that are there and then each
that changes.

What waits for a watcher is bounded: of a record that changes several times before it is taken, the
last state alone is told, and a watcher that falls behind all the same is told that it has missed
something, and ends. So is what is remembered for one that comes back.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from weft.api.context import Context
from weft.api.route import AnyRoute, Call, Route
from weft.api.schema import WatchLine, WatchQuery
from weft.errors import InvalidError, UnavailableError
from weft.model import codec
from weft.model.records import KINDS, Record
from weft.store.interface import Changed, Key, Listener, View

REMEMBERED = 1024
"""Changes, for watchers that come back."""
WAITING = 16384
"""Records whose change waits for a watcher to take it: many more than come in one message."""
MOST_WATCHERS = 64
_KINDS = {kind.KIND: kind for kind in KINDS}


class News(NamedTuple):
    """A record that changed."""

    number: int
    key: Key
    record: Record | None
    """None: it went."""


class Feed:
    """What has changed since this weftd began, numbered, and whoever watches it."""

    def __init__(
        self, view: View, watch: Callable[[Listener], Callable[[], None]], instance: str
    ) -> None:
        """instance: names this run of weftd, for the numbers are its own."""
        self.number = 0
        """Of the last change."""
        self._view = view
        self._instance = instance
        self._past: deque[News] = deque(maxlen=REMEMBERED)
        self._watchers: set[Watcher] = set()
        watch(self._hear)

    def watch(self, kinds: Sequence[str], since: str | None) -> Watcher:
        """A watcher, from this moment on; to be closed. InvalidError: there is no such kind."""
        chosen = [_kind(name) for name in kinds] or KINDS
        if len(self._watchers) >= MOST_WATCHERS:
            raise UnavailableError(f"watch: {MOST_WATCHERS} watch already; end one of them")
        watcher = Watcher(self, chosen)
        if since is None:
            watcher.begin(self._view)
        else:
            watcher.go_on(self._after(since))
        self._watchers.add(watcher)
        return watcher

    def revision(self, number: int) -> str:
        """How a number is told."""
        return f"{self._instance}.{number}"

    def end(self) -> None:
        """weftd stops: all watchers end."""
        for watcher in tuple(self._watchers):
            watcher.close()

    def leave(self, watcher: Watcher) -> None:
        """It watches no more."""
        self._watchers.discard(watcher)

    def _after(self, revision: str) -> Sequence[News] | None:
        """What changed after a revision; None: that is not remembered."""
        text = revision.removeprefix(f"{self._instance}.")
        if not re.fullmatch("[0-9]{1,18}", text):
            return None
        number = int(text)
        oldest = self._past[0].number if self._past else self.number + 1
        if not oldest - 1 <= number <= self.number:
            return None
        return [news for news in self._past if news.number > number]

    def _hear(self, changes: Sequence[Changed]) -> None:
        for change in changes:
            self.number += 1
            news = News(self.number, change.key, change.new)
            self._past.append(news)
            for watcher in self._watchers:
                watcher.put(news)


class Watcher:
    """One who watches. Implements `route.Lines`."""

    def __init__(self, feed: Feed, kinds: Sequence[type[Record]]) -> None:
        self._feed = feed
        self._kinds = kinds
        self._there: deque[Record] = deque()
        """What was there at the beginning and has not been told yet."""
        self._began_at: int | None = None
        self._waiting: dict[Key, News] = {}
        self._has_missed = False
        self._is_closed = False
        self._arrived = asyncio.Event()

    def begin(self, view: View) -> None:
        """With all that is there."""
        self._there.extend(record for kind in self._kinds for record in view.list(kind))
        self._began_at = self._feed.number

    def go_on(self, news: Iterable[News] | None) -> None:
        """With what changed; None: it is not known any more."""
        if news is None:
            self._miss()
        for one in news or ():
            self.put(one)

    def put(self, news: News) -> None:
        """Something changed."""
        if news.key[0] not in self._kinds or self._has_missed:
            return
        self._waiting.pop(news.key, None)
        if len(self._waiting) >= WAITING:
            self._miss()
            return
        self._waiting[news.key] = news
        self._arrived.set()

    def close(self) -> None:
        """There will be no more lines."""
        self._is_closed = True
        self._feed.leave(self)
        self._arrived.set()

    @property
    def has_missed(self) -> bool:
        """Whether its last line tells so."""
        return self._has_missed

    async def lines(self) -> AsyncGenerator[WatchLine, None]:
        """All lines, until it is closed or has missed something."""
        while self._there and not self._is_closed:
            yield _put(self._there.popleft(), "")
        if self._began_at is not None and not self._is_closed:
            yield WatchLine(event="all", revision=self._feed.revision(self._began_at))
        while not self._is_closed and not self._has_missed:
            if self._waiting:
                yield self._line(self._waiting.pop(next(iter(self._waiting))))
            else:
                self._arrived.clear()
                await self._arrived.wait()
        if self._has_missed:
            yield WatchLine(event="missed", revision="")

    def _line(self, news: News) -> WatchLine:
        revision = self._feed.revision(news.number)
        if news.record is not None:
            return _put(news.record, revision)
        kind, id = news.key
        return WatchLine(event="removed", revision=revision, kind=kind.KIND, id=id)

    def _miss(self) -> None:
        self._has_missed = True
        self._waiting.clear()
        self._there.clear()
        self._began_at = None
        self._arrived.set()


def _put(record: Record, revision: str) -> WatchLine:
    raw = msgspec.Raw(codec.encode(record))
    return WatchLine(event="put", revision=revision, kind=record.KIND, id=record.id, record=raw)


def _kind(name: str) -> type[Record]:
    kind = _KINDS.get(name)
    if kind is None:
        raise InvalidError(f"watch: kind {name!r}: there is none; known are {', '.join(_KINDS)}")
    return kind


async def watch(context: Context, call: Call[None, WatchQuery]) -> Watcher:
    """All records of the kinds, or what changed since a revision, and then each that changes."""
    return context.feed.watch(call.query.kind, call.query.since)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/v1/watch",
        handler=watch,
        summary="Records as lines of JSON, as they come, change and go",
        query=WatchQuery,
        answer=WatchLine,
        is_lines=True,
        errors=(InvalidError, UnavailableError),
    ),
)
