"""Does what was decided, in the records or in Docker. What fails is said, and decided anew at the
next look."""

from __future__ import annotations

import structlog

from weft.control.notices import Notice
from weft.errors import ConflictError, InUseError, InvalidError, UnavailableError, WeftError
from weft.frontends.docker import protocol
from weft.frontends.docker.dockerd import Dockerd
from weft.frontends.docker.ipam import IpamCalls
from weft.frontends.docker.networks import NetworkCalls
from weft.frontends.docker.reconcile import mirror
from weft.frontends.docker.reconcile.actions import (
    Action,
    ForgetNetwork,
    GroupPort,
    InspectContainer,
    InspectImage,
    InspectNetwork,
    MakeNetwork,
    MeetPool,
    MergeNetwork,
    NamePort,
    OfDocker,
    ReleasePool,
    Remember,
    RemoveEndpoint,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
    RenameNetwork,
    RestoreNetwork,
    StartContainer,
    TakeBack,
    TakeOut,
    TakeOutUnused,
    Tell,
)
from weft.frontends.docker.reconcile.facts import DockerFacts
from weft.frontends.docker.reconcile.restore import network_request, pool_requests
from weft.frontends.docker.state import DockerState
from weft.model.ids import NetworkId
from weft.model.records import Network

log = structlog.get_logger()


class CarryingOut:
    """All that an action may become."""

    def __init__(self, state: DockerState, networks: NetworkCalls, ipam: IpamCalls) -> None:
        self._state = state
        self._control = state.control
        self._networks = networks
        self._ipam = ipam
        self._kept: set[NetworkId] = set()
        """Networks of which the log says already that they keep their provisional names."""

    async def carry_out(self, action: Action, docker: Dockerd, facts: DockerFacts) -> DockerFacts:
        """Do it. Returns what is known of Docker then."""
        if isinstance(action, OfDocker):
            return await self._in_docker(action, docker, facts)
        try:
            await self._in_records(action, facts)
        except WeftError as error:
            log.warning("not done, tried again", what=type(action).__name__, reason=str(error))
        return facts

    # In Docker.

    async def _in_docker(
        self, action: OfDocker, docker: Dockerd, facts: DockerFacts
    ) -> DockerFacts:
        match action:
            case InspectNetwork(docker_id):
                return facts.with_network(docker_id, await docker.network(docker_id))
            case InspectContainer(reference):
                return await self._inspect_container(reference, docker, facts)
            case InspectImage(image_id):
                return await self._inspect_image(image_id, docker, facts)
            case MakeNetwork(network_id):
                await self._make(action, self._control.view.get(Network, network_id), docker)
            case TakeOut():
                return await self._take_out(action, docker, facts)
            case TakeOutUnused(docker_id, name):
                return await self._remove_from_docker(docker_id, name, docker, facts)
            case RemoveEndpoint():
                await self._remove_endpoint(action, docker)
            case StartContainer():
                await self._start(action, docker)
        return facts

    async def _inspect_container(
        self, reference: str, docker: Dockerd, facts: DockerFacts
    ) -> DockerFacts:
        try:
            return facts.with_container(reference, await docker.container(reference))
        except WeftError as error:
            log.debug("container not learnt", container=reference[:12], reason=str(error))
            return facts

    async def _inspect_image(
        self, image_id: str, docker: Dockerd, facts: DockerFacts
    ) -> DockerFacts:
        try:
            image = await docker.image(image_id)
        except WeftError as error:
            log.debug("image not learnt", image=image_id[:19], reason=str(error))
            return facts
        return facts if image is None else facts.with_image(image_id, image.labels)

    async def _make(self, action: MakeNetwork, network: Network | None, docker: Dockerd) -> None:
        if network is None:
            return
        request = mirror.request_for(network, action.name, self._state.records.subnets(network))
        self._state.mirrored.add(network.id)
        try:
            await docker.create_network(request)
        except UnavailableError as error:
            self._state.refused[network.id] = request
            host = self._control.host.name
            self._tell(mirror.SOURCE, mirror.refusal(network, action.name, host, str(error)))
        else:
            log.info("network made in docker", network=network.name)
        finally:
            self._state.mirrored.discard(network.id)

    async def _take_out(self, action: TakeOut, docker: Dockerd, facts: DockerFacts) -> DockerFacts:
        try:
            return await self._remove_from_docker(action.docker_id, action.name, docker, facts)
        except UnavailableError as error:
            self._tell(mirror.SOURCE, mirror.kept(action.docker_id, action.name, str(error)))
            return facts

    async def _remove_from_docker(
        self, docker_id: str, name: str, docker: Dockerd, facts: DockerFacts
    ) -> DockerFacts:
        self._state.leaving.add(docker_id)
        try:
            await docker.remove_network(docker_id)
        finally:
            self._state.leaving.discard(docker_id)
        log.info("network removed from docker", network=name)
        return facts.without(docker_id)

    async def _remove_endpoint(self, action: RemoveEndpoint, docker: Dockerd) -> None:
        container = action.container
        try:
            await docker.remove_endpoint(action.docker_id, container)
        except WeftError as error:
            log.warning("dead endpoint not removed", container=container, reason=str(error))
        else:
            log.info("dead endpoint removed", container=container, network=action.network)

    async def _start(self, action: StartContainer, docker: Dockerd) -> None:
        try:
            await docker.start(action.container_id)
        except WeftError as error:
            log.warning("container not started", container=action.name, reason=str(error))
        else:
            log.info("container started, weftd is back", container=action.name)

    # In the records.

    async def _in_records(self, action: Action, facts: DockerFacts) -> None:
        match action:
            case RestoreNetwork():
                await self._restore(action, facts)
            case Remember(network):
                await self._state.keep(network)
                await self._networks.names.look_again()
            case RenameNetwork():
                await self._rename(action)
            case MergeNetwork():
                await self._merge(action)
            case RemovePort(port_id, label):
                log.info("port removed, docker has it no more", port=label)
                await self._control.ports.remove(port_id)
            case NamePort(port_id, names, owner, labels):
                await self._control.ports.update(port_id, names=names, owner=owner, labels=labels)
            case GroupPort(port_id, groups):
                await self._control.ports.update(port_id, groups=groups)
            case RemoveNetwork(docker_id, name):
                log.info("docker network is gone", name=name)
                await self._networks.remove(docker_id)
            case ForgetNetwork(docker_id, name):
                log.info("docker network is gone", name=name)
                await self._state.drop(docker_id)
            case RemoveLeftover(network_id):
                await self._networks.remove_leftover(network_id)
            case MeetPool(subnet_id):
                self._state.touch(subnet_id)
            case ReleasePool(subnet_id, cidr):
                log.info("address pool removed, no network came for it", cidr=str(cidr))
                await self._control.pools.release(subnet_id)
            case Tell(source, notice):
                self._tell(source, notice)
            case TakeBack(source, id):
                self._control.notices.take_back(source, id)

    async def _restore(self, action: RestoreNetwork, facts: DockerFacts) -> None:
        network = facts.inspected[action.docker_id]
        assert network is not None
        pools: list[str] = []
        try:
            for request, taken in pool_requests(network):
                pools.append((await self._ipam.request_pool(request)).id)
                for address in taken:
                    await self._ipam.request_address(
                        protocol.RequestAddress(pool=pools[-1], address=address)
                    )
            await self._networks.make(network_request(network, self._state.records))
        except WeftError as error:
            log.error(
                "docker network cannot be restored",
                network=action.name,
                reason=str(error),
                fix="remove it in Docker and create it again",
            )
            for pool in pools:
                await self._ipam.release_pool(protocol.ReleasePool(pool=pool))
        else:
            log.warning("docker network restored", network=action.name)

    async def _rename(self, action: RenameNetwork) -> None:
        try:
            await self._control.networks.rename(action.network_id, action.name, dict(action.labels))
        except (ConflictError, InvalidError) as error:
            if action.network_id not in self._kept:
                log.warning(
                    "network keeps its provisional name",
                    network=action.provisional,
                    docker_name=action.name,
                    reason=str(error),
                )
            self._kept.add(action.network_id)

    async def _merge(self, action: MergeNetwork) -> None:
        try:
            other = await self._control.networks.merge(action.network_id, action.into)
        except InUseError:
            return  # since it was decided: then the two contradict each other
        log.info("docker network is one of the cluster", network=other.name, id=other.id)

    def _tell(self, source: str, notice: Notice) -> None:
        self._control.notices.put(source, notice)
