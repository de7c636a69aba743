"""`devices`: ifname of the host's end -> the veth pair of a port."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table
from weft.model.addresses import IPAddress, IPNetwork


class DeviceValue(NamedTuple):
    """The pair, and what its workload's end is told."""

    peer_ifname: str
    netns: str | None
    netns_inode: int | None
    """With `netns`: the namespace that is meant; another one at the same path is not it."""
    mac: str
    mtu_bytes: int
    addresses: tuple[tuple[IPAddress, int], ...]
    """(address, prefix length) to put on the peer, when `netns` is given."""
    routes: tuple[tuple[IPNetwork, IPAddress], ...]
    """(prefix, gateway) to add in `netns` unless there is a route to that prefix."""
    vni: int


DEVICES: Table[str, DeviceValue] = Table("devices", Rank.DEVICES)
