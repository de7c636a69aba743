"""Finds a running container of Docker's for `weft attach`."""

from __future__ import annotations

from weft.config import Settings
from weft.errors import InvalidError
from weft.frontends.docker.dockerd import connect
from weft.host.targets import Container


class DockerFinder:
    """See `host.targets.ContainerFinder`."""

    def __init__(self, settings: Settings) -> None:
        self._socket = settings.docker_socket

    async def find_container(self, reference: str) -> Container | None:
        """By name or id. UnavailableError when Docker does not answer."""
        async with connect(self._socket) as docker:
            found = await docker.container(reference)
        if found is None:
            return None
        name = found.name.lstrip("/")
        if not found.state.pid:
            raise InvalidError(f"container {name}: does not run; start it: docker start {name}")
        if found.host.network_mode == "host":
            raise InvalidError(
                f"container {name}: shares the host's network namespace; "
                "the host gets a place with: weft expose NETWORK"
            )
        return Container(found.id, name, f"/proc/{found.state.pid}/ns/net")
