"""What becomes of a flow, from records alone."""

from __future__ import annotations

from functools import partial

from weft.api.context import Context
from weft.api.resources.group import rule_info
from weft.api.route import AnyRoute, Call, Route
from weft.api.schema.policy import (
    JudgedEnd,
    JudgementInfo,
    PolicyTestInfo,
    PolicyTestQuery,
)
from weft.control.answers.policy_ends import End
from weft.control.answers.policy_test import Judgement, try_flow
from weft.control.group_references import group_label
from weft.control.references import network_label, workload_name
from weft.control.rule_text import PROTOCOLS
from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.model.records.security import ICMP, ICMPV6, WITH_PORTS, WITH_TYPES
from weft.semantics.policy import Packet
from weft.store.interface import View

_ICMP = {4: ICMP, 6: ICMPV6}
_ECHO = {ICMP: 8, ICMPV6: 128}


async def test(context: Context, call: Call[None, PolicyTestQuery]) -> PolicyTestInfo:
    """Both ends are judged, each with the rule or the default that decides."""
    asked, view = call.query, context.control.view
    check_flow(asked)
    found = try_flow(view, asked.source, asked.destination, partial(packet_of, asked), asked.family)
    packet = found.packet
    has_types = packet.protocol in WITH_TYPES
    return PolicyTestInfo(
        source=end_info(view, found.source),
        destination=end_info(view, found.destination),
        protocol=packet.protocol,
        port=packet.destination_port if packet.protocol in WITH_PORTS else None,
        icmp_type=packet.icmp_type if has_types else None,
        icmp_code=packet.icmp_code if has_types else None,
        routers=found.routers,
        verdict=found.verdict,
        obstacle=found.obstacle,
        judgements=tuple(_judgement(view, each) for each in found.judgements),
    )


def check_flow(asked: PolicyTestQuery) -> None:
    """Raise InvalidError for what no flow begins with."""
    number = None if asked.protocol is None else _number(asked.protocol)
    has_ports = asked.port is not None or asked.source_port is not None
    if number in WITH_PORTS and asked.port is None:
        raise InvalidError(f"protocol {asked.protocol}: say which port of the destination")
    if number not in WITH_PORTS and has_ports:
        raise InvalidError(f"protocol {asked.protocol or 'icmp'}: has no ports")
    if number is not None and number not in WITH_TYPES and asked.icmp_type is not None:
        raise InvalidError(f"protocol {asked.protocol}: has no types")


def packet_of(asked: PolicyTestQuery, version: int) -> Packet:
    """What the flow begins with. Without a protocol it is ICMP of its family."""
    number = _ICMP[version] if asked.protocol is None else _number(asked.protocol)
    type_ = _ECHO.get(number, 0) if asked.icmp_type is None else asked.icmp_type
    return Packet(
        number,
        source_port=asked.source_port or 0,
        destination_port=asked.port or 0,
        icmp_type=type_,
        icmp_code=asked.icmp_code or 0,
    )


def _number(protocol: str) -> int:
    if protocol.lower() in PROTOCOLS:
        return PROTOCOLS[protocol.lower()]
    if protocol.isascii() and protocol.isdigit() and len(protocol) < 4 and int(protocol) < 256:
        return int(protocol)
    known = ", ".join(PROTOCOLS)
    raise InvalidError(f"protocol {protocol[:40]!r}: say {known}, or a number, 0 to 255")


def end_info(view: View, end: End) -> JudgedEnd:
    """One end, as it is told."""
    port, network = end.port, end.network_id
    return JudgedEnd(
        address=str(end.address),
        port_id=None if port is None else port.id,
        name=None if port is None else workload_name(port),
        network=None if network is None else network_label(view, network),
        network_id=network,
    )


def _judgement(view: View, each: Judgement) -> JudgementInfo:
    rule, group = each.ruling.rule, each.ruling.group
    return JudgementInfo(
        port_id=each.port.id,
        name=workload_name(each.port),
        direction=each.direction.value,
        verdict=each.ruling.action.value,
        is_exempt=each.is_exempt,
        group=None if group is None else group_label(view, group),
        rule=None if rule is None or group is None else rule_info(view, rule, group),
        reason=each.reason,
    )


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/v1/policy/test",
        handler=test,
        summary="What becomes of a flow, and which rule decides",
        query=PolicyTestQuery,
        answer=PolicyTestInfo,
        errors=(InvalidError, NotFoundError, ConflictError),
    ),
)
