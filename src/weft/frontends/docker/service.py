"""The Docker frontend as the daemon runs it: plugin server and follower of events."""

from __future__ import annotations

import asyncio

import structlog

from weft.config import Settings
from weft.errors import UnavailableError
from weft.frontends.docker.drivers import methods
from weft.frontends.docker.endpoints import EndpointCalls
from weft.frontends.docker.events import EventFollower
from weft.frontends.docker.following import RecordFollower
from weft.frontends.docker.ipam import IpamCalls
from weft.frontends.docker.networks import NetworkCalls
from weft.frontends.docker.plugin_socket import PluginSocket
from weft.frontends.docker.published import HostPorts, Probe
from weft.frontends.docker.reconcile.looks import Looks
from weft.frontends.docker.server import PluginServer
from weft.frontends.docker.state import DockerState

log = structlog.get_logger()

_RETRY_S = 30.0


class DockerFrontend:
    """Serves Docker's plugin protocol and learns from Docker what the protocol does not say."""

    def __init__(self, settings: Settings, state: DockerState, is_listening: Probe) -> None:
        self._settings = settings
        networks = NetworkCalls(state)
        endpoints = EndpointCalls(state, networks.names, HostPorts(state, is_listening))
        ipam = IpamCalls(state)
        self._server = PluginServer(methods(networks, endpoints, ipam))
        looks = Looks(state, networks, ipam)
        self.follower = EventFollower(
            settings.docker_socket,
            state,
            looks,
            RecordFollower(state, looks, settings.reconcile_s),
            settings.reconcile_s,
        )

    async def run(self) -> None:
        """Serve and follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._serve(), name="docker plugin")
            tasks.create_task(self.follower.run(), name="docker events")

    async def _serve(self) -> None:
        while True:
            try:
                with PluginSocket(self._settings) as socket:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._server.serve(socket.listener))
                        tasks.create_task(self._keep(socket))
            except UnavailableError as error:
                log.error("docker plugin not served", reason=str(error), retry_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S)

    async def _keep(self, socket: PluginSocket) -> None:
        """Put back what somebody cleaned away."""
        while True:
            await asyncio.sleep(self._settings.reconcile_s)
            if socket.repair():
                log.warning("docker plugin socket put back")
