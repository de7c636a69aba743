"""Which networks there are, and what belongs to one."""

from __future__ import annotations

from collections.abc import Sequence

from weft.ipam.records import is_forgotten
from weft.model.ids import HostId
from weft.model.records import AddressBlocks, Network, Port, Subnet
from weft.semantics.tenants import tenant_of
from weft.store.interface import View


def networks_by_name(view: View) -> Sequence[Network]:
    """All networks, by tenant and name."""
    return sorted(view.list(Network), key=lambda n: (tenant_of(view, n), n.name))


def subnets_of(view: View, network: Network) -> Sequence[Subnet]:
    """A network's subnets, IPv4 first."""
    found = view.by(Subnet, "network_id", network.id)
    return sorted(found, key=lambda s: (s.cidr.version, int(s.cidr.network_address)))


def ports_that_use(view: View, network: Network) -> Sequence[Port]:
    """Ports of all hosts that keep a network from being removed."""
    return [
        port
        for port in view.by(Port, "network_id", network.id)
        if not port.is_host and not is_forgotten(view, port.host_id)
    ]


def is_anothers_pool(view: View, host_id: HostId, subnet: Subnet) -> bool:
    """Whether a subnet waits for a network that another host than `host_id` is about to make. It is
    no pool of `host_id`: made from one, two networks would take it away from each other."""
    if subnet.network_id is not None:
        return False
    makers = {blocks.host_id for blocks in view.by(AddressBlocks, "subnet_id", subnet.id)}
    return bool(makers) and host_id not in makers
