"""Intervals of addresses and ports without overlaps, of which nft takes none. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from weft.model.addresses import IPAddress, IPNetwork


def disjoint(
    values: Mapping[IPNetwork, IPAddress],
) -> list[tuple[IPAddress, IPAddress, IPAddress]]:
    """Ranges (first, last, value) that give each address the value of its longest prefix.

    Prefixes of one family. Between two neighbouring boundaries one prefix rules throughout.
    """
    if not values:
        return []
    bounds = sorted(
        {int(prefix[0]) for prefix in values} | {int(prefix[-1]) + 1 for prefix in values}
    )
    kind = type(next(iter(values))[0])
    by_length = sorted(values, key=lambda prefix: -prefix.prefixlen)
    found: list[tuple[IPAddress, IPAddress, IPAddress]] = []
    for start, end in pairwise(bounds):
        first = kind(start)
        holder = next((prefix for prefix in by_length if first in prefix), None)
        if holder is not None:
            found.append((first, kind(end - 1), values[holder]))
    return found


class Interval(NamedTuple):
    """Ports from `first` to `last`, both included, of what `head` says."""

    head: str
    first: int
    last: int
    target: str


def apart(intervals: Iterable[Interval]) -> list[Interval]:
    """The same without overlaps, which nft takes none of: the one that begins first goes on."""
    found: list[Interval] = []
    for interval in sorted(intervals):
        before = found[-1] if found and found[-1].head == interval.head else None
        first = max(interval.first, before.last + 1) if before is not None else interval.first
        if first <= interval.last:
            found.append(interval._replace(first=first))
    return found
