"""Packets as bytes, with every checksum right unless a test asks for another."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP, IPV4, IPV6, VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
ICMP, TCP, UDP, ICMPV6, FRAGMENT, HOP_BY_HOP = 1, 6, 17, 58, 44, 0
NS, NA, RS, RA, REDIRECT, MLD_REPORT = 135, 136, 133, 134, 137, 143


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def label(value: object) -> str | None:
    """For parametrized tests: packets make no readable names."""
    return "packet" if isinstance(value, bytes) else None


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ether(destination: str, source: str, kind: int, payload: bytes) -> bytes:
    return mac_bytes(destination) + mac_bytes(source) + struct.pack(">H", kind) + payload


def arp(
    operation: int,
    sender_mac: str,
    sender: str,
    target: str,
    target_mac: str = "00:00:00:00:00:00",
    *,
    destination: str = BROADCAST,
    source: str = "",
) -> bytes:
    body = struct.pack(">HHBBH", 1, IPV4, 6, 4, operation)
    body += mac_bytes(sender_mac) + IPv4Address(sender).packed
    body += mac_bytes(target_mac) + IPv4Address(target).packed
    return ether(destination, source or sender_mac, ARP, body)


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    fragment: int = 0,
    identity: int = 7,
    options: bytes = b"",
) -> bytes:
    """`fragment`: flags and offset field as on the wire."""
    first = 0x40 + 5 + len(options) // 4
    head = struct.pack(
        ">BBHHHBBH",
        first,
        0,
        20 + len(options) + len(payload),
        identity,
        fragment,
        ttl,
        protocol,
        0,
    )
    head += IPv4Address(source).packed + IPv4Address(destination).packed + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(
    source: str, destination: str, following: int, payload: bytes, *, hop_limit: int = 64
) -> bytes:
    head = struct.pack(">IHBB", 6 << 28, len(payload), following, hop_limit)
    return head + IPv6Address(source).packed + IPv6Address(destination).packed + payload


def pseudo(source: str, destination: str, protocol: int, length: int) -> bytes:
    """The pseudo header of either family."""
    if ":" in source:
        ends = IPv6Address(source).packed + IPv6Address(destination).packed
        return ends + struct.pack(">II", length, protocol)
    ends = IPv4Address(source).packed + IPv4Address(destination).packed
    return ends + struct.pack(">BBH", 0, protocol, length)


def udp(source: str, destination: str, ports: tuple[int, int], data: bytes = b"data") -> bytes:
    length = 8 + len(data)
    raw = struct.pack(">HHHH", *ports, length, 0) + data
    value = checksum(pseudo(source, destination, UDP, length) + raw) or 0xFFFF
    return raw[:6] + struct.pack(">H", value) + raw[8:]


def tcp(
    source: str, destination: str, ports: tuple[int, int], data: bytes = b"", flags: int = 0x18
) -> bytes:
    raw = struct.pack(">HHIIBBHHH", *ports, 1, 2, 5 << 4, flags, 512, 0, 0) + data
    value = checksum(pseudo(source, destination, TCP, len(raw)) + raw)
    return raw[:16] + struct.pack(">H", value) + raw[18:]


def icmp(kind: int, data: bytes = b"0123456789", *, code: int = 0, identifier: int = 1) -> bytes:
    raw = struct.pack(">BBHHH", kind, code, 0, identifier, 2) + data
    return raw[:2] + struct.pack(">H", checksum(raw)) + raw[4:]


def icmpv6(source: str, destination: str, kind: int, body: bytes, *, code: int = 0) -> bytes:
    raw = struct.pack(">BBH", kind, code, 0) + body
    value = checksum(pseudo(source, destination, ICMPV6, len(raw)) + raw)
    return raw[:2] + struct.pack(">H", value) + raw[4:]


def echo6(source: str, destination: str, kind: int = 128, *, identifier: int = 1) -> bytes:
    body = struct.pack(">HH", identifier, 2) + b"0123456789"
    return icmpv6(source, destination, kind, body)


def mac_option(kind: int, mac: str) -> bytes:
    return bytes([kind, 1]) + mac_bytes(mac)


def solicited_node(target: str) -> str:
    return str(IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(IPv6Address(target)) % 2**24))


def multicast_mac(group: str) -> str:
    address = IPv6Address(group) if ":" in group else IPv4Address(group)
    if isinstance(address, IPv6Address):
        return (b"\x33\x33" + address.packed[12:]).hex(":")
    return (b"\x01\x00\x5e" + bytes([address.packed[1] & 0x7F]) + address.packed[2:]).hex(":")


def ns(mac: str, source: str, target: str, *, options: bytes | None = None) -> bytes:
    """A solicitation to the target's multicast group; from ``::`` it is a DAD probe."""
    group = solicited_node(target)
    if options is None:
        options = b"" if source == "::" else mac_option(1, mac)
    body = icmpv6(source, group, NS, bytes(4) + IPv6Address(target).packed + options)
    return ether(multicast_mac(group), mac, IPV6, ipv6(source, group, ICMPV6, body, hop_limit=255))


def na(
    destination_mac: str,
    mac: str,
    source: str,
    destination: str,
    target: str,
    flags: int,
    *,
    option_mac: str = "",
) -> bytes:
    body = struct.pack(">I", flags << 24) + IPv6Address(target).packed
    body += mac_option(2, option_mac or mac)
    message = icmpv6(source, destination, NA, body)
    packet = ipv6(source, destination, ICMPV6, message, hop_limit=255)
    return ether(destination_mac, mac, IPV6, packet)
