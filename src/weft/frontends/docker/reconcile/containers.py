"""What containers are called and labelled, and which of them missed weftd. Pure.

A container has the labels of its image as well. Whoever made the image must not say in which
security groups a container is, so only those labels count that the image has not, or has otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from weft.control.port_owners import GROUPS
from weft.frontends.docker.answers import ContainerFacts, EndpointFacts, container_names
from weft.frontends.docker.names import dns_names, port_labels
from weft.frontends.docker.plugin_socket import ABSENT
from weft.frontends.docker.reconcile.actions import (
    Action,
    InspectContainer,
    InspectImage,
    NamePort,
    StartContainer,
)
from weft.frontends.docker.reconcile.facts import WITHOUT_CONTAINER, DockerFacts, Memory
from weft.frontends.docker.records import DockerRecords
from weft.model.records import Port

_REVIVED = ("always", "unless-stopped", "on-failure")
"""Restart policies by which Docker starts a container that could not be started."""


def name_ports(docker: DockerFacts, records: DockerRecords, _: Memory) -> Iterator[Action]:
    """Ports take the names and labels of their containers. The container of a port that has its
    names already is asked for only once a connection."""
    for container in docker.containers.values():
        if container is not None:
            yield from _name(container, docker, records)
    for network in docker.networks if docker.is_everything else ():
        for container_id, place in (network.containers or {}).items():
            port = records.port(place.endpoint)
            if container_id.startswith(WITHOUT_CONTAINER) or container_id in docker.containers:
                continue
            if port is not None and (docker.is_first or not port.owner.container_id):
                yield InspectContainer(container_id)


def _name(
    container: ContainerFacts, docker: DockerFacts, records: DockerRecords
) -> Iterator[Action]:
    own = _own_labels(container, docker)
    if own is None and any(True for _ in _ports(container, records)):
        yield InspectImage(container.image)
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
        labels = port.labels if own is None else _labels(port, own, endpoint)
        if (owner, names, labels) != (port.owner, port.names, port.labels):
            yield NamePort(port.id, names, owner, labels)


def _ports(container: ContainerFacts, records: DockerRecords) -> Iterator[Port]:
    for endpoint in (container.networks.networks or {}).values():
        port = records.port(endpoint.endpoint) if endpoint.endpoint else None
        if port is not None:
            yield port


def _own_labels(container: ContainerFacts, docker: DockerFacts) -> Mapping[str, str] | None:
    """The labels that are not of the image; None: the image is not known (yet)."""
    given = container.config.labels or {}
    if not given:
        return {}
    of_image = docker.images.get(container.image)
    if of_image is None:
        return None
    return {key: value for key, value in given.items() if of_image.get(key) != value}


def _labels(
    port: Port, own: Mapping[str, str], endpoint: EndpointFacts
) -> tuple[tuple[str, str], ...]:
    """What a port shall be labelled: as its container. The groups that were asked for with the
    endpoint go before the container's own."""
    found = port_labels(own)
    asked = (endpoint.driver_opts or {}).get(GROUPS)
    if asked is not None:
        found |= port_labels({GROUPS: asked})
    elif GROUPS not in found:
        found |= {key: value for key, value in port.labels if key == GROUPS}
    return tuple(sorted(found.items()))


def revive(docker: DockerFacts, _: DockerRecords, __: Memory) -> Iterator[Action]:
    """Containers that Docker would have started, had weftd been there at the time."""
    for container in docker.stopped:
        if ABSENT in container.state.error and container.host.restart.name in _REVIVED:
            yield StartContainer(container.id, container.name.lstrip("/"))
