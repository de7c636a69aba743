"""To whom multicast goes, as rows of `multicast_groups`, `multicast_ports` and `multicast_hosts`.

Ports of this host are found by their slots, as in the flood list, so each record yields its own.
What other hosts have joined the network yields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from weft.engine.ebpf.tables.multicast_groups import MULTICAST_GROUPS, MulticastKey, MulticastValue
from weft.engine.ebpf.tables.multicast_members import MULTICAST_HOSTS, MULTICAST_PORTS, MemberKey
from weft.engine.rows import Row
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, host_tag
from weft.model.records import MulticastMembership, MulticastPlace, Network, Port
from weft.store.interface import View


def groups_of_network(host_id: HostId, network: Network, view: View) -> Iterator[Row]:
    """Groups with members anywhere, and the other hosts of each. Linear in both."""
    if network.multicast != "snoop":
        return
    for group in network.multicast_groups:
        yield MULTICAST_GROUPS.row(
            MulticastKey(network.vni, group),
            MulticastValue(is_flooded=True),
        )
    for group, hosts in _hosts_by_group(network, view).items():
        if group not in network.multicast_groups:
            yield MULTICAST_GROUPS.row(MulticastKey(network.vni, group), MulticastValue())
        for tag in (host_tag(host) for host in hosts if host != host_id):
            yield MULTICAST_HOSTS.row(MemberKey(network.vni, group, tag), tag)


def compile_multicast_membership(
    host_id: HostId, joined: MulticastMembership, view: View
) -> Iterator[Row]:
    """What a port has joined by itself."""
    if joined.host_id != host_id:
        return
    port = view.get(Port, joined.id)
    network = view.get(Network, joined.network_id)
    if port is not None and network is not None and port.network_id == network.id:
        yield from member_rows(host_id, port, network, joined.multicast_groups)


def member_rows(
    host_id: HostId, port: Port, network: Network, groups: Iterable[IPAddress]
) -> Iterator[Row]:
    """A port of this host as a member."""
    if port.host_id != host_id or port.ifname is None or port.slot is None or port.is_host:
        return
    if network.multicast != "snoop":
        return
    for group in groups:
        key = MemberKey(network.vni, group, port.slot)
        yield MULTICAST_PORTS.row(key, port.ifname)


def _hosts_by_group(network: Network, view: View) -> dict[IPAddress, set[HostId]]:
    found: dict[IPAddress, set[HostId]] = {}
    for kind in (MulticastMembership, Port):
        for place in view.beginning(kind, "multicast_places", network.id):
            _, group, host = cast("MulticastPlace", place)
            found.setdefault(group, set()).add(host)
    return found
