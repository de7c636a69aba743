"""Connections of ports that have rules, as this host, another one, or all hosts saw them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

from weft.api.context import Context
from weft.api.counters import unanswered_info
from weft.api.flow_infos import FlowWords, joined
from weft.api.route import AnyRoute, Call, Route
from weft.api.schema import (
    FlowInfo,
    FlowLine,
    FlowList,
    FlowsQuery,
    FlowsWatchQuery,
    FlowTableInfo,
    UnansweredInfo,
)
from weft.cluster.inquiry import UnansweredError
from weft.control.references import find_host
from weft.errors import InvalidError, NotFoundError, UnavailableError
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.observers.flows.interface import Follower, News, Table
from weft.observers.flows.scope import Scope, scope_of
from weft.observers.flows.seen import FLOWS, FlowsAsked, FlowSeen

_MORE = "it has more connections than are taken"


async def list_flows(context: Context, call: Call[None, FlowsQuery]) -> FlowList:
    """Connections of this host, of another one, or of all hosts."""
    query = call.query
    if query.all and query.host is not None:
        raise InvalidError("flows: of one host or of all, not both")
    asked = _asked(context, query)
    here = context.control.host.id
    host = find_host(context.control.view, query.host).id if query.host is not None else here
    seen: list[tuple[HostId, FlowSeen]] = []
    unanswered: list[UnansweredInfo] = []
    is_whole = True
    if host == here:
        told = await context.flows.told(asked)
        seen += ((here, flow) for flow in told.flows)
        is_whole = told.is_whole
    else:
        answer = await context.others.ask(host, FLOWS, asked)
        seen += ((host, flow) for flow in answer.items)
        is_whole = answer.is_whole
    if query.all:
        async with contextlib.aclosing(context.others.ask_all(FLOWS, asked)) as replies:
            async for other, reply, error in replies:
                if reply is None:
                    unanswered.append(unanswered_info(context, other, str(error)))
                    continue
                seen += ((other, flow) for flow in reply.items)
                if not reply.is_whole:
                    unanswered.append(unanswered_info(context, other, _MORE))
    words, wanted = FlowWords(context), _wanted(asked)
    return FlowList(
        flows=tuple(joined(filter(wanted, (words.info(*each) for each in seen)))),
        is_whole=is_whole and not unanswered,
        unanswered=tuple(sorted(unanswered, key=lambda one: (one.host, one.host_id))),
        table=_table_info(context.flows.table),
    )


def _table_info(table: Table) -> FlowTableInfo:
    return FlowTableInfo(
        entries={f"ipv{family}": count for family, count in table.entries.items()},
        room={f"ipv{family}": count for family, count in table.room.items()},
        refused=table.refused,
        over_share=table.over_share,
    )


async def watch_flows(context: Context, call: Call[None, FlowsWatchQuery]) -> WatchedFlows:
    """Connections of this host as they come and go."""
    query = call.query
    asked = _asked(context, FlowsQuery(port=query.port, network=query.network))
    return WatchedFlows(context, context.flows.follow(), asked, query.verdict)


class WatchedFlows:
    """One who watches. Implements `route.Lines`; it misses what it is too slow for, and goes on."""

    def __init__(
        self, context: Context, follower: Follower, asked: FlowsAsked, verdict: str | None
    ) -> None:
        self._context = context
        self._follower = follower
        self._asked = asked
        self._verdict = verdict

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
        words, wanted = FlowWords(self._context), _wanted(self._asked)
        host = self._context.control.host.id

        def told(flows: Iterable[FlowSeen]) -> Iterator[FlowInfo]:
            found = (flow for flow in flows if self._may_be_wanted(scope, flow))
            return filter(wanted, (words.info(host, flow) for flow in found))

        for info in told(news.begun):
            yield FlowLine(event="denied" if info.verdict == "denied" else "began", flow=info)
        for info in told(flow for flow in news.ended if flow.denied_by is None):
            yield FlowLine(event="ended", flow=info)
        if news.untold:
            yield FlowLine(event="missed", missed=news.untold)

    def _may_be_wanted(self, scope: Scope, flow: FlowSeen) -> bool:
        asked = self._asked
        if self._verdict is not None and (self._verdict == "denied") is (flow.denied_by is None):
            return False
        if not scope.has(flow.network_id, flow.source, flow.destination):
            return False
        return not asked.addresses or bool({flow.source, flow.destination} & {*asked.addresses})


def _wanted(asked: FlowsAsked) -> Callable[[FlowInfo], bool]:
    """Which of those are wanted that a host has told: it knows addresses, and where a router leads
    one of them may be on another network than the one that is asked for."""
    addresses = {str(address) for address in asked.addresses}

    def is_wanted(info: FlowInfo) -> bool:
        if not asked.network_ids or (info.network_id in asked.network_ids and not addresses):
            return True
        return any(
            (end.network_id or info.network_id) in asked.network_ids
            and (not addresses or end.address in addresses)
            for end in (info.source, info.destination)
        )

    return is_wanted


def _asked(context: Context, query: FlowsQuery) -> FlowsAsked:
    networks: set[str] = set()
    addresses: tuple[IPAddress, ...] = ()
    if query.network is not None:
        networks.add(context.control.networks.find(query.network).id)
    if query.port is not None:
        port = context.control.ports.find(query.port)
        if networks and port.network_id not in networks:
            raise InvalidError(f"flows: port {query.port} is not on network {query.network}")
        networks.add(port.network_id)
        addresses = port.addresses
        if not addresses:
            raise InvalidError(f"flows: port {query.port} has no address, so no connections")
    return FlowsAsked(
        network_ids=tuple(networks),
        addresses=addresses,
        is_denied=None if query.verdict is None else query.verdict == "denied",
        since_s=query.since_s,
        most=query.most,
    )


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/v1/flows",
        handler=list_flows,
        summary="Connections of ports that have rules",
        query=FlowsQuery,
        answer=FlowList,
        errors=(InvalidError, NotFoundError, UnansweredError),
    ),
    Route(
        method="GET",
        path="/v1/flows/watch",
        handler=watch_flows,
        summary="Connections of this host as lines of JSON, as they come and go",
        query=FlowsWatchQuery,
        answer=FlowLine,
        is_lines=True,
        errors=(InvalidError, NotFoundError, UnavailableError),
    ),
)
