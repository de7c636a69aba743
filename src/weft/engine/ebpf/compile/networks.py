"""Networks as rows: what holds for all of a network, and who gets what is flooded on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from weft.engine.ebpf.compile import multicast_groups
from weft.engine.ebpf.compile.routers import routers_of_strangers
from weft.engine.ebpf.compile.subjects import is_judging
from weft.engine.ebpf.tables.networks import NETWORKS, NetworkValue
from weft.engine.ebpf.tables.replicas import REPLICAS, ReplicaKey
from weft.engine.rows import Each, Row
from weft.model.choices import Multicasting
from weft.model.ids import HostId, HostTag, host_tag
from weft.model.records import Network, Place, Port
from weft.semantics.places import hosts_on, slot_count
from weft.store.interface import View


def compile_network(host_id: HostId, network: Network, view: View) -> Iterator[Row | Each]:
    """What holds for all of a network, and who else gets what is flooded on it.

    Linear in its hosts and groups, if it has ports here.
    """
    here = Place(network.id, host_id)
    is_here = view.any(Port, "place", here)
    for after, tag in pairwise([0, *_tags_on(network, host_id, view)] if is_here else ()):
        yield REPLICAS.row(ReplicaKey(network.vni, after), tag)
    yield NETWORKS.row(
        network.vni,
        NetworkValue(
            is_internal=network.is_internal,
            slot_count=view.ask(slot_count, here),
            has_unknown=view.any(Port, "unknown_on", network.id),
            is_snooping=network.multicast is Multicasting.SNOOP,
            is_judging=is_here and view.ask(is_judging, here),
        ),
    )
    yield from routers_of_strangers(network, view)
    if is_here:
        yield from multicast_groups.groups_of_network(host_id, network)


def _tags_on(network: Network, host_id: HostId, view: View) -> list[HostTag]:
    """Of the other hosts with a port on it, rising."""
    return sorted({host_tag(host) for host in view.ask(hosts_on, network.id) if host != host_id})
