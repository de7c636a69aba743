"""Weft's records by Docker's ids. Reads alone.

Docker's endpoint is a port whose id follows from the endpoint's, so nothing has to be searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from weft.frontends.docker.bindings import (
    DockerNetwork,
    docker_network_id,
    docker_network_of,
)
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, PortId, derived_id
from weft.model.records import Binding, Network, Port, Subnet
from weft.semantics.networks import (
    MADE_BY_DOCKER,
    networks_by_name,
    ports_that_use,
    subnets_of,
)
from weft.store.interface import View

MADE_BY = MADE_BY_DOCKER
MADE_FOR = "docker-id"
"""Label of such a network: the id that Docker gave it."""
LABEL = "weft.network"
"""Docker's label on a network that weftd made in Docker: the id of the Weft network that it is."""


class DockerRecords(NamedTuple):
    """The records, as a host's Docker sees them."""

    view: View
    host_id: HostId
    host_name: str = ""
    """For messages."""

    def docker_network(self, docker_id: str) -> DockerNetwork | None:
        """What is remembered of a network of this host's Docker, by Docker's id."""
        return docker_network_of(self.view.get(Binding, docker_network_id(docker_id, self.host_id)))

    def docker_networks(self) -> Iterator[DockerNetwork]:
        """All networks of this host's Docker."""
        for record in map(docker_network_of, self.view.list(Binding)):
            if record is not None and record.host_id == self.host_id:
                yield record

    def anywhere(self, network: Network) -> Iterator[DockerNetwork]:
        """All networks of any host's Docker that are this one."""
        return filter(None, map(docker_network_of, self.view.by(Binding, "record_id", network.id)))

    def network(self, docker_id: str) -> Network | None:
        """The Weft network that a Docker network is."""
        record = self.docker_network(docker_id)
        return self.view.get(Network, record.network_id) if record is not None else None

    def is_in_docker(self, network: Network) -> bool:
        """Whether a network of this host's Docker is this one."""
        return any(
            record.host_id == self.host_id
            and not record.contradiction
            and not record.is_name_awaited
            for record in self.anywhere(network)
        )

    def networks(self) -> Sequence[Network]:
        """All networks, by name."""
        return networks_by_name(self.view)

    def subnets(self, network: Network) -> Sequence[Subnet]:
        """A network's subnets, IPv4 first."""
        return subnets_of(self.view, network)

    def subnet_of(self, network: Network, address: IPAddress) -> Subnet | None:
        """The network's subnet in which an address lies."""
        return next((s for s in self.subnets(network) if address in s.cidr), None)

    def users(self, network: Network) -> Sequence[Port]:
        """Ports of all hosts that keep a network from being removed."""
        return ports_that_use(self.view, network)

    def port(self, endpoint_id: str) -> Port | None:
        """The port that an endpoint is."""
        return self.view.get(Port, port_id_of(endpoint_id))

    def ports(self) -> Iterator[Port]:
        """All ports of this host's Docker."""
        for port in self.view.by(Port, "host_id", self.host_id):
            if port.owner.frontend == "docker":
                yield port


def port_id_of(endpoint_id: str) -> PortId:
    """The id of the port that an endpoint is."""
    return PortId(derived_id("docker-endpoint", endpoint_id))


def provisional_name(docker_id: str) -> str:
    """What a network is called until Docker's name for it is known."""
    return f"docker-{docker_id[:12]}"


def is_made_by_docker(network: Network, host_id: HostId | None = None) -> bool:
    """Whether it was made for a network of this host's Docker; None: of any host's."""
    return any(key == MADE_BY and host_id in (None, value) for key, value in network.labels)


def is_made_for(network: Network, docker_id: str) -> bool:
    """Whether it was made for this network of Docker's."""
    return (MADE_FOR, docker_id) in network.labels


def is_name_provisional(network: Network) -> bool:
    """Whether it waits to learn what Docker calls it, on whichever host."""
    return any(
        key == MADE_FOR and network.name == provisional_name(value) for key, value in network.labels
    )
