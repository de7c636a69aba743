"""Which addresses of a subnet somebody holds, wherever the blocks are.

An address of a port is taken as long as the port's record exists and its host is not forgotten:
also when the host is dead and its blocks are another's, for its containers may go on running.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from weft.ipam.intervals import Interval, assignable, intersect
from weft.ipam.records import Records, is_forgotten
from weft.model.addresses import IPAddress
from weft.model.choices import ReservationReason
from weft.model.ids import HostId
from weft.model.records import Port, Reservation, RouterPort, Subnet

MAX_TRIES = 4096
"""So many addresses are looked at for a long run; after that the longest found so far will do."""


class Occupancy:
    """One subnet at one moment."""

    def __init__(self, view: Records, subnet: Subnet, now_s: float) -> None:
        """now_s: wall clock, by which released addresses rest."""
        self.subnet = subnet
        self.assignable = assignable(subnet)
        self._view = view
        self._make = type(subnet.cidr.network_address)
        self._held: dict[int, Reservation] = {}
        self.resting: dict[IPAddress, float] = {}
        for reservation in view.by(Reservation, "subnet_id", subnet.id):
            if is_forgotten(view, reservation.host_id):
                continue
            if reservation.reason is not ReservationReason.REST:
                self._held[int(reservation.address)] = reservation
            elif (reservation.expires_s or 0.0) > now_s:
                self.resting[reservation.address] = reservation.expires_s or 0.0

    def is_taken(self, number: int) -> bool:
        """Whether a port, a router or a reservation holds an address."""
        return number in self._held or self.port_at(number) is not None or self._is_routers(number)

    def port_at(self, number: int) -> Port | None:
        """The port that has an address."""
        for port in self._view.by(Port, "addresses", self._make(number)):
            is_here = port.network_id == self.subnet.network_id
            if is_here and not is_forgotten(self._view, port.host_id):
                return port
        return None

    def _is_routers(self, number: int) -> bool:
        places = self._view.by(RouterPort, "addresses", self._make(number))
        return any(place.network_id == self.subnet.network_id for place in places)

    def is_resting(self, number: int) -> bool:
        """Whether an address was released a short while ago."""
        return self._make(number) in self.resting

    def free(self, within: Iterable[Interval]) -> Iterator[int]:
        """Free addresses that rest no more, ascending; looks at one at a time."""
        for first, last in intersect(self.assignable, sorted(within)):
            for number in range(first, last + 1):
                if not self.is_taken(number) and not self.is_resting(number):
                    yield number

    def has_free(self, within: Iterable[Interval]) -> bool:
        """Whether anything can be given, if need be what rests."""
        inside = intersect(self.assignable, sorted(within))
        return any(
            not self.is_taken(number) for first, last in inside for number in range(first, last + 1)
        )

    def count_free(self, within: Iterable[Interval], enough: int) -> int:
        """How many are free, or `enough` if there are at least so many.

        Linear in the network's ports, and in the addresses only where these are scarce.
        """
        inside = intersect(self.assignable, sorted(within))
        if sum(map(_length, inside)) - self._most_taken() >= enough:
            return enough
        count = 0
        for _ in self.free(inside):
            count += 1
            if count >= enough:
                break
        return count

    def _most_taken(self) -> int:
        """At most so many addresses are held or rest."""
        known, network_id = len(self._held) + len(self.resting), self.subnet.network_id
        if network_id is None:
            return known
        ports = self._view.by(Port, "network_id", network_id)
        routers = self._view.by(RouterPort, "network_id", network_id)
        held = sum(len(port.addresses) for port in ports)
        return known + held + sum(len(router.addresses) for router in routers)

    def run(self, within: Iterable[Interval], wanted: int, *, resting: bool) -> Interval | None:
        """The highest run of so many free addresses, or the longest there is. resting: those that
        rest will do."""
        best: Interval | None = None
        tries = 0
        for first, last in reversed(intersect(self.assignable, sorted(within))):
            end = None
            for number in range(last, first - 2, -1):
                tries += 1
                is_free = number >= first and not self.is_taken(number)
                if is_free and (resting or not self.is_resting(number)):
                    end = number if end is None else end
                    if end - number + 1 >= wanted:
                        return number, end
                    continue
                if end is not None and (best is None or end - number > _length(best)):
                    best = (number + 1, end)
                end = None
                if tries > MAX_TRIES and best is not None:
                    return best
        return best

    def held_by(self, host_id: HostId) -> Sequence[int]:
        """Addresses that a host's ports and reservations hold. Linear in the network's ports."""
        found = {n for n, r in self._held.items() if r.host_id == host_id}
        if self.subnet.network_id is not None:
            for port in self._view.by(Port, "network_id", self.subnet.network_id):
                if port.host_id == host_id:
                    found.update(int(a) for a in port.addresses if a in self.subnet.cidr)
        return sorted(found)


def chunk(subnet: Subnet) -> int:
    """How many addresses a host asks for at once: few, so that a dead one costs little."""
    count = sum(last - first + 1 for first, last in assignable(subnet))
    return max(1, min(256, count // 16))


def _length(interval: Interval) -> int:
    return interval[1] - interval[0] + 1
