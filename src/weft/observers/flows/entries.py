"""Entries of flows as what they say. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from weft.kernel.bpf.layouts import Flow, FlowFlag, FlowKey4, FlowKey6, FlowKind
from weft.model.addresses import IPAddress

ICMP, ICMPV6 = 1, 58
_OPPOSITES = {ICMP: {8: 0, 0: 8, 13: 14, 14: 13}, ICMPV6: {128: 129, 129: 128}}
"""Types of ICMP that are questions or answers, as in `dissect.h`."""
_NO_TYPE = 255


class Place(NamedTuple):
    """Where the packets of a direction come from."""

    kind: FlowKind
    number: int
    """The ifindex of a port's device, or a VNI."""

    @property
    def is_port(self) -> bool:
        """Whether it is a port of this host."""
        return self.kind == FlowKind.FLOW_LEAVES


class Direction(NamedTuple):
    """One direction of a connection."""

    source: IPAddress
    destination: IPAddress
    source_port: int
    """Of ICMP the identifier."""
    destination_port: int
    """Of ICMP type and code."""
    protocol: int
    place: Place
    flow: Flow

    @property
    def is_denied(self) -> bool:
        """Whether it is dropped."""
        return bool(self.flow.flags & FlowFlag.FLOW_DENIED)

    @property
    def is_answer(self) -> bool:
        """Whether it is the direction of who did not begin the connection."""
        return bool(self.flow.flags & FlowFlag.FLOW_ANSWERS)

    @property
    def opposite_place(self) -> Place:
        """Where what comes back comes from."""
        return Place(FlowKind(self.flow.partner_kind), self.flow.partner_place)


def decode(key: bytes, value: bytes, is_ipv6: bool) -> Direction:
    """Of a key and a value as they are in the map."""
    flow = Flow.decode(value)
    found: FlowKey4 | FlowKey6
    source: IPAddress
    destination: IPAddress
    if is_ipv6:
        found = FlowKey6.decode(key)
        source, destination = IPv6Address(found.source), IPv6Address(found.destination)
    else:
        found = FlowKey4.decode(key)
        source, destination = IPv4Address(found.source_be), IPv4Address(found.destination_be)
    return Direction(
        source=source,
        destination=destination,
        source_port=int.from_bytes(found.source_port_be),
        destination_port=int.from_bytes(found.destination_port_be),
        protocol=found.protocol,
        place=Place(FlowKind(found.kind), found.place),
        flow=flow,
    )


def partner_key(one: Direction) -> bytes | None:
    """The key of the other direction. None: it has none."""
    if one.flow.flags & (FlowFlag.FLOW_ALONE | FlowFlag.FLOW_DENIED):
        return None
    source_port, destination_port = one.destination_port, one.source_port
    if one.protocol in _OPPOSITES:
        its_type, code = divmod(one.destination_port, 256)
        answer = _OPPOSITES[one.protocol].get(its_type, _NO_TYPE)
        source_port, destination_port = one.source_port, answer << 8 | code
    kind = FlowKey6 if one.source.version == 6 else FlowKey4
    return kind(
        one.destination.packed,
        one.source.packed,
        source_port.to_bytes(2),
        destination_port.to_bytes(2),
        one.flow.partner_place,
        one.protocol,
        one.flow.partner_kind,
    ).encode()
