"""Frames as bytes: makes them, and as a program puts them on a wire or takes them down.

As a program it runs inside a network namespace, with the standard library alone.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from ipaddress import ip_address

ETH_P_ALL = 3
BROADCAST = "ff:ff:ff:ff:ff:ff"


def ethernet(source: str, target: str, kind: int, payload: bytes) -> bytes:
    """An Ethernet II frame."""
    return _mac(target) + _mac(source) + struct.pack("!H", kind) + payload


def udp(
    source_mac: str, target_mac: str, source: str, target: str, payload: bytes, port: int = 9999
) -> bytes:
    """A UDP packet of either family in its frame, checksums right."""
    a, b = ip_address(source).packed, ip_address(target).packed
    length = 8 + len(payload)
    header = struct.pack("!HHH", port, port, length)
    pseudo = a + b + struct.pack("!II", length, socket.IPPROTO_UDP)
    checksum = _checksum(pseudo + header + b"\0\0" + payload)
    datagram = header + struct.pack("!H", checksum) + payload
    if len(a) == 16:
        packet = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_UDP, 64) + a + b + datagram
        return ethernet(source_mac, target_mac, 0x86DD, packet)
    start = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, 1, 0, 64, socket.IPPROTO_UDP)
    checksum = _checksum(start + b"\0\0" + a + b)
    packet = start + struct.pack("!H", checksum) + a + b + datagram
    return ethernet(source_mac, target_mac, 0x0800, packet)


def icmp6(source_mac: str, target_mac: str, source: str, target: str, message: bytes) -> bytes:
    """An ICMPv6 message, given from its type on with zeros for the checksum (RFC 4443)."""
    a, b = ip_address(source).packed, ip_address(target).packed
    pseudo = a + b + struct.pack("!II", len(message), socket.IPPROTO_ICMPV6)
    message = message[:2] + struct.pack("!H", _checksum(pseudo + message)) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), socket.IPPROTO_ICMPV6, 255)
    return ethernet(source_mac, target_mac, 0x86DD, header + a + b + message)


def neighbour_advertisement(mac: str, address: str) -> bytes:
    """The claim that `address` is at `mac` (RFC 4861 section 4.4), override flag set."""
    option = b"\x02\x01" + _mac(mac)
    return struct.pack("!BBHI", 136, 0, 0, 0x20000000) + ip_address(address).packed + option


def router_advertisement() -> bytes:
    """The claim to be a router (RFC 4861 section 4.2)."""
    return struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)


def arp(source_mac: str, sender_mac: str, sender: str, target: str, operation: int = 1) -> bytes:
    """An ARP request (or, 2, a reply) to everybody (RFC 826)."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    body += _mac(sender_mac) + ip_address(sender).packed
    body += bytes(6) + ip_address(target).packed
    return ethernet(source_mac, BROADCAST, 0x0806, body)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def main() -> None:
    """``send IFNAME HEX…`` or ``listen IFNAME LAST``."""
    verb, ifname, *rest = sys.argv[1:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire:
        wire.bind((ifname, 0))
        if verb == "send":
            for text in rest:
                wire.send(bytes.fromhex(text))
            return
        wire.settimeout(8 * float(os.environ.get("WEFT_TEST_PATIENCE", "1")))
        last = bytes.fromhex(rest[0])
        print("listening", flush=True)
        while True:
            frame, (_, _, kind, *_) = wire.recvfrom(65535)
            if kind == socket.PACKET_OUTGOING:
                continue
            print(frame.hex(), flush=True)
            if last in frame:
                return


if __name__ == "__main__":
    main()
