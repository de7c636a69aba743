"""Packets as bytes: what a tap has seen, and those that no ordinary socket sends."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

ICMP, TCP, UDP, FRAGMENT, ICMPV6, SCTP = 1, 6, 17, 44, 58, 132
ERRORS = {ICMP: {3, 11, 12}, ICMPV6: {1, 2, 3, 4}}
ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
SOLICITATION, ADVERTISEMENT = 133, 134
"""Of routers."""
NEIGHBOURS_HOPS = 255
"""Which no packet from further away has left."""
SYN, RST, ACK = 0x02, 0x04, 0x10


class Seen(NamedTuple):
    """A packet, as far as it tells packets apart."""

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    protocol: int
    hops: int
    payload: bytes
    """All behind the headers of IP."""
    is_later: bool = False
    """A fragment that is not the first."""

    @property
    def ends(self) -> tuple[int, int]:
        """Ports of source and destination; of an echo, its identifier and number."""
        at = 4 if self.protocol in (ICMP, ICMPV6) else 0
        if self.is_later or len(self.payload) < at + 4:
            return 0, 0
        return struct.unpack_from("!HH", self.payload, at)

    @property
    def icmp(self) -> tuple[int, int]:
        """Type and code."""
        return (self.payload[0], self.payload[1]) if len(self.payload) >= 8 else (0, 0)

    @property
    def is_reset(self) -> bool:
        """Whether it is TCP that says no."""
        return self.protocol == TCP and len(self.payload) >= 14 and bool(self.payload[13] & RST)

    @property
    def about(self) -> Seen | None:
        """The packet that an error is about."""
        if self.is_later or self.icmp[0] not in ERRORS.get(self.protocol, ()):
            return None
        return parse(self.payload[8:])


def parse(data: bytes) -> Seen | None:
    """A packet from its IP header on; None: it is none, or is cut within the headers."""
    match data[0] >> 4 if data else 0:
        case 4 if len(data) >= 20:
            return _parse4(data)
        case 6 if len(data) >= 40:
            return _parse6(data)
        case _:
            return None


def _parse4(data: bytes) -> Seen:
    length, fragment = (data[0] & 15) * 4, struct.unpack_from("!H", data, 6)[0] & 0x1FFF
    total = struct.unpack_from("!H", data, 2)[0]
    source, destination = IPv4Address(data[12:16]), IPv4Address(data[16:20])
    return Seen(source, destination, data[9], data[8], data[length:total], bool(fragment))


def _parse6(data: bytes) -> Seen:
    protocol, payload, is_later = data[6], data[40:], False
    if protocol == FRAGMENT and len(payload) >= 8:
        is_later = struct.unpack_from("!H", payload, 2)[0] >> 3 != 0
        protocol, payload = payload[0], payload[8:]
    source, destination = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    return Seen(source, destination, protocol, data[7], payload, is_later)


def echo_request(version: int, identifier: int, token: bytes) -> bytes:
    """An ICMP message; of IPv6 the kernel makes the checksum."""
    return icmp(version, ECHO_REQUEST[version], 0, struct.pack("!HH", identifier, 1) + token)


def icmp(version: int, kind: int, code: int, rest: bytes) -> bytes:
    """An ICMP message of any type; of IPv6 the kernel makes the checksum."""
    message = struct.pack("!BBH", kind, code, 0) + rest
    if version == 6:
        return message
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def tcp(source: str, destination: str, ports: tuple[int, int], flags: int, data: bytes) -> bytes:
    """A segment."""
    header = struct.pack("!HHIIBBHHH", *ports, 1000, 2000, 5 << 4, flags, 8192, 0, 0)
    return _with_checksum(source, destination, TCP, header + data, 16)


def udp(source: str, destination: str, ports: tuple[int, int], data: bytes) -> bytes:
    """A datagram."""
    header = struct.pack("!HHHH", *ports, 8 + len(data), 0)
    return _with_checksum(source, destination, UDP, header + data, 6)


def sctp_init(ports: tuple[int, int], token: bytes) -> bytes:
    """What begins an association (RFC 9260), without a checksum: no SCTP is at the other end."""
    body = token + struct.pack("!IHHI", 65536, 1, 1, 1)
    return struct.pack("!HHII", *ports, 0, 0) + struct.pack("!BBH", 1, 0, 4 + len(body)) + body


def later_fragment4(source: str, destination: str, protocol: int, data: bytes) -> bytes:
    """A last fragment, with its header."""
    begin = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 4711, 185, 64, protocol, 0)
    return begin + ip_address(source).packed + ip_address(destination).packed + data


def later_fragment6(protocol: int, data: bytes) -> bytes:
    """A last fragment behind the IPv6 header."""
    return struct.pack("!BBHI", protocol, 0, 185 << 3, 4711) + data


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def _with_checksum(source: str, destination: str, protocol: int, data: bytes, at: int) -> bytes:
    pseudo = ip_address(source).packed + ip_address(destination).packed
    total = checksum(pseudo + struct.pack("!II", len(data), protocol) + data)
    return data[:at] + struct.pack("!H", total) + data[at + 2 :]
