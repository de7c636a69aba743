"""Which networks there are, and what belongs to one."""

from __future__ import annotations

from collections.abc import Sequence

from weft.ipam.records import is_forgotten
from weft.model.ids import HostId
from weft.model.records import AddressBlocks, Network, Port, Subnet
from weft.model.records.tenants import DEFAULT_TENANT
from weft.semantics.tenants import tenant_of
from weft.store.interface import View

MADE_BY_DOCKER = "docker"
"""Label of a network that a host made for a network of its Docker: it goes when the last of those
goes."""


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


def is_apart_from_hosts(view: View, network: Network) -> bool:
    """Whether no host needs to know where its addresses are: it has no way out, and no host a place
    on it."""
    ports = view.by(Port, "network_id", network.id)
    return network.is_internal and not any(port.is_host for port in ports)


def is_anothers_pool(view: View, host_id: HostId, subnet: Subnet) -> bool:
    """Whether a subnet waits for a network that another host than `host_id` is about to make. It is
    no pool of `host_id`: made from one, two networks would take it away from each other."""
    if subnet.network_id is not None:
        return False
    makers = {blocks.host_id for blocks in view.by(AddressBlocks, "subnet_id", subnet.id)}
    return bool(makers) and host_id not in makers


def full_name(view: View, network: Network) -> str:
    """As a command names it: with its tenant, but for the one that is implied."""
    if network.tenant_id == DEFAULT_TENANT:
        return network.name
    return f"{tenant_of(view, network)}/{network.name}"


def networks_made_by_hand(view: View) -> Sequence[Network]:
    """All but those that come and go with a Docker's, by tenant and name."""
    return [each for each in networks_by_name(view) if MADE_BY_DOCKER not in dict(each.labels)]
