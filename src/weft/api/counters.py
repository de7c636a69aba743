"""What was counted on the packet path, on this host and, asked for it, on the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import msgspec

from weft.api.context import Context
from weft.api.render import network_name, port_info, problems_by_record
from weft.api.route import AnyRoute, Call, Route, plain
from weft.api.schema import (
    CountersInfo,
    CountersList,
    CountersQuery,
    Empty,
    PortDetail,
    UnansweredInfo,
)
from weft.cluster.inquiry import UnansweredError
from weft.control.answers.port_states import (
    PORT_STATES,
    PortsAsked,
    PortState,
    Tally,
    port_state,
)
from weft.control.references import host_name
from weft.engine.wire_drops import wire_drops
from weft.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from weft.model.ids import HostId
from weft.model.records import Port

_MORE = "it has more ports than are taken"


async def list_counters(context: Context, call: Call[None, CountersQuery]) -> CountersList:
    """Counters of all plugged ports of this host, or of all hosts."""
    counters = await context.engine.counters()
    states = [port_state(port, counters, ()) for port in _ports_of(context, _here(context))]
    infos = list(_counters_infos(context, _here(context), states))
    unanswered: list[UnansweredInfo] = []
    if call.query.all:
        await _ask_the_others(context, infos, unanswered)
    return CountersList(
        counters=tuple(sorted(infos, key=lambda info: (info.network, info.names, info.port_id))),
        wire_drops=wire_drops(counters),
        unanswered=tuple(sorted(unanswered, key=lambda one: (one.host, one.host_id))),
    )


async def inspect_port(context: Context, call: Call[None, Empty]) -> PortDetail:
    """One port, with what its own host has counted and could not put in force."""
    port = context.control.ports.find(call.path["port"])
    state, unanswered = None, None
    try:
        state = await state_of(context, port)
    except UnansweredError as error:
        assert port.host_id is not None
        unanswered = unanswered_info(context, port.host_id, str(error))
    detail = msgspec.structs.asdict(port_info(context, port))
    detail["problems"] = state.problems if state is not None else ()
    tally = state.tally if state is not None else None
    return PortDetail(
        **detail,
        counters=None if tally is None else _counters_info(context, port, tally),
        unanswered=unanswered,
    )


async def state_of(context: Context, port: Port) -> PortState | None:
    """How a port fares, in the words of its own host. None: it is on no host, or that host does not
    know it (yet, or any more). UnansweredError: the host does not tell."""
    if port.host_id is None:
        return None
    if port.host_id == _here(context):
        problems = problems_by_record(context).get((Port.KIND, port.id), ())
        return port_state(port, await context.engine.counters(), problems)
    answer = await context.others.ask(port.host_id, PORT_STATES, PortsAsked((port.id,)))
    return next((state for state in answer.items if state.port_id == port.id), None)


async def _ask_the_others(
    context: Context, infos: list[CountersInfo], unanswered: list[UnansweredInfo]
) -> None:
    asking = context.others.ask_all(PORT_STATES, PortsAsked())
    async with contextlib.aclosing(asking) as replies:
        async for host, answer, error in replies:
            if answer is None:
                unanswered.append(unanswered_info(context, host, str(error)))
                continue
            infos += _counters_infos(context, host, answer.items)
            if not answer.is_whole:
                unanswered.append(unanswered_info(context, host, _MORE))


def _counters_infos(
    context: Context, host: HostId, states: Sequence[PortState]
) -> Iterator[CountersInfo]:
    """Of ports that are on this host, as the records say too: nobody counts for others."""
    ports: dict[str, Port] = {port.id: port for port in _ports_of(context, host)}
    for state in states:
        port = ports.pop(state.port_id, None)
        if port is not None and state.tally is not None:
            yield _counters_info(context, port, state.tally)


def _counters_info(context: Context, port: Port, tally: Tally) -> CountersInfo:
    return CountersInfo(
        port_id=port.id,
        network=network_name(context, port.network_id),
        names=port.names,
        rx_packets=tally.rx_packets,
        rx_bytes=tally.rx_bytes,
        tx_packets=tally.tx_packets,
        tx_bytes=tally.tx_bytes,
        drops=dict(tally.drops),
        host=host_name(context.control.view, port.host_id) if port.host_id is not None else "",
    )


def unanswered_info(context: Context, host: HostId, reason: str) -> UnansweredInfo:
    """A host that has not told all."""
    return UnansweredInfo(host=host_name(context.control.view, host), host_id=host, reason=reason)


def _ports_of(context: Context, host: HostId) -> Sequence[Port]:
    return tuple(context.control.view.by(Port, "host_id", host))


def _here(context: Context) -> HostId:
    return context.control.host.id


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/v1/counters",
        handler=list_counters,
        summary="Packets, bytes and drops of the ports of this host, or of all hosts",
        query=CountersQuery,
        answer=CountersList,
        errors=(InvalidError, UnavailableError),
    ),
    plain(
        "GET",
        "/v1/ports/{port}/detail",
        inspect_port,
        "One port, with what its own host knows of it",
        PortDetail,
        (NotFoundError, ConflictError),
    ),
)
