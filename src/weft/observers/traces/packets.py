"""Packets that nobody has sent: the first one of a flow, its answer, and what a sender asks before.

Bytes as on the wire; addresses are what an IP header has.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from weft.model.addresses import IPAddress

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
SYN, ACK = 0x02, 0x10
BROADCAST = "ff:ff:ff:ff:ff:ff"
HOP_LIMIT = 64
_ETHERNET = 14
_ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}
"""Question and answer."""
_SOLICITATION, _ADVERTISEMENT = 135, 136
_UDP_HEADER, _VXLAN_HEADER = 8, 8
_VNI_VALID = 0x08000000


class Made(NamedTuple):
    """What the first packet of a flow shows."""

    protocol: int
    source: IPAddress
    destination: IPAddress
    source_port: int = 0
    """Of ICMP the identifier."""
    destination_port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0


class Outer(NamedTuple):
    """The header that carries a frame to another host."""

    source: IPAddress
    destination: IPAddress
    vni: int
    tag: int
    """Of the host where it ends, for who relays; 0: it is not relayed."""
    frame: bytes
    """What it carries."""


class Shown(NamedTuple):
    """What an IP packet shows."""

    source: IPAddress
    destination: IPAddress
    protocol: int
    hop_limit: int
    payload: bytes
    """Behind the IP header."""


def ethernet(destination: str, source: str, packet: bytes) -> bytes:
    """A frame around an IP packet."""
    kind = IPV4 if packet[0] >> 4 == 4 else IPV6
    return _mac(destination) + _mac(source) + struct.pack(">H", kind) + packet


def first_packet(made: Made) -> bytes:
    """The IP packet that a flow begins with."""
    return _ip(made.source, made.destination, made.protocol, _payload(made))


def mac_question(mac: str, source: IPAddress, target: IPAddress) -> bytes:
    """The frame by which a workload asks for a neighbour's MAC: ARP, or a solicitation."""
    if target.version == 4:
        body = struct.pack(">HHBBH", 1, IPV4, 6, 4, 1)
        body += _mac(mac) + source.packed + bytes(6) + target.packed
        return _mac(BROADCAST) + _mac(mac) + struct.pack(">H", ARP) + body
    group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(target) % 2**24)
    message = struct.pack(">BBHI", _SOLICITATION, 0, 0, 0) + target.packed
    message += bytes((1, 1)) + _mac(mac)
    message = _with_checksum(message, 2, _pseudo(source, group, ICMPV6, len(message)))
    packet = _ip(source, group, ICMPV6, message, hop_limit=255)
    return ethernet(f"33:33:{group.packed[12:].hex(':')}", mac, packet)


def mac_answer(frame: bytes) -> str | None:
    """The MAC that answers `mac_question`. None: the frame is no such answer."""
    kind = int.from_bytes(frame[12:14])
    if kind == ARP and len(frame) >= _ETHERNET + 28 and frame[20:22] == b"\x00\x02":
        return frame[22:28].hex(":")
    shown = shown_in(frame)
    if shown is None or shown.protocol != ICMPV6 or len(shown.payload) < 32:
        return None
    is_answer = shown.payload[0] == _ADVERTISEMENT and shown.payload[24:26] == b"\x02\x01"
    return shown.payload[26:32].hex(":") if is_answer else None


def shown_in(frame: bytes) -> Shown | None:
    """What the IP packet in a frame shows. None: there is none, or it has options."""
    kind, packet = int.from_bytes(frame[12:14]), frame[_ETHERNET:]
    if kind == IPV4 and len(packet) >= 20 and packet[0] == 0x45:
        length = int.from_bytes(packet[2:4])
        source, destination = ip_address(packet[12:16]), ip_address(packet[16:20])
        return Shown(source, destination, packet[9], packet[8], packet[20:length])
    if kind == IPV6 and len(packet) >= 40 and packet[0] >> 4 == 6:
        length = 40 + int.from_bytes(packet[4:6])
        source, destination = ip_address(packet[8:24]), ip_address(packet[24:40])
        return Shown(source, destination, packet[6], packet[7], packet[40:length])
    return None


def destination_mac(frame: bytes) -> str:
    """For whom a frame is."""
    return frame[:6].hex(":")


def answer_to(shown: Shown) -> bytes | None:
    """The IP packet by which a workload answers. None: to such nobody does."""
    payload = _answering(shown)
    if payload is None:
        return None
    return _ip(shown.destination, shown.source, shown.protocol, payload)


def outer_of(frame: bytes) -> Outer | None:
    """What carries a frame to another host. None: it is no VXLAN."""
    shown = shown_in(frame)
    if shown is None or shown.protocol != UDP or len(shown.payload) < 16 + _ETHERNET:
        return None
    flags, vni = struct.unpack_from(">II", shown.payload, _UDP_HEADER)
    if flags >> 24 != _VNI_VALID >> 24:
        return None
    inner = shown.payload[_UDP_HEADER + _VXLAN_HEADER :]
    tag = (flags & 0xFFFFFF) << 8 | vni & 0xFF
    return Outer(shown.source, shown.destination, vni >> 8, tag, inner)


def wrapped(
    frame: bytes, source: IPAddress, destination: IPAddress, vni: int, overlay_port: int
) -> bytes:
    """A frame as the kernel's VXLAN device sends it."""
    body = struct.pack(">II", _VNI_VALID, vni << 8) + frame
    header = struct.pack(">HHHH", 0xC000, overlay_port, _UDP_HEADER + len(body), 0)
    return ethernet(BROADCAST, "02:00:00:00:00:00", _ip(source, destination, UDP, header + body))


def told_by(shown: Shown) -> str:
    """What the sender of a packet is told by what comes back in its place."""
    if shown.protocol == TCP:
        return "by a TCP reset"
    name = "ICMPv6" if shown.protocol == ICMPV6 else "ICMP"
    kind, code = shown.payload[0], shown.payload[1]
    return f"by {name} {kind}/{code} from {shown.source}"


def _answering(shown: Shown) -> bytes | None:
    payload = shown.payload
    if shown.protocol == TCP and len(payload) >= 20:
        source, destination = struct.unpack_from(">HH", payload)
        return _tcp(shown.destination, shown.source, destination, source, SYN | ACK)
    if shown.protocol == UDP and len(payload) >= 8:
        source, destination = struct.unpack_from(">HH", payload)
        return _udp(shown.destination, shown.source, destination, source)
    if shown.protocol in _ECHO and len(payload) >= 8:
        question, answer = _ECHO[shown.protocol]
        if payload[0] != question:
            return None
        identifier = int.from_bytes(payload[4:6])
        return _icmp(shown.destination, shown.source, shown.protocol, (answer, 0), identifier)
    if shown.protocol == SCTP and len(payload) >= 12:
        return payload[2:4] + payload[:2] + payload[4:]
    return payload if shown.protocol not in (TCP, UDP, *_ECHO) else None


def _payload(made: Made) -> bytes:
    ends = made.source, made.destination
    ports = made.source_port, made.destination_port
    if made.protocol == TCP:
        return _tcp(*ends, *ports, SYN)
    if made.protocol == UDP:
        return _udp(*ends, *ports)
    if made.protocol in _ECHO:
        kind = made.icmp_type, made.icmp_code
        return _icmp(*ends, made.protocol, kind, made.source_port)
    if made.protocol == SCTP:
        return struct.pack(">HHII", *ports, 0, 0) + bytes(4)
    return bytes(16)


def _tcp(
    source: IPAddress, destination: IPAddress, source_port: int, port: int, flags: int
) -> bytes:
    raw = struct.pack(">HHIIBBHHH", source_port, port, 1, 0, 5 << 4, flags, 65535, 0, 0)
    return _with_checksum(raw, 16, _pseudo(source, destination, TCP, len(raw)))


def _udp(source: IPAddress, destination: IPAddress, source_port: int, port: int) -> bytes:
    raw = struct.pack(">HHHH", source_port, port, 16, 0) + bytes(8)
    return _with_checksum(raw, 6, _pseudo(source, destination, UDP, len(raw)))


def _icmp(
    source: IPAddress,
    destination: IPAddress,
    protocol: int,
    kind: tuple[int, int],
    identifier: int,
) -> bytes:
    raw = struct.pack(">BBHHH", *kind, 0, identifier, 1) + bytes(8)
    pseudo = b"" if protocol == ICMP else _pseudo(source, destination, protocol, len(raw))
    return _with_checksum(raw, 2, pseudo)


def _ip(
    source: IPAddress,
    destination: IPAddress,
    protocol: int,
    payload: bytes,
    hop_limit: int = HOP_LIMIT,
) -> bytes:
    if source.version == 6:
        head = struct.pack(">IHBB", 6 << 28, len(payload), protocol, hop_limit)
        return head + source.packed + destination.packed + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, hop_limit, protocol, 0)
    head += source.packed + destination.packed
    return _with_checksum(head, 10, b"") + payload


def _pseudo(source: IPAddress, destination: IPAddress, protocol: int, length: int) -> bytes:
    return source.packed + destination.packed + struct.pack(">II", length, protocol)


def _with_checksum(raw: bytes, at: int, pseudo: bytes) -> bytes:
    """RFC 1071."""
    data = pseudo + raw
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return raw[:at] + struct.pack(">H", ~total & 0xFFFF or 0xFFFF) + raw[at + 2 :]


def _mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
