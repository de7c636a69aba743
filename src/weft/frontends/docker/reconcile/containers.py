"""What containers are called, and which of them missed weftd. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from weft.frontends.docker.answers import ContainerFacts, container_names
from weft.frontends.docker.names import dns_names
from weft.frontends.docker.plugin_socket import ABSENT
from weft.frontends.docker.reconcile.actions import (
    Action,
    InspectContainer,
    NamePort,
    StartContainer,
)
from weft.frontends.docker.reconcile.facts import WITHOUT_CONTAINER, DockerFacts, Memory
from weft.frontends.docker.records import DockerRecords

_REVIVED = ("always", "unless-stopped", "on-failure")
"""Restart policies by which Docker starts a container that could not be started."""


def name_ports(docker: DockerFacts, records: DockerRecords, _: Memory) -> Iterator[Action]:
    """Ports take the names of their containers. The container of a port that has its names already
    is asked for only once a connection."""
    for container in docker.containers.values():
        if container is not None:
            yield from _name(container, records)
    for network in docker.networks if docker.is_everything else ():
        for container_id, place in (network.containers or {}).items():
            port = records.port(place.endpoint)
            if container_id.startswith(WITHOUT_CONTAINER) or container_id in docker.containers:
                continue
            if port is not None and (docker.is_first or not port.owner.container_id):
                yield InspectContainer(container_id)


def _name(container: ContainerFacts, records: DockerRecords) -> Iterator[Action]:
    for endpoint in (container.networks.networks or {}).values():
        port = records.port(endpoint.endpoint) if endpoint.endpoint else None
        if port is None:
            continue
        owner = replace(
            port.owner,
            container_id=container.id,
            container_name=container.name.lstrip("/"),
        )
        names = dns_names(container_names(container, endpoint))
        if (owner, names) != (port.owner, port.names):
            yield NamePort(port.id, names, owner)


def revive(docker: DockerFacts, _: DockerRecords, __: Memory) -> Iterator[Action]:
    """Containers that Docker would have started, had weftd been there at the time."""
    for container in docker.stopped:
        if ABSENT in container.state.error and container.host.restart.name in _REVIVED:
            yield StartContainer(container.id, container.name.lstrip("/"))
