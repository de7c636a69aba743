"""Members of multicast groups."""

from __future__ import annotations

from typing import NamedTuple

from weft.model.addresses import IPAddress
from weft.model.groups import check_groups
from weft.model.ids import HostId, NetworkId, PortId
from weft.model.records.base import Record


class PortGroups(Record, frozen=True, kw_only=True):
    """Multicast groups that a port has joined, as it reports by itself (IGMP, MLD). There is none
    while it has joined none. Written by the port's host alone."""

    KIND = "port-groups"
    id: PortId
    network_id: NetworkId
    host_id: HostId
    groups: tuple[IPAddress, ...] = ()
    """Ascending, IPv4 first."""

    def check(self) -> None:
        """See `Record.check`."""
        check_groups(self.groups)

    @property
    def group_places(self) -> tuple[GroupPlace, ...]:
        """By which `View.beginning` tells which hosts have members of a network's groups."""
        return tuple(GroupPlace(self.network_id, each, self.host_id) for each in self.groups)


class GroupPlace(NamedTuple):
    """A multicast group that has members on a host."""

    network_id: NetworkId
    group: IPAddress
    host_id: HostId
