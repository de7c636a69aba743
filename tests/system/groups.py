"""A member of multicast groups, and one who speaks to them, inside a network namespace.

``hear IFNAME GROUP…``: joins, says ``listening``, then each text that arrives, a line each.
``shout IFNAME GROUP TEXT COUNT INTERVAL_S``: TEXT and a number, so often.

With the standard library alone, by the kernel's own IGMP and MLD.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from ipaddress import ip_address

PORT = 7777


def is_ipv6(group: str) -> bool:
    """Its family."""
    return ip_address(group).version == 6


def opened(group: str, ifname: str) -> socket.socket:
    """A socket whose multicast goes by the device."""
    index = socket.if_nametoindex(ifname)
    if is_ipv6(group):
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    else:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        device = struct.pack("=4s4si", bytes(4), bytes(4), index)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, device)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    return made


def hear(ifname: str, group: str) -> None:
    """Join, and print what comes."""
    index = socket.if_nametoindex(ifname)
    ear = opened(group, ifname)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.bind((group, PORT, 0, index) if is_ipv6(group) else (group, PORT))
    raw = ip_address(group).packed
    if is_ipv6(group):
        ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, raw + struct.pack("=i", index))
    else:
        joined = raw + bytes(4) + struct.pack("=i", index)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
    print("listening", flush=True)
    while True:
        print(ear.recv(65535).decode(), flush=True)


def shout(ifname: str, group: str, text: str, count: int, interval_s: float) -> None:
    """Send, numbered."""
    mouth = opened(group, ifname)
    for number in range(count):
        mouth.sendto(f"{text} {number}".encode(), (group, PORT))
        time.sleep(interval_s)


def main() -> None:
    """See the head."""
    verb, ifname, group, *rest = sys.argv[1:]
    if verb == "hear":
        hear(ifname, group)
    else:
        text, count, interval_s = rest
        shout(ifname, group, text, int(count), float(interval_s))


if __name__ == "__main__":
    main()
