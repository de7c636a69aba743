"""The next address to give, and the next subnet to cut from a pool."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from weft.ipam.intervals import Interval, assignable, intersect
from weft.model.addresses import IPAddress, IPNetwork, ip_network
from weft.model.choices import Allocator
from weft.model.records import Subnet


def next_address(
    subnet: Subnet,
    is_taken: Callable[[IPAddress], bool],
    resting: Mapping[IPAddress, float],
    within: Iterable[Interval] | None = None,
) -> IPAddress | None:
    """The lowest free address that does not rest; else the address that has rested longest.

    within: sorted and disjoint; None: anywhere in the subnet.
    `resting` maps addresses to when their rest ends. Where another system gives the subnet's
    addresses, the highest free one is taken instead, for Docker counts from the start. None:
    nothing is left. Linear in the number of addresses taken.
    """
    make = type(subnet.cidr.network_address)
    intervals = assignable(subnet)
    if within is not None:
        intervals = intersect(intervals, within)
    is_downward = subnet.allocator is not Allocator.WEFT
    for first, last in reversed(intervals) if is_downward else intervals:
        numbers = range(last, first - 1, -1) if is_downward else range(first, last + 1)
        for number in numbers:
            address = make(number)
            if address not in resting and not is_taken(address):
                return address
    return _longest_rested(intervals, is_taken, resting)


def _longest_rested(
    intervals: Iterable[tuple[int, int]],
    is_taken: Callable[[IPAddress], bool],
    resting: Mapping[IPAddress, float],
) -> IPAddress | None:
    bounds = tuple(intervals)
    candidates = [
        address
        for address in resting
        if not is_taken(address) and any(a <= int(address) <= b for a, b in bounds)
    ]
    return min(candidates, key=lambda address: (resting[address], int(address)), default=None)


def next_subnet(
    pool: IPNetwork, prefix_length: int, used: Collection[IPNetwork]
) -> IPNetwork | None:
    """The first prefix of this length in `pool` that overlaps nothing used; None: none is left."""
    size = 1 << (pool.max_prefixlen - prefix_length)
    number, end = int(pool.network_address), int(pool.broadcast_address)
    blocks = sorted(
        (int(network.network_address), int(network.broadcast_address))
        for network in used
        if network.version == pool.version
    )
    make = type(pool.network_address)
    for first, last in blocks:
        if last < number:
            continue
        if first >= number + size:
            break
        number = (last // size + 1) * size
    return ip_network((make(number), prefix_length)) if number + size - 1 <= end else None


def overlapping(cidr: IPNetwork, others: Iterable[IPNetwork]) -> IPNetwork | None:
    """The first of `others` that shares an address with `cidr`."""
    for other in others:
        if other.version == cidr.version and cidr.overlaps(other):
            return other
    return None
