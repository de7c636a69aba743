"""How many connections that are no links yet may wait at once, and which of them makes room.

A full room turns nobody away: the newcomer takes the place of a connection that waits already. So a
stranger who keeps many connections open keeps no member out, not even a member that comes from the
stranger's own address, as every workload does that the member masquerades.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network


class Visit:
    """One connection that waits. Each is in one room at most."""

    def __init__(self, address: str, is_familiar: bool, end: Callable[[], None]) -> None:
        """is_familiar: whether a host of the cluster has this address. end: close it now."""
        self.address = address
        self.is_familiar = is_familiar
        self.end = end
        self._room: Room | None = None
        self._source = ""

    def move(self, room: Room, source: str) -> None:
        """Wait in another room, where it counts for `source`."""
        self.leave()
        self._room, self._source = room, source
        room.add(self, source)

    def leave(self) -> None:
        """Wait no more."""
        room, self._room = self._room, None
        if room is not None:
            room.remove(self, self._source)


class Room:
    """Visits in the order in which they came, by source."""

    def __init__(self, size: int, size_of_one: int, on_crowd: Callable[[Visit], None]) -> None:
        """size_of_one: how many of one source. on_crowd: told of a visit that had to make room."""
        self._size = size
        self._size_of_one = size_of_one
        self._on_crowd = on_crowd
        self._sources: dict[str, dict[Visit, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, visit: Visit, source: str) -> None:
        """Take it in. Called by `Visit.move`."""
        visits = self._sources.setdefault(source, {})
        visits[visit] = None
        self._count += 1
        if len(visits) > self._size_of_one:
            self._push_out(next(iter(visits)))
        elif self._count > self._size:
            self._push_out(self._most_dispensable())

    def remove(self, visit: Visit, source: str) -> None:
        """Called by `Visit.leave`."""
        visits = self._sources[source]
        del visits[visit]
        self._count -= 1
        if not visits:
            del self._sources[source]

    def _push_out(self, visit: Visit) -> None:
        visit.leave()
        self._on_crowd(visit)
        visit.end()

    def _most_dispensable(self) -> Visit:
        """The oldest of the source that has most; sources of the cluster's hosts come last."""
        oldest = {source: next(iter(visits)) for source, visits in self._sources.items()}
        strangers = [source for source, visit in oldest.items() if not visit.is_familiar]
        return oldest[max(strangers or oldest, key=lambda source: len(self._sources[source]))]


def source_of(address: str) -> str:
    """What counts as one source: an IPv4 address, an IPv6 subnet."""
    if isinstance(ip_address(address), IPv6Address):
        return str(ip_network(f"{address}/64", strict=False))
    return address
