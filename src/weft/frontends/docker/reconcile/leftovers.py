"""Endpoints that Docker keeps of containers that are on a network no more. Pure.

Where containers outlive dockerd (``live-restore``), and one of them ends while weftd is away,
Docker cannot tell the driver and keeps the endpoint. Then no container of that name can be on the
network again, and the network cannot be removed. dockerd drops such endpoints when it is started
while weftd is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.control.notices import Notice
from weft.frontends.docker.answers import NetworkEndpoint, NetworkFacts
from weft.frontends.docker.reconcile.actions import (
    Action,
    InspectContainer,
    RemoveEndpoint,
    TakeBack,
    Tell,
)
from weft.frontends.docker.reconcile.facts import WITHOUT_CONTAINER, DockerFacts, Memory
from weft.frontends.docker.records import DockerRecords

SOURCE = "docker endpoint"


def clear_leftovers(docker: DockerFacts, _: DockerRecords, memory: Memory) -> Iterator[Action]:
    """Remove those whose container is gone; tell of those whose container would suffer."""
    if not docker.is_everything:
        return
    left = {
        place.endpoint: (network, place)
        for network in docker.networks
        for id, place in (network.containers or {}).items()
        if id.startswith(WITHOUT_CONTAINER)
    }
    for source, id in memory.told:
        if source == SOURCE and id not in left:
            yield TakeBack(SOURCE, id)
    for endpoint, (network, place) in left.items():
        if endpoint not in memory.recent:  # else on its way in or out
            yield from _clear(docker, network, place, memory)


def _clear(
    docker: DockerFacts, network: NetworkFacts, place: NetworkEndpoint, memory: Memory
) -> Iterator[Action]:
    if place.name not in docker.containers:
        yield InspectContainer(place.name)
        return
    container = docker.containers[place.name]
    if container is None:
        yield RemoveEndpoint(network.id, network.name, place.name)
    elif container.state.status != "running":
        notice = _notice(network, place)
        if memory.told.get((SOURCE, place.endpoint)) != notice:
            yield Tell(SOURCE, notice)


def _notice(network: NetworkFacts, place: NetworkEndpoint) -> Notice:
    """The endpoint stays: asked to remove it, Docker would take the container of that name off the
    network, whichever endpoint that has now."""
    reason = (
        f"container {place.name}: cannot be started, for Docker keeps a dead place of it on "
        f"network {network.name}"
    )
    fix = "restart dockerd while weftd runs: systemctl restart docker"
    return Notice("container", place.endpoint, place.name, reason, fix)
