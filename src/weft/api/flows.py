"""Connections of ports that have rules, as this host, another one, or all hosts saw them."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.flow_infos import FlowWords, Wanted, joined
from weft.api.flows_gathered import gather, whom
from weft.api.flows_watched import WatchedElsewhere, WatchedHere
from weft.api.route import AnyRoute, Call, Lines, Route
from weft.api.schema import FlowLine, FlowList, FlowsQuery, FlowsWatchQuery, FlowTableInfo
from weft.cluster.inquiry import UnansweredError
from weft.errors import InvalidError, NotFoundError, UnavailableError
from weft.model.addresses import IPAddress
from weft.observers.flows.interface import Table
from weft.observers.flows.seen import FlowsAsked


async def list_flows(context: Context, call: Call[None, FlowsQuery]) -> FlowList:
    """Connections of this host, of another one, or of all hosts."""
    query = call.query
    hosts = whom(context, query.host, is_all=query.all)
    asked = _asked(context, query)
    gathered = await gather(context, hosts, asked)
    words, wanted = FlowWords(context), Wanted(asked)
    infos = (words.info(*each) for each in gathered.seen)
    return FlowList(
        flows=tuple(joined(filter(wanted.has, infos))),
        is_whole=gathered.is_whole,
        unanswered=tuple(gathered.unanswered),
        table=_table_info(context.flows.table),
    )


def _table_info(table: Table) -> FlowTableInfo:
    return FlowTableInfo(
        entries={f"ipv{family}": count for family, count in table.entries.items()},
        room={f"ipv{family}": count for family, count in table.room.items()},
        refused=table.refused,
        over_share=table.over_share,
    )


async def watch_flows(context: Context, call: Call[None, FlowsWatchQuery]) -> Lines:
    """Connections of this host, of another one, or of all, as they come and go."""
    query = call.query
    hosts = whom(context, query.host, is_all=query.all)
    asked = _asked(
        context, FlowsQuery(port=query.port, network=query.network, verdict=query.verdict)
    )
    follower = context.flows.follow()
    if hosts == whom(context, None, is_all=False):
        return WatchedHere(context, follower, asked)
    return WatchedElsewhere(context, follower, asked, hosts)


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
        summary="Connections as lines of JSON, as they come and go",
        query=FlowsWatchQuery,
        answer=FlowLine,
        is_lines=True,
        errors=(InvalidError, NotFoundError, UnavailableError),
    ),
)
