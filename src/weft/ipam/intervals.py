"""Sets of addresses of one subnet as sorted, disjoint intervals of integers."""

from __future__ import annotations

from collections.abc import Iterable

from weft.errors import InvalidError
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.records import AddressRange, Subnet

Interval = tuple[int, int]
"""First and last, both included."""


def usable(cidr: IPNetwork) -> Interval:
    """What hosts may have of a prefix.

    Not IPv4's network and broadcast address (but all of a /31, RFC 3021, and of a /32), nor
    IPv6's subnet-router anycast address (RFC 4291 2.6.1; but all of a /127, RFC 6164).
    """
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    if last - first < 2:
        return first, last
    return first + 1, last - 1 if cidr.version == 4 else last


def assignable(subnet: Subnet) -> list[Interval]:
    """What may be given without being asked for by name: ranges less excludes and gateway."""
    low, high = usable(subnet.cidr)
    ranges = [(int(r.first), int(r.last)) for r in subnet.ranges] or [(low, high)]
    holes = [(int(r.first), int(r.last)) for r in subnet.excludes]
    if subnet.gateway is not None:
        holes.append((int(subnet.gateway), int(subnet.gateway)))
    clipped = [(max(a, low), min(b, high)) for a, b in ranges]
    return subtract(merge(clipped), merge(holes))


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Sorted and disjoint."""
    merged: list[Interval] = []
    for first, last in sorted(interval for interval in intervals if interval[0] <= interval[1]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def subtract(intervals: list[Interval], holes: list[Interval]) -> list[Interval]:
    """`intervals` without `holes`; both sorted and disjoint."""
    left: list[Interval] = []
    for first, last in intervals:
        for hole_first, hole_last in holes:
            if hole_last < first or hole_first > last:
                continue
            if hole_first > first:
                left.append((first, hole_first - 1))
            first = hole_last + 1
        if first <= last:
            left.append((first, last))
    return left


def intersect(one: Iterable[Interval], other: Iterable[Interval]) -> list[Interval]:
    """What both hold; both sorted and disjoint."""
    others = tuple(other)
    return [
        (max(first, low), min(last, high))
        for first, last in one
        for low, high in others
        if max(first, low) <= min(last, high)
    ]


def range_within(cidr: IPNetwork, first: IPAddress, last: IPAddress, what: str) -> AddressRange:
    """A checked range of a prefix."""
    if first.version != cidr.version or last.version != cidr.version:
        raise InvalidError(f"{what} {first}-{last}: not of the family of subnet {cidr}")
    if int(first) > int(last):
        raise InvalidError(f"{what} {first}-{last}: the first address comes after the last")
    if first not in cidr or last not in cidr:
        raise InvalidError(f"{what} {first}-{last}: outside subnet {cidr}")
    return AddressRange(first=first, last=last)
