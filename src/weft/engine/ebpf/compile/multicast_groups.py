"""To whom multicast goes, as rows of `multicast_groups`, `multicast_ports` and `multicast_hosts`.

Ports of this host are found by their slots, as in the flood list, so each record yields its own.
What other hosts have joined the network yields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from weft.engine.ebpf.compile.subjects import policy_of
from weft.engine.ebpf.tables.flood import FloodValue
from weft.engine.ebpf.tables.multicast_groups import MULTICAST_GROUPS, MulticastKey, MulticastValue
from weft.engine.ebpf.tables.multicast_members import MULTICAST_HOSTS, MULTICAST_PORTS, MemberKey
from weft.engine.reads import Beginning
from weft.engine.rows import Each, Row
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, host_tag
from weft.model.records import MulticastMembership, MulticastPlace, Network, Port
from weft.store.interface import View


def groups_of_network(host_id: HostId, network: Network) -> Iterator[Row | Each]:
    """Groups with members anywhere, and the other hosts of each. A host that joins or leaves a
    group costs its own rows alone, however many there are."""
    if network.multicast != "snoop":
        return
    for group in network.multicast_groups:
        yield MULTICAST_GROUPS.row(
            MulticastKey(network.vni, group),
            MulticastValue(is_flooded=True),
        )
    for kind in (MulticastMembership, Port):
        places = Beginning(kind, "multicast_places", network.id)
        yield Each(places, partial(_rows_of_place, host_id, network))


def _rows_of_place(
    host_id: HostId, network: Network, place: MulticastPlace, view: View
) -> Iterator[Row]:
    """A group that has members on a host."""
    if place.group not in network.multicast_groups:
        yield MULTICAST_GROUPS.row(MulticastKey(network.vni, place.group), MulticastValue())
    if place.host_id != host_id:
        tag = host_tag(place.host_id)
        yield MULTICAST_HOSTS.row(MemberKey(network.vni, place.group, tag), tag)


def compile_multicast_membership(
    host_id: HostId, joined: MulticastMembership, view: View
) -> Iterator[Row]:
    """What a port has joined by itself."""
    if joined.host_id != host_id:
        return
    port = view.get(Port, joined.id)
    network = view.get(Network, joined.network_id)
    if port is not None and network is not None and port.network_id == network.id:
        yield from member_rows(host_id, port, network, joined.multicast_groups, view)


def member_rows(
    host_id: HostId, port: Port, network: Network, groups: Iterable[IPAddress], view: View
) -> Iterator[Row]:
    """A port of this host as a member."""
    if port.host_id != host_id or port.ifname is None or port.slot is None or port.is_host:
        return
    if network.multicast != "snoop":
        return
    for group in groups:
        key = MemberKey(network.vni, group, port.slot)
        is_judged = view.ask(policy_of, port.id) is not None
        yield MULTICAST_PORTS.row(key, FloodValue(port.ifname, is_judged))
