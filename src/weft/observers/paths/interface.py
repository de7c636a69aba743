"""The data paths to other hosts, as this host has found out.

The prober (prober.py) knows them; membership publishes them in this host's Neighbours record, from
which the engine of every host takes which packets to relay and how large a packet may be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from weft.model.addresses import IPAddress
from weft.model.ids import HostId


class PathState(NamedTuple):
    """The data path to one host: whether its programs answer, with its weftd or without."""

    address: IPAddress
    """Of the host, as it was probed."""
    is_broken: bool
    """Probes do not come back. Never said of a path that has just lost a few."""
    mtu_bytes: int
    """Largest underlay packet that came back at full size; 0: not known."""
    rtt_s: float | None = None
    """Of the last probe; None: none has come back yet."""


class Paths(Protocol):
    """The data paths of this host."""

    on_change: list[Callable[[], None]]
    """Each is called on the event loop after a state that `states` gives has changed; not for round
    trips."""

    def states(self) -> Mapping[HostId, PathState]:
        """Hosts whose path has been found out: those that share a network with a port here, and
        those that are linked or were asked for by a relay. A host that is not probed is not in
        it."""
        ...
