"""Makes Weft's records agree with what Docker has: names learnt, the forgotten removed.

dockerd killed, weftd killed, calls lost between them: after any of it, one look at all that
Docker has settles it. Things that Docker has spoken of within `GRACE_S` are left alone, since
they may be on their way into Docker's own store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog
from msgspec.structs import replace

from weft.errors import WeftError
from weft.frontends.docker.dockerd import (
    ContainerFacts,
    Dockerd,
    NetworkFacts,
    container_names,
)
from weft.frontends.docker.ipam import IpamCalls
from weft.frontends.docker.leftovers import WITHOUT_CONTAINER, Leftover, Leftovers
from weft.frontends.docker.names import dns_names
from weft.frontends.docker.names import labels as carried
from weft.frontends.docker.networks import NetworkCalls
from weft.frontends.docker.plugin_socket import ABSENT
from weft.frontends.docker.restore import NetworkRestorer
from weft.frontends.docker.state import LABEL, DockerState
from weft.model.records import Network, Port, Subnet

log = structlog.get_logger()

_REVIVED = ("always", "unless-stopped", "on-failure")


class Reconciler:
    """Compares Docker with Weft. Only the follower of events calls it, one call at a time."""

    def __init__(self, state: DockerState, networks: NetworkCalls, ipam: IpamCalls) -> None:
        self._state = state
        self._control = state.control
        self._networks = networks
        self._restorer = NetworkRestorer(state, networks, ipam)
        self._leftovers = Leftovers(state)

    async def reconcile(self, docker: Dockerd, *, is_first: bool) -> None:
        """One look at everything. `is_first`: since this connection was made."""
        self._state.engine = await _engine(docker)
        networks = await self._inspect(docker)
        containers: dict[str, None] = {}
        endpoints: set[str] = set()
        leftovers: list[Leftover] = []
        for network in networks:
            await self._restorer.restore(network)
            await self._learn_network(network)
            for container_id, endpoint in (network.containers or {}).items():
                endpoints.add(endpoint.endpoint)
                if container_id.startswith(WITHOUT_CONTAINER):
                    leftovers.append(
                        Leftover(network.id, network.name, endpoint.endpoint, endpoint.name)
                    )
                port = self._state.port(endpoint.endpoint)
                if port is not None and (is_first or not port.owner.container_id):
                    containers[container_id] = None
        self._state.learn_endpoints(frozenset(endpoints))
        await self._remove_ports()
        await self._remove_networks({network.id for network in networks})
        await self._remove_pools()
        await self._leftovers.clear(docker, leftovers)
        for container_id in containers:
            await self.learn_container(docker, container_id)

    async def learn_new_network(self, docker: Dockerd, docker_id: str, name: str) -> None:
        """A network that Docker has just made: its name, and its labels, which other hosts' engines
        get as well (docker compose knows its networks by them)."""
        facts = await docker.network(docker_id)
        if facts is not None:
            await self.learn_network(docker_id, name, facts.labels)

    async def learn_network(
        self, docker_id: str, name: str, labels: Mapping[str, str] | None = None
    ) -> None:
        """Docker's name for a network: recorded, and given to the network that was made for it."""
        async with self._networks.lock:
            record = self._state.docker_network(docker_id)
            if record is not None and record.engine != self._state.engine:
                await self._state.keep(replace(record, engine=self._state.engine))
            own = carried({key: v for key, v in (labels or {}).items() if key != LABEL})
            await self._networks.naming.learn(docker_id, name, own)

    async def _learn_network(self, network: NetworkFacts) -> None:
        """One that cannot be learnt keeps nobody from learning the others."""
        try:
            await self.learn_network(network.id, network.name, network.labels)
        except WeftError as error:
            log.warning("docker network not learnt", network=network.name, reason=str(error))

    async def learn_container(self, docker: Dockerd, container_id: str) -> None:
        """A container's names, for its ports."""
        if container_id.startswith(WITHOUT_CONTAINER):
            return
        try:
            container = await docker.container(container_id)
            if container is not None:
                await self._name_ports(container)
        except WeftError as error:
            log.debug("container not learnt", container=container_id[:12], reason=str(error))

    async def revive(self, docker: Dockerd) -> None:
        """Start what Docker would have started, had weftd been there at the time."""
        networks = {network.id for network in await docker.networks()}
        for listed in await docker.stopped_containers():
            places = (listed.networks.networks or {}).values()
            if not any(place.network in networks for place in places):
                continue
            container = await docker.container(listed.id)
            if container is None or ABSENT not in container.state.error:
                continue
            if container.host.restart.name in _REVIVED:
                await self._start(docker, container)

    async def _start(self, docker: Dockerd, container: ContainerFacts) -> None:
        name = container.name.lstrip("/")
        try:
            await docker.start(container.id)
        except WeftError as error:
            log.warning("container not started", container=name, reason=str(error))
        else:
            log.info("container started, weftd is back", container=name)

    async def _name_ports(self, container: ContainerFacts) -> None:
        for endpoint in (container.networks.networks or {}).values():
            port = self._state.port(endpoint.endpoint) if endpoint.endpoint else None
            if port is None:
                continue
            owner = replace(
                port.owner,
                container_id=container.id,
                container_name=container.name.lstrip("/"),
            )
            names = dns_names(container_names(container, endpoint))
            if (owner, names) != (port.owner, port.names):
                await self._control.ports.update(port.id, names=names, owner=owner)

    async def _inspect(self, docker: Dockerd) -> list[NetworkFacts]:
        found = [await docker.network(network.id) for network in await docker.networks()]
        return [network for network in found if network is not None]

    async def _remove_ports(self) -> None:
        for port in list(self._state.ports()):
            if self._state.is_gone(port.owner.reference):
                log.info("port removed, docker has it no more", port=_label(port))
                await self._control.ports.remove(port.id)

    async def _remove_networks(self, known: Iterable[str]) -> None:
        alive = set(known)
        async with self._networks.lock:
            for record in list(self._state.docker_networks()):
                if record.docker_id in alive or self._state.is_fresh(record.docker_id):
                    continue
                log.info("docker network is gone", name=record.name or record.docker_id[:12])
                if record.engine == self._state.engine:
                    await self._networks.remove(record.docker_id)
                else:  # another engine than the one that had it: nobody removed it
                    await self._networks.forget(record.docker_id)
            for network in list(self._control.view.list(Network)):
                await self._networks.remove_leftover(network)

    async def _remove_pools(self) -> None:
        """Pools whose network never came. One that is met for the first time gets its grace."""
        for subnet in list(self._control.view.list(Subnet)):
            if subnet.network_id is not None:
                continue
            if not self._state.has_touched(subnet.id):
                self._state.touch(subnet.id)
            elif not self._state.is_fresh(subnet.id):
                log.info("address pool removed, no network came for it", cidr=str(subnet.cidr))
                await self._control.pools.release(subnet.id)


async def _engine(docker: Dockerd) -> str:
    """The id of Docker's network without a network, which is made once in an engine's life."""
    return next((n.id for n in await docker.all_networks() if n.driver == "null"), "")


def _label(port: Port) -> str:
    return port.owner.container_name or port.owner.reference[:12]
