"""Asks Docker. Every function raises UnavailableError when it does not answer."""

from __future__ import annotations

from weft.frontends.docker.dockerd import Dockerd
from weft.frontends.docker.reconcile.facts import DockerFacts


async def everything(docker: Dockerd, *, is_first: bool) -> DockerFacts:
    """The engine, and all its networks of Weft's driver with their endpoints."""
    engine = await _engine(docker)
    inspected = {}
    for network in await docker.networks():
        facts = await docker.network(network.id)
        if facts is not None:
            inspected[network.id] = facts
    return DockerFacts(engine=engine, inspected=inspected, is_everything=True, is_first=is_first)


async def network(docker: Dockerd, engine: str, docker_id: str) -> DockerFacts:
    """One network, and its endpoints."""
    return DockerFacts(engine=engine).with_network(docker_id, await docker.network(docker_id))


async def list_of_networks(docker: Dockerd, engine: str) -> DockerFacts:
    """Networks of all drivers, without their endpoints."""
    return DockerFacts(engine=engine, listed=tuple(await docker.all_networks()))


async def container(docker: Dockerd, reference: str) -> DockerFacts:
    """One container."""
    return DockerFacts().with_container(reference, await docker.container(reference))


async def stopped(docker: Dockerd) -> DockerFacts:
    """Containers on networks of Weft's driver that do not run."""
    networks = {network.id for network in await docker.networks()}
    found = []
    for listed in await docker.stopped_containers():
        places = (listed.networks.networks or {}).values()
        if any(place.network in networks for place in places):
            container = await docker.container(listed.id)
            if container is not None:
                found.append(container)
    return DockerFacts(stopped=tuple(found))


async def _engine(docker: Dockerd) -> str:
    """The id of Docker's network without a network, which is made once in an engine's life."""
    return next((n.id for n in await docker.all_networks() if n.driver == "null"), "")
