"""What a frame shows to who reads it with the best will: also of what a program refuses."""

from __future__ import annotations

import struct
from typing import NamedTuple

from tests.bpf import wire
from tests.bpf.hostile_packets import AH, DESTINATION_OPTIONS, IGMP, ROUTING, SCTP
from weft.model.addresses import IPAddress, ip_address
from weft.semantics.policy import Packet

_EXTENSIONS = {wire.HOP_BY_HOP, ROUTING, wire.FRAGMENT, AH, DESTINATION_OPTIONS, 135}
_WITH_PORTS = {wire.TCP, wire.UDP, SCTP, 33, 136}
_ANSWERS = {(4, 8): 0, (4, 0): 8, (4, 13): 14, (4, 14): 13, (6, 128): 129, (6, 129): 128}
_ERRORS = {4: {3, 4, 11, 12}, 6: {1, 2, 3, 4}}
_UPKEEP6 = {*range(130, 138), 143}
_DHCP = {4: {67, 68}, 6: {546, 547}}
_OPENING, _OPENED = 0x17, 0x02


class Tuple(NamedTuple):
    """What a flow is known by. Of ICMP `a` is the identifier, if it is a question or an answer, and
    `b` type and code."""

    protocol: int
    source: IPAddress
    destination: IPAddress
    a: int = 0
    b: int = 0

    @property
    def version(self) -> int:
        return self.source.version

    @property
    def is_icmp(self) -> bool:
        return self.protocol == (wire.ICMP if self.version == 4 else wire.ICMPV6)

    def turned(self) -> Tuple:
        """What answers show."""
        a, b = self.b, self.a
        if self.is_icmp:
            opposite = _ANSWERS.get((self.version, self.b >> 8), 255)
            a, b = self.a, opposite << 8 | self.b & 0xFF
        return Tuple(self.protocol, self.destination, self.source, a, b)

    def packet(self) -> Packet:
        """As rules see it."""
        if self.is_icmp:
            return Packet(self.protocol, icmp_type=self.b >> 8, icmp_code=self.b & 0xFF)
        return Packet(self.protocol, self.a, self.b)


class Reading(NamedTuple):
    """An IP packet."""

    flow: Tuple
    is_opening: bool = True
    """Not TCP amidst a connection."""
    fragment: tuple[object, ...] | None = None
    """Of a packet in pieces: what is the same in all of them."""
    is_later: bool = False
    quoted: Tuple | None = None
    """Of an ICMP error, what it is about."""

    @property
    def is_dhcp(self) -> bool:
        """Between a client and a server."""
        flow = self.flow
        return flow.protocol == wire.UDP and {flow.a, flow.b} == _DHCP[flow.version]

    @property
    def is_upkeep(self) -> bool:
        """It passes by no rule, whoever it is from and for."""
        flow = self.flow
        if flow.version == 4:
            return flow.protocol == IGMP
        return flow.is_icmp and flow.b >> 8 in _UPKEEP6


def read(frame: bytes) -> Reading | None:
    """None: it is no IP, or shows nothing."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind not in (wire.IPV4, wire.IPV6):
        return None
    return read_packet(frame[14:])


def read_packet(packet: bytes) -> Reading | None:
    """Without Ethernet."""
    try:
        return _read4(packet) if packet[0] >> 4 == 4 else _read6(packet)
    except (struct.error, IndexError, ValueError):
        return None


def _read4(packet: bytes) -> Reading:
    identity, field = struct.unpack_from(">HH", packet, 4)
    source, destination = ip_address(packet[12:16]), ip_address(packet[16:20])
    protocol = packet[9]
    key = (source, destination, protocol, identity) if field & 0x3FFF else None
    payload = packet[(packet[0] & 15) * 4 :]
    return _above(protocol, source, destination, payload, key, is_later=bool(field & 0x1FFF))


def _read6(packet: bytes) -> Reading:
    source, destination = ip_address(packet[8:24]), ip_address(packet[24:40])
    following, at = packet[6], 40
    key, is_later = None, False
    while following in _EXTENSIONS and not is_later and at + 8 <= len(packet):
        size = 8 * (packet[at + 1] + 1)
        if following == AH:
            size = 4 * (packet[at + 1] + 2)
        if following == wire.FRAGMENT:
            field, identity = struct.unpack_from(">HI", packet, at + 2)
            size, is_later = 8, bool(field & 0xFFF8)
            key = (source, destination, identity)
        following, at = packet[at], at + size
    return _above(following, source, destination, packet[at:], key, is_later=is_later)


def _above(
    protocol: int,
    source: IPAddress,
    destination: IPAddress,
    payload: bytes,
    key: tuple[object, ...] | None,
    *,
    is_later: bool,
) -> Reading:
    flow = Tuple(protocol, source, destination)
    if key is not None and len(key) == 3:
        key = (*key, protocol)
    if is_later or len(payload) < 8:
        return Reading(flow, fragment=key, is_later=is_later)
    first, second, third = struct.unpack_from(">HHH", payload)
    if flow.is_icmp:
        is_question = (flow.version, first >> 8) in _ANSWERS
        flow = flow._replace(a=third if is_question else 0, b=first)
        quoted = None
        if first >> 8 in _ERRORS[flow.version]:
            about = read_quoted(payload[8:])
            quoted = about if about and about.version == flow.version else None
        return Reading(flow, fragment=key, quoted=quoted)
    if protocol in _WITH_PORTS:
        flow = flow._replace(a=first, b=second)
    is_opening = protocol != wire.TCP or (len(payload) > 13 and payload[13] & _OPENING == _OPENED)
    return Reading(flow, is_opening, key)


def read_quoted(packet: bytes) -> Tuple | None:
    """The flow of the packet that an error begins with."""
    found = read_packet(packet)
    return None if found is None or found.is_later else found.flow
