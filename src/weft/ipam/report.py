"""How much of a subnet each host owns, for people and for errors. Counts, where the ring only
looks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from weft.ipam.blocks import segments
from weft.ipam.intervals import Interval, assignable, intersect
from weft.ipam.records import Records, is_forgotten
from weft.model.choices import ReservationReason
from weft.model.ids import HostId
from weft.model.records import AddressBlocks, Port, Reservation, Subnet


class Share(msgspec.Struct, kw_only=True):
    """What one host has of a subnet."""

    host_id: HostId
    blocks: list[Interval] = msgspec.field(default_factory=list)
    """All of it, what is never given by itself too."""
    count: int = 0
    """Addresses that can be given."""
    free: int = 0
    """Of the owned addresses, how many no record holds; addresses that rest are among them."""
    reserve: int = 0
    """Of `count`, those that are never taken from the host."""
    coming: int = 0
    """Of `count`, those that it was given and has not taken up yet."""


def shares(view: Records, subnet: Subnet) -> list[Share]:
    """By host. Linear in the blocks and in the ports of the network."""
    inside, taken = assignable(subnet), _taken(view, subnet)
    found: dict[HostId, Share] = {}
    for segment in segments(view.by(AddressBlocks, "subnet_id", subnet.id)):
        share = found.setdefault(segment.owner, Share(host_id=segment.owner))
        _append(share.blocks, segment.interval)
        part = intersect(inside, [segment.interval])
        count = _size(part)
        share.count += count
        share.free += count - _held(part, taken)
        share.reserve += count if segment.is_reserve else 0
        share.coming += 0 if segment.is_taken_up else count
    return [found[host] for host in sorted(found)]


def _taken(view: Records, subnet: Subnet) -> Sequence[int]:
    found = {
        int(reservation.address)
        for reservation in view.by(Reservation, "subnet_id", subnet.id)
        if reservation.reason is not ReservationReason.REST
        and not is_forgotten(view, reservation.host_id)
    }
    if subnet.network_id is not None:
        for port in view.by(Port, "network_id", subnet.network_id):
            if not is_forgotten(view, port.host_id):
                found.update(int(a) for a in port.addresses if a in subnet.cidr)
    return sorted(found)


def _held(part: Iterable[Interval], taken: Sequence[int]) -> int:
    return sum(bisect_right(taken, last) - bisect_left(taken, first) for first, last in part)


def _size(part: Iterable[Interval]) -> int:
    return sum(last - first + 1 for first, last in part)


def _append(blocks: list[Interval], interval: Interval) -> None:
    if blocks and blocks[-1][1] + 1 == interval[0]:
        interval = (blocks.pop()[0], interval[1])
    blocks.append(interval)
