"""Networks as rows: what holds for all of a network, and who gets what is flooded on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import cast

from weft.engine.ebpf.compile import multicast_groups
from weft.engine.ebpf.tables.networks import NETWORKS, NetworkValue
from weft.engine.ebpf.tables.replicas import REPLICAS, ReplicaKey
from weft.engine.rows import Row
from weft.model.choices import Multicasting
from weft.model.ids import HostId, HostTag, host_tag
from weft.model.records import Network, Place, Port
from weft.store.interface import View


def compile_network(host_id: HostId, network: Network, view: View) -> Iterator[Row]:
    """What holds for all of a network, and who else gets what is flooded on it.

    Linear in its ports on this host, and in its hosts and groups if it has any here.
    """
    ports = tuple(view.by(Port, "place", Place(network.id, host_id)))
    for after, tag in pairwise([0, *_tags_on(network, host_id, view)] if ports else ()):
        yield REPLICAS.row(ReplicaKey(network.vni, after), tag)
    yield NETWORKS.row(
        network.vni,
        NetworkValue(
            is_internal=network.is_internal,
            slot_count=1 + max((port.slot for port in ports if port.slot is not None), default=-1),
            has_unknown=view.any(Port, "unknown_on", network.id),
            is_snooping=network.multicast is Multicasting.SNOOP,
        ),
    )
    if ports:
        yield from multicast_groups.groups_of_network(host_id, network, view)


def _tags_on(network: Network, host_id: HostId, view: View) -> list[HostTag]:
    """Of the other hosts with a port on it, rising."""
    places = cast("Iterable[Place]", view.beginning(Port, "place", network.id))
    return sorted({host_tag(place.host_id) for place in places if place.host_id != host_id})
