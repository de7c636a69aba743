"""Networks of the network driver: create and remove.

Docker does not say what it calls a network, so it is made under a provisional name; the looks at
Docker rename it.
"""

from __future__ import annotations

import asyncio

import structlog

from weft.control.references import find_network
from weft.errors import ConflictError, InUseError, InvalidError, NotFoundError
from weft.frontends.docker import requested, routers
from weft.frontends.docker.awaited_names import AwaitedNames
from weft.frontends.docker.bindings import DockerNetwork
from weft.frontends.docker.options import parse_network_options
from weft.frontends.docker.protocol import (
    CheckGateway,
    CreateNetwork,
    Empty,
    GatewaysChecked,
    NetworkAllocated,
    NetworkReference,
)
from weft.frontends.docker.records import is_made_by_docker, is_made_for
from weft.frontends.docker.requested import Joined, Made
from weft.frontends.docker.state import DockerState
from weft.model.ids import NetworkId
from weft.model.records import Network

log = structlog.get_logger()

NEWS_S = 1.0
"""How long news of another host's ports may take."""


class NetworkCalls:
    """Calls about networks. One at a time: they are rare, and the looks at Docker join in."""

    def __init__(self, state: DockerState) -> None:
        self._state = state
        self._records = state.records
        self._control = state.control
        self.names = AwaitedNames(state.records)
        self.lock = asyncio.Lock()

    async def create(self, request: CreateNetwork) -> Empty:
        """CreateNetwork."""
        async with self.lock:
            await self.make(request)
        return Empty()

    async def make(self, request: CreateNetwork) -> None:
        """Make or join the network that a request means. With `lock` held."""
        self._state.touch(request.network)
        if self._records.network(request.network) is not None:
            return
        self._state.end(*requested.subnets_of(request))
        chosen, mirrored = self._state.memory().chosen, self._state.mirrored
        plan = requested.decide(request, self._records, chosen, mirrored)
        router = routers.router_of(self._control, parse_network_options(request.options))
        if isinstance(plan, Joined):
            network = plan.network
            await routers.connect(self._control, router, network)
            await self._bind(request.network, network, is_name_awaited=plan.is_name_awaited)
        else:
            network = plan.network or await self._make(plan)
            try:
                if plan.merged_into is None:
                    await routers.connect(self._control, router, network)
                await self._bind(request.network, network)
            except BaseException:
                await asyncio.shield(self._take_back(network))
                raise
            if plan.merged_into is not None:
                network = await self._control.networks.merge(network.id, plan.merged_into.id)
                await routers.connect(self._control, router, network)
        if network.id not in self._state.mirrored:
            self._state.begin(request.network)
        log.info("docker network created", network=network.name, docker_id=request.network[:12])

    async def delete(self, request: NetworkReference) -> Empty:
        """DeleteNetwork."""
        async with self.lock:
            await self.remove(request.network)
        return Empty()

    async def remove(self, docker_id: str) -> None:
        """A network is Docker's no more. With `lock` held.

        One that was made for Docker, on whichever host, goes from all hosts, unless something is on
        it or another network of this Docker is the same. Docker does not ask whether it may: what
        stays in the cluster comes back to it (see `reconcile.mirror`).
        """
        self._state.end(docker_id)
        record = self._records.docker_network(docker_id)
        if record is None:
            return
        await self._state.drop(docker_id)
        network = self._control.view.get(Network, record.network_id)
        if network is None or docker_id in self._state.leaving or self._is_here(network):
            return
        is_other = record.is_name_awaited or bool(record.contradiction)
        if is_made_for(network, docker_id) or (is_made_by_docker(network) and not is_other):
            await self._remove_unused(network)

    async def remove_leftover(self, network_id: NetworkId) -> None:
        """Remove a network made for this Docker that no Docker has. With `lock` held."""
        network = self._control.view.get(Network, network_id)
        if network is not None:
            await self._remove_unused(network)

    async def _take_back(self, network: Network) -> None:
        await routers.disconnect_unused(self._control, network)
        await self._control.networks.remove(network.id)

    def _is_here(self, network: Network) -> bool:
        here = self._control.host.id
        return any(record.host_id == here for record in self._records.anywhere(network))

    async def _remove_unused(self, network: Network) -> None:
        for port in list(self._records.ports()):
            if port.network_id == network.id:
                await self._control.ports.remove(port.id)
        await self._remove_when_unused(network)

    async def _remove_when_unused(self, network: Network) -> None:
        """What another host has just taken off it may be known here a moment later."""
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + NEWS_S
        while True:
            try:
                await self._take_back(network)
            except (InUseError, InvalidError) as error:
                if now_s() < deadline_s:
                    await asyncio.sleep(NEWS_S / 20)
                    continue
                log.warning("network stays, and comes back to docker", reason=str(error))
            except NotFoundError:
                pass
            else:
                log.info("docker network removed", network=network.name)
            return

    async def check_gateway(self, request: CheckGateway) -> GatewaysChecked:
        """GwAllocCheck: only subnets that are there already, without a gateway, need none."""
        options = parse_network_options(request.options)
        if not options.join:
            return GatewaysChecked()
        subnets = self._records.subnets(find_network(self._control.view, options.join))
        has = {s.cidr.version: s.gateway is not None for s in subnets}
        return GatewaysChecked(skips_ipv4=not has.get(4, True), skips_ipv6=not has.get(6, True))

    async def allocate(self, request: CreateNetwork) -> NetworkAllocated:
        """AllocateNetwork: swarm managers only; our scope is local, nothing needs to be kept."""
        parse_network_options({"com.docker.network.generic": request.options or {}})
        return NetworkAllocated(options={})

    async def free(self, request: NetworkReference) -> Empty:
        """FreeNetwork."""
        return Empty()

    async def _make(self, plan: Made) -> Network:
        try:
            return await self._control.networks.create(plan.spec, adopt=plan.adopt)
        except ConflictError as error:
            raise ConflictError(f"{error}{plan.hint}") from error

    async def _bind(
        self, docker_id: str, network: Network, *, is_name_awaited: bool = False
    ) -> None:
        await self._state.keep(
            DockerNetwork(
                docker_id=docker_id,
                network_id=network.id,
                host_id=self._control.host.id,
                engine=self._state.engine,
                is_name_awaited=is_name_awaited,
            )
        )
