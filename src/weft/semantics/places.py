"""Where a network has ports: on which hosts, and how many slots they take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from weft.model.ids import HostId, NetworkId
from weft.model.records import Place, Port
from weft.store.interface import View, question


@question
def hosts_on(network_id: NetworkId, view: View) -> frozenset[HostId]:
    """The hosts with a port on a network."""
    places = cast("Iterable[Place]", view.beginning(Port, "place", network_id))
    return frozenset(place.host_id for place in places)


@question
def slot_count(place: Place, view: View) -> int:
    """How long the list of a network's ports on a host is: 1 more than the largest slot."""
    ports = view.by(Port, "place", place)
    return 1 + max((port.slot for port in ports if port.slot is not None), default=-1)
