"""What becomes of a packet, by the programs of the hosts that it passes."""

from __future__ import annotations

from collections.abc import Sequence

from weft.api.context import Context
from weft.api.counters import unanswered_info
from weft.api.policy import check_flow, end_info, packet_of
from weft.api.route import AnyRoute, Call, Route
from weft.api.schema.traces import TraceInfo, TraceLeg, TraceQuery, TraceStage
from weft.cluster.inquiry import UnansweredError
from weft.control.answers.policy_ends import Ends, ends_meant
from weft.control.references import host_name, port_label
from weft.errors import ConflictError, InvalidError, KernelError, NotFoundError, UnavailableError
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import Port
from weft.model.records.security import WITH_PORTS, WITH_TYPES
from weft.observers.traces.following import ARRIVED_ENDS, Following, Leg, Trace
from weft.observers.traces.seen import TRACES, Asked, End, Move, Moved, Moving, Packet
from weft.printable import printable

SOURCE_PORT = 50_000
"""Of a packet, where none is asked for; and the identifier of a ping."""
WAIT_S = 15.0
"""For another host: it may have to load its programs first."""
_ENDS = {
    End.DROPPED: "is dropped",
    End.REJECTED: "is rejected",
    End.UNSENT: "is not sent",
}


async def trace(context: Context, call: Call[None, TraceQuery]) -> TraceInfo:
    """Each host on the way has its programs rehearse the packet."""
    asked, view = call.query, context.control.view
    check_flow(asked)
    meant = ends_meant(view, asked.source, asked.destination, asked.family)
    _check_ends(asked, meant)
    chosen = packet_of(asked, meant.source.address.version)
    has_ports, has_types = chosen.protocol in WITH_PORTS, chosen.protocol in WITH_TYPES
    packet = Packet(
        protocol=chosen.protocol,
        source=meant.source.address,
        destination=meant.destination.address,
        source_port=(chosen.source_port or SOURCE_PORT) if has_ports or has_types else 0,
        destination_port=chosen.destination_port,
        icmp_type=chosen.icmp_type or 0,
        icmp_code=chosen.icmp_code or 0,
    )
    host_id, first = _beginning(meant, packet)

    async def told(host: HostId, moves: Asked) -> Sequence[Moved]:
        if host == context.control.host.id:
            return await context.traces.told(moves)
        return (await context.others.ask(host, TRACES, moves, wait_s=WAIT_S)).items

    found = await Following(view, told).follow(host_id, first, is_one_way=asked.one_way)
    obstacle, fix = _obstacle(context, meant, found)
    silence = found.silence
    return TraceInfo(
        source=end_info(view, meant.source),
        destination=end_info(view, meant.destination),
        protocol=packet.protocol,
        port=packet.destination_port if has_ports else None,
        source_port=packet.source_port if has_ports else None,
        icmp_type=packet.icmp_type if has_types else None,
        icmp_code=packet.icmp_code if has_types else None,
        legs=tuple(_leg(context, leg) for leg in found.legs),
        verdict=found.end.value if found.end is not None else "unknown",
        answer=found.answer_end.value if found.answer_end is not None else None,
        is_through=found.is_through and not obstacle,
        obstacle=printable(obstacle),
        fix=printable(fix),
        unanswered=None
        if silence is None or silence.host_id is None
        else unanswered_info(context, silence.host_id, printable(silence.reason)),
    )


def _check_ends(asked: TraceQuery, meant: Ends) -> None:
    source, destination = meant
    if source.port is None and source.network_id is not None:
        raise InvalidError(
            f"{source.address}: no port has this address, so nobody would send; trace from a port, "
            "or from an address outside of all networks"
        )
    own = source.port.addresses if source.port is not None else ()
    if destination.address in own and destination.port in (None, source.port):
        raise InvalidError(f"{asked.source} and {asked.destination}: are one port; say two")
    if not _is_unicast(destination.address) or not _is_unicast(source.address):
        raise InvalidError("a trace follows one packet, to one receiver: say a unicast address")


def _is_unicast(address: IPAddress) -> bool:
    is_broadcast = address.version == 4 and int(address) == 2**32 - 1
    is_local = address.is_loopback or address.is_link_local or address.is_unspecified
    return not (address.is_multicast or is_broadcast or is_local)


def _beginning(meant: Ends, packet: Packet) -> tuple[HostId, Moving]:
    """The host where the packet begins its way, and how. From outside it comes by the host of the
    port that it is for."""
    sender, receiver = meant.source.port, meant.destination.port
    port = sender if sender is not None else receiver
    assert port is not None
    if port.host_id is None:
        raise NotFoundError(f"port {port.id}: is on no host yet")
    if sender is None or sender.is_host:
        return port.host_id, Moving(Move.ENTERED, packet=packet)
    return port.host_id, Moving(Move.SENT, port_id=sender.id, packet=packet)


def _obstacle(context: Context, meant: Ends, found: Trace) -> tuple[str, str]:
    """Why the packet does not get there, or its answer not back, and what to do."""
    if found.silence is not None:
        return _silence(context, found)
    for is_answer in (False, True):
        last = next((leg for leg in reversed(found.legs) if leg.is_answer is is_answer), None)
        if last is None:
            continue
        what = "its answer" if is_answer else "the packet"
        moved, host = last.moved, host_name(context.control.view, last.host_id)
        if moved.end not in ARRIVED_ENDS:
            why = f" ({moved.reason.replace('_', ' ')})" if moved.reason else ""
            return f"{what} {_ENDS.get(moved.end, 'ends')} on host {host}{why}", moved.fix
        wanted = meant.source if is_answer else meant.destination
        port = context.control.view.get(Port, moved.port_id or "")
        if moved.end is not End.DELIVERED or wanted.port is None or port == wanted.port:
            continue
        who = port_label(context.control.view, port) if port is not None else "another port"
        if port is not None and wanted.address in port.addresses:
            return f"{what} goes to {who}, which has {wanted.address} there", ""
        return f"{what} goes to {who}, a next hop, which must send it on", ""
    return "", ""


def _silence(context: Context, found: Trace) -> tuple[str, str]:
    assert found.silence is not None
    host_id, reason = found.silence
    what = "its answer" if any(leg.is_answer for leg in found.legs) else "the packet"
    if host_id is None:
        return f"{what} is lost: {reason}", "see weft status hosts"
    host = host_name(context.control.view, host_id)
    return f"what becomes of {what} on host {host} is not known: {reason}", ""


def _leg(context: Context, leg: Leg) -> TraceLeg:
    return TraceLeg(
        host=host_name(context.control.view, leg.host_id),
        host_id=leg.host_id,
        is_answer=leg.is_answer,
        end=leg.moved.end.value,
        reason=leg.moved.reason,
        stages=tuple(
            TraceStage(
                stage=each.stage,
                decision=printable(each.decision),
                kind=each.kind or None,
                id=each.id or None,
            )
            for each in leg.moved.stages
        ),
    )


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/v1/trace",
        handler=trace,
        summary="What becomes of a packet, stage by stage and host by host",
        query=TraceQuery,
        answer=TraceInfo,
        errors=(
            InvalidError,
            NotFoundError,
            ConflictError,
            KernelError,
            UnansweredError,
            UnavailableError,
        ),
    ),
)
