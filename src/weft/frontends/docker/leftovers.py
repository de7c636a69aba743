"""Endpoints that Docker keeps of containers that are on a network no more.

Where containers outlive dockerd (``live-restore``), and one of them ends while weftd is away,
Docker cannot tell the driver and keeps the endpoint. Then no container of that name can be on the
network again, and the network cannot be removed. dockerd drops such endpoints when it is started
while weftd is there.
"""

from __future__ import annotations

from typing import NamedTuple

import structlog

from weft.control.notices import Notice
from weft.errors import WeftError
from weft.frontends.docker.dockerd import Dockerd
from weft.frontends.docker.state import DockerState

log = structlog.get_logger()

SOURCE = "docker endpoint"
WITHOUT_CONTAINER = "ep-"
"""With which the name of an endpoint begins, in Docker's list, that no container is joined to."""


class Leftover(NamedTuple):
    """An endpoint that no container is joined to."""

    network_id: str
    network: str
    """Its name."""
    endpoint: str
    container: str
    """Name of the container that it was made for."""


class Leftovers:
    """Removes what Docker lets go of, and tells the rest."""

    def __init__(self, state: DockerState) -> None:
        self._state = state
        self._notices = state.control.notices
        self._told: set[str] = set()

    async def clear(self, docker: Dockerd, found: list[Leftover]) -> None:
        """Of all leftovers that Docker has now."""
        for gone in self._told - {each.endpoint for each in found}:
            self._notices.take_back(SOURCE, gone)
            self._told.discard(gone)
        for each in found:
            if self._state.is_fresh(each.endpoint):
                continue  # on its way in or out
            try:
                await self._clear(docker, each)
            except WeftError as error:
                log.warning(
                    "dead endpoint not removed", container=each.container, reason=str(error)
                )

    async def _clear(self, docker: Dockerd, one: Leftover) -> None:
        container = await docker.container(one.container)
        if container is None:
            await docker.remove_endpoint(one.network_id, one.container)
            log.info("dead endpoint removed", container=one.container, network=one.network)
        elif container.state.status != "running":
            self._tell(one)

    def _tell(self, one: Leftover) -> None:
        """By its name Docker would take the container off the network, which is not what is
        wanted."""
        reason = (
            f"container {one.container}: cannot be started, for Docker keeps a dead place of it on "
            f"network {one.network}"
        )
        fix = "restart dockerd while weftd runs: systemctl restart docker"
        self._notices.put(SOURCE, Notice("container", one.endpoint, one.container, reason, fix))
        self._told.add(one.endpoint)
