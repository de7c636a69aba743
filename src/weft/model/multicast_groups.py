"""Multicast groups: which addresses may be joined, and which need not be.

What everybody gets, members or not, is the same in `is_for_members` of ``bpf/lib/multicast.h``.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from weft.model.addresses import IPAddress

LOCAL4 = IPv4Network("224.0.0.0/24")
"""Hosts need not report these (RFC 4541 section 2.1.2)."""
ALL_NODES = IPv6Network("ff02::1/128")
SOLICITED = IPv6Network("ff02::1:ff00:0/104")
"""Every address makes one; neighbour discovery is answered from the records."""
_LINK_SCOPE = 2
"""Less is reserved, or goes not beyond one interface (RFC 4291 section 2.7)."""


def is_flooded(group: IPAddress) -> bool:
    """Whether everybody gets what is sent to it."""
    if group.version == 4:
        return group in LOCAL4
    return group in ALL_NODES or group in SOLICITED


def is_multicast_group(address: IPAddress) -> bool:
    """Whether it is an address that has members."""
    if not address.is_multicast or is_flooded(address):
        return False
    return address.version == 4 or address.packed[1] & 15 >= _LINK_SCOPE


def check_multicast_groups(groups: Iterable[IPAddress]) -> None:
    """ValueError: one is no address that has members."""
    for group in groups:
        if not is_multicast_group(group):
            raise ValueError(f"group {group}: no multicast address that has members")


def in_order(group: IPAddress) -> tuple[int, int]:
    """To sort groups by: IPv4 first."""
    return group.version, int(group)
