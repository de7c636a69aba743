"""Every network of Weft's is a network of this host's Docker, wherever and by whom it was made.

Follows the records: what is not in Docker is made there, what is no more in the records is removed
there, in the background and never while Docker waits for an answer of ours. What weftd makes in
Docker carries `state.LABEL`. What Docker refuses is not asked for again
until something has changed that may matter, or until the next look at everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

import structlog

from weft.cancellation import raise_if_cancelled
from weft.control.notices import Notice
from weft.errors import UnavailableError, WeftError
from weft.frontends.docker.bindings import DockerNetwork
from weft.frontends.docker.dockerd import (
    DRIVER,
    Dockerd,
    IpamRequest,
    NetworkFacts,
    NetworkRequest,
)
from weft.frontends.docker.names import network_name as weft_name
from weft.frontends.docker.names import one_line
from weft.frontends.docker.networks import NetworkCalls
from weft.frontends.docker.restore import is_stale
from weft.frontends.docker.state import (
    LABEL,
    MADE_BY,
    MADE_FOR,
    DockerState,
    is_name_provisional,
)
from weft.model.records import Binding, Network, Subnet
from weft.model.records.tenants import DEFAULT_TENANT, Tenant
from weft.semantics.tenants import tenant_of
from weft.store.interface import Changed, View

log = structlog.get_logger()

SOURCE = "docker"
_FOLLOWED = frozenset({Tenant, Network, Subnet, Binding})


class Mirror:
    """Keeps Docker's list of networks as Weft's is. One connection to Docker at a time."""

    def __init__(self, state: DockerState, networks: NetworkCalls, interval_s: float) -> None:
        self._state = state
        self._control = state.control
        self._networks = networks
        self._interval_s = interval_s
        self._due = asyncio.Event()
        self._refused: dict[str, NetworkRequest] = {}
        self._begun = 0
        self._ended = 0
        self._is_running = False
        self._looked = asyncio.Condition()

    def look_again(self) -> None:
        """Docker has networks no more that it had: what it refused it may take now."""
        self._refused.clear()
        self._due.set()

    async def run(self, docker: Dockerd) -> None:
        """Follow the records until cancelled."""
        self._due.set()
        self._is_running = True
        unwatch = self._control.watch(self._hear)
        unfollow = self._control.followers.add(self.settle)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._interval_s):
                        await self._due.wait()
                except TimeoutError:
                    self._refused.clear()
                self._due.clear()
                await self._look(docker)
        finally:
            unwatch()
            unfollow()
            self._is_running = False
            async with self._looked:
                self._looked.notify_all()

    async def settle(self) -> None:
        """Return after a look that began after this call; at once while Docker is away."""
        wanted = self._begun + 1
        self._due.set()
        async with self._looked:
            await self._looked.wait_for(lambda: self._ended >= wanted or not self._is_running)

    async def _look(self, docker: Dockerd) -> None:
        self._begun += 1
        number = self._begun
        try:
            await self.sync(docker)
        except WeftError as error:
            log.warning("docker's networks not brought up to date", reason=str(error))
            raise_if_cancelled()
        finally:
            self._ended = number
            async with self._looked:
                self._looked.notify_all()

    async def sync(self, docker: Dockerd) -> None:
        """One look: everything that Docker can be brought to now."""
        async with self._networks.lock:
            for record in list(self._state.docker_networks()):
                await self._networks.naming.settle(record)
        have = {facts.name: facts for facts in await docker.all_networks()}
        ids = {facts.id for facts in have.values()}
        for record in list(self._state.docker_networks()):
            if (
                record.docker_id in ids
                and self._control.view.get(Network, record.network_id) is None
            ):
                await self._remove(docker, record)
            elif record.docker_id in ids:
                await self._rename(docker, record, have)
        for facts in have.values():
            if facts.driver == DRIVER and self._state.docker_network(facts.id) is None:
                await self._remove_stale(docker, facts)
        for network in self._missing():
            await self._make(docker, network, have)

    def _hear(self, changes: Sequence[Changed]) -> None:
        if any(changed.key[0] in _FOLLOWED for changed in changes):
            self._due.set()

    def _missing(self) -> Iterator[Network]:
        """Networks that shall be in Docker and are not, by id."""
        names: set[str] = set()
        for network in sorted(self._control.networks.list(), key=lambda one: one.id):
            if is_name_provisional(network):
                continue
            name = docker_name(network, self._control.view)
            is_first = name not in names
            names.add(name)
            if self._state.is_in_docker(network):
                self._control.notices.take_back(SOURCE, network.id)
            elif is_first:  # of several that are called so, see `conflicts`, the first
                yield network

    async def _make(
        self, docker: Dockerd, network: Network, have: Mapping[str, NetworkFacts]
    ) -> None:
        subnets = self._control.networks.subnets(network)
        name = docker_name(network, self._control.view)
        request = request_for(network, name, subnets)
        other = have.get(request.name) or _same_network(have.values(), request.name)
        if other is not None and other.driver == DRIVER:
            return  # on its way in or out of Docker, or contradicting: `naming` has told
        if not subnets or self._refused.get(network.id) == request:
            return
        if other is not None:
            self._refuse(network, request, f"there is a {other.driver} network of that name")
            return
        try:
            await docker.create_network(request)
        except UnavailableError as error:
            self._refuse(network, request, str(error))
        else:
            self._control.notices.take_back(SOURCE, network.id)
            log.info("network made in docker", network=network.name)

    def _refuse(self, network: Network, request: NetworkRequest, reason: str) -> None:
        self._refused[network.id] = request
        host = self._control.host.name
        self._control.notices.put(
            SOURCE,
            Notice(
                kind="network",
                id=network.id,
                name=network.name,
                reason=f"network {network.name}: not in Docker on host {host}: {reason}",
                fix=f"on {host}: docker network rm {request.name}; or give Weft's another name: "
                f"weft network rename {network.id} NEW-NAME",
            ),
        )

    async def _remove(self, docker: Dockerd, record: DockerNetwork) -> None:
        with_name = record.name or record.docker_id[:12]
        try:
            await self._take_out(docker, record.docker_id)
        except UnavailableError as error:
            self._control.notices.put(
                SOURCE,
                Notice(
                    kind="docker-network",
                    id=record.docker_id,
                    name=with_name,
                    reason=f"network {with_name}: was removed, but Docker keeps it: {error}",
                    fix=f"remove what is on it, then: docker network rm {with_name}",
                ),
            )
        else:
            self._control.notices.take_back(SOURCE, record.docker_id)
            log.info("network removed from docker", network=with_name)

    async def _remove_stale(self, docker: Dockerd, facts: NetworkFacts) -> None:
        """What weftd once made there of a network that is gone, and of which it has no record."""
        if not is_stale(self._state, facts) or self._state.is_fresh(facts.id):
            return
        inspected = await docker.network(facts.id)
        if inspected is not None and not inspected.containers:
            await self._take_out(docker, facts.id)
            log.info("network removed from docker", network=facts.name)

    async def _rename(
        self, docker: Dockerd, record: DockerNetwork, have: Mapping[str, NetworkFacts]
    ) -> None:
        """Docker gives networks no new names: one that weftd made, and on which nothing is, is
        made anew."""
        facts = have.get(record.name)
        network = self._control.view.get(Network, record.network_id)
        if network is None or facts is None or LABEL not in (facts.labels or {}):
            return
        if docker_name(network, self._control.view) in (record.name, *have) or is_name_provisional(
            network
        ):
            return
        inspected = await docker.network(record.docker_id)
        if inspected is not None and not inspected.containers:
            await self._take_out(docker, record.docker_id)

    async def _take_out(self, docker: Dockerd, docker_id: str) -> None:
        self._state.leaving.add(docker_id)
        try:
            await docker.remove_network(docker_id)
        finally:
            self._state.leaving.discard(docker_id)


def _same_network(have: Iterable[NetworkFacts], name: str) -> NetworkFacts | None:
    """One of Weft's driver that Docker calls as Weft does not, and that will be called `name`."""
    return next(
        (each for each in have if each.driver == DRIVER and weft_name(one_line(each.name)) == name),
        None,
    )


def docker_name(network: Network, view: View) -> str:
    """What a network of Weft's is called in Docker."""
    is_default = network.tenant_id == DEFAULT_TENANT
    return network.name if is_default else f"{network.name}.{tenant_of(view, network)}"


def request_for(network: Network, name: str, subnets: Sequence[Subnet]) -> NetworkRequest:
    """What makes a network of Weft's one of Docker's."""
    labels = {key: value for key, value in network.labels if key not in (MADE_BY, MADE_FOR)}
    return NetworkRequest(
        name=name,
        is_internal=network.is_internal,
        is_ipv6=any(subnet.cidr.version == 6 for subnet in subnets),
        options={"network": network.id},
        labels={**labels, LABEL: network.id},
        ipam=IpamRequest(
            options={"network": network.id},
            config=[_config(subnet) for subnet in subnets],
        ),
    )


def _config(subnet: Subnet) -> dict[str, str]:
    config = {"Subnet": str(subnet.cidr)}
    if subnet.gateway is not None:
        config["Gateway"] = str(subnet.gateway)
    return config
