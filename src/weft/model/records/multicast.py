"""Members of multicast groups."""

from __future__ import annotations

from typing import NamedTuple

from weft.model.addresses import IPAddress
from weft.model.ids import HostId, NetworkId, PortId
from weft.model.multicast_groups import check_multicast_groups
from weft.model.records.base import Record


class MulticastMembership(Record, frozen=True, kw_only=True):
    """Multicast groups that a port has joined, as it reports by itself (IGMP, MLD). There is none
    while it has joined none. Written by the port's host alone."""

    KIND = "multicast-membership"
    INDEXED = ("network_id", "host_id", "multicast_places")
    id: PortId
    network_id: NetworkId
    host_id: HostId
    multicast_groups: tuple[IPAddress, ...] = ()
    """Ascending, IPv4 first."""

    def check(self) -> None:
        """See `Record.check`."""
        check_multicast_groups(self.multicast_groups)

    @property
    def multicast_places(self) -> tuple[MulticastPlace, ...]:
        """By which `View.beginning` tells which hosts have members of a network's groups."""
        return tuple(
            MulticastPlace(self.network_id, each, self.host_id) for each in self.multicast_groups
        )


class MulticastPlace(NamedTuple):
    """A multicast group that has members on a host."""

    network_id: NetworkId
    group: IPAddress
    host_id: HostId
