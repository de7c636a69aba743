"""`networks`: VNI -> facts of the network on this host."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import U32, Coding, Flags, MapTable, Names
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import NetworkFlag


class NetworkValue(NamedTuple):
    """What holds for all of its ports here."""

    is_internal: bool
    slot_count: int
    """Highest slot in use on this host, plus one: how far a broadcast must look."""
    has_unknown: bool
    """Some port may hold addresses that no record names (spoof check off, or allowed prefixes):
    ARP and ND for unknown addresses are flooded instead of dropped."""
    is_snooping: bool = False
    """Multicast goes to members alone: `multicast_groups`."""
    is_judging: bool = False
    """Rules decide about flows of ports here."""


_FLAGS = Flags(
    is_internal=NetworkFlag.NETWORK_INTERNAL.value,
    has_unknown=NetworkFlag.NETWORK_HAS_UNKNOWN.value,
    is_snooping=NetworkFlag.NETWORK_SNOOPS.value,
    is_judging=NetworkFlag.NETWORK_JUDGES.value,
)


def _encode(value: NetworkValue, _: Names) -> bytes:
    return layouts.Network(flags=_FLAGS.encode(value), slot_count=value.slot_count).encode()


def _decode(raw: bytes, _: Names) -> NetworkValue:
    network = layouts.Network.decode(raw)
    return NetworkValue(slot_count=network.slot_count, **_FLAGS.decode(network.flags))


NETWORKS: MapTable[int, NetworkValue] = MapTable(
    "networks",
    Rank.NETWORKS,
    map_name="networks_v1",
    keys=U32,
    values=Coding(_encode, _decode),
)
