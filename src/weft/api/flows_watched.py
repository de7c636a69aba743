"""Who follows connections: of this host by its collector's news, of others by asking again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator

import msgspec

from weft.api.context import Context
from weft.api.counters import unanswered_info
from weft.api.flow_infos import FlowWords, Wanted, joined
from weft.api.flows_changes import KEPT_S, Changes
from weft.api.flows_gathered import Whom, gather
from weft.api.schema import FlowInfo, FlowLine, UnansweredInfo
from weft.cluster.inquiry import UnansweredError
from weft.observers.flows.interface import Follower, News
from weft.observers.flows.scope import Scope, scope_of
from weft.observers.flows.seen import MOST, FlowsAsked, FlowSeen

BACK_S = 2.0
"""Answers reach back so much further than to when the last ones were asked for."""
SHARE = 0.1
"""Of the time, at most, hosts are being asked: to look takes them work."""
MOST_REST_S = 2.0
"""But rest is no longer than this, for it may be that one has not answered at all."""


class WatchedHere:
    """Connections of this host as they come and go. Implements `route.Lines`; whoever is too slow
    misses some, and goes on."""

    def __init__(self, context: Context, follower: Follower, asked: FlowsAsked) -> None:
        self._context = context
        self._follower = follower
        self._asked = asked

    @property
    def has_missed(self) -> bool:
        """Whether it takes none, though it has missed some."""
        return self._follower.is_behind

    async def lines(self) -> AsyncGenerator[FlowLine, None]:
        """See `route.Lines`."""
        async for news in self._follower.news():
            for line in self._lines_of(news):
                yield line

    def close(self) -> None:
        """See `route.Lines`."""
        self._follower.close()

    def _lines_of(self, news: News) -> Iterator[FlowLine]:
        scope = scope_of(self._context.control.view, self._asked.network_ids)
        words, wanted = FlowWords(self._context), Wanted(self._asked)
        host = self._context.control.host.id

        def told(flows: Iterable[FlowSeen]) -> Iterator[FlowInfo]:
            found = (flow for flow in flows if self._may_be_wanted(scope, flow))
            return filter(wanted.has, (words.info(host, flow) for flow in found))

        for info in told(news.begun):
            yield FlowLine(event="denied" if info.verdict == "denied" else "began", flow=info)
        for info in told(flow for flow in news.ended if flow.denied_by is None):
            yield FlowLine(event="ended", flow=info)
        if news.untold:
            yield FlowLine(event="missed", missed=news.untold)

    def _may_be_wanted(self, scope: Scope, flow: FlowSeen) -> bool:
        asked = self._asked
        if asked.is_denied is not None and asked.is_denied is (flow.denied_by is None):
            return False
        if not scope.has(flow.network_id, flow.source, flow.destination):
            return False
        return not asked.addresses or bool({flow.source, flow.destination} & {*asked.addresses})


class WatchedElsewhere:
    """Connections of another host, or of all. Implements `route.Lines`.

    Each look of this host at its own is the moment to ask the others.
    """

    def __init__(self, context: Context, follower: Follower, asked: FlowsAsked, whom: Whom) -> None:
        self._context = context
        self._follower = follower
        self._asked = asked
        self._whom = whom
        self._changes = Changes()
        self._silent: frozenset[str] = frozenset()
        """Ids of hosts that did not answer the last time."""

    @property
    def has_missed(self) -> bool:
        """See `route.Lines`."""
        return self._follower.is_behind

    async def lines(self) -> AsyncGenerator[FlowLine, None]:
        """See `route.Lines`."""
        whole_s = time.monotonic()
        rest_s = 0.0
        async for _ in self._follower.news():
            await asyncio.sleep(rest_s)
            began_s = time.monotonic()
            back_s = min(began_s - whole_s + BACK_S, KEPT_S)
            lines, is_whole = await self._round(back_s)
            if is_whole:
                whole_s = began_s
            rest_s = min((time.monotonic() - began_s) * (1 / SHARE - 1), MOST_REST_S)
            for line in lines:
                yield line

    def close(self) -> None:
        """See `route.Lines`."""
        self._follower.close()

    async def _round(self, back_s: float) -> tuple[list[FlowLine], bool]:
        """Ask once; whether all have answered."""
        now_s = time.time()
        asked = msgspec.structs.replace(self._asked, changed_s=back_s, most=MOST)
        unanswered: Iterable[UnansweredInfo]
        try:
            seen, unanswered, is_whole = await gather(self._context, self._whom, asked)
        except UnansweredError as error:
            silent = unanswered_info(self._context, self._whom.host, str(error))
            seen, unanswered, is_whole = [], [silent], False
        words, wanted = FlowWords(self._context), Wanted(asked)
        infos = joined(filter(wanted.has, (words.info(*each) for each in seen)))
        lines = [*self._unanswered_lines(unanswered)]
        lines += self._changes.lines(infos, now_s - back_s, now_s)
        return lines, is_whole

    def _unanswered_lines(self, unanswered: Iterable[UnansweredInfo]) -> Iterator[FlowLine]:
        """Once, until it answers again."""
        found = {each.host_id: each for each in unanswered}
        for host_id in sorted(found.keys() - self._silent):
            yield FlowLine(event="unanswered", unanswered=found[host_id])
        self._silent = frozenset(found)
