"""What hosts say of the paths to each other."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from weft.model.ids import HostId
from weft.model.records import Neighbour, Neighbours
from weft.store.interface import View, question


class Path(NamedTuple):
    """From one host to another."""

    host_id: HostId
    other_id: HostId


@question
def neighbour(path: Path, view: View) -> Neighbour | None:
    """What a host says of another. Its record changes with every path that it has."""
    record = view.get(Neighbours, path.host_id)
    return None if record is None else neighbour_in(record, path.other_id)


@question
def says_neighbours(host_id: HostId, view: View) -> bool:
    """Whether a host has said at all whom it reaches."""
    return view.get(Neighbours, host_id) is not None


def neighbour_in(record: Neighbours, host_id: HostId) -> Neighbour | None:
    """What the record says of a host."""
    found = record.neighbours
    at = bisect_left(found, host_id, key=lambda each: each.host_id)
    return found[at] if at < len(found) and found[at].host_id == host_id else None
