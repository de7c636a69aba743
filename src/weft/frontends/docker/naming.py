"""What Docker calls a network, and which network of the cluster it therefore is.

Docker asks for a network before it says what it calls it. So a network is made under a provisional
name, and once the name is known it is either new in the cluster, then the network gets it; or a
network of the cluster has it, then the two become one while nobody uses the new one; or they
contradict each other, then both stay, and nothing can be put on the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from msgspec.structs import replace

from weft.control.notices import Notice
from weft.control.references import networks_named
from weft.errors import ConflictError, InUseError, InvalidError, UnavailableError
from weft.frontends.docker.bindings import DockerNetwork
from weft.frontends.docker.difference import difference, wanted_by
from weft.frontends.docker.names import network_name, one_line
from weft.frontends.docker.state import (
    DockerState,
    is_made_for,
    is_name_provisional,
    provisional_name,
)
from weft.model.ids import NetworkId
from weft.model.records import Network

log = structlog.get_logger()

NAME_WAIT_S = 5.0
"""How long an endpoint waits for the name of its network, which comes by another way."""
SOURCE = "docker name"
_OTHERWISE = "docker name taken otherwise"


class Naming:
    """Gives networks of this host's Docker their names. With `NetworkCalls.lock` held."""

    def __init__(self, state: DockerState) -> None:
        self._state = state
        self._control = state.control
        self._settled = asyncio.Condition()
        self._kept: set[NetworkId] = set()

    async def learn(
        self, docker_id: str, name: str, labels: Mapping[str, str] | None = None
    ) -> None:
        """Docker has told a network's name."""
        record = self._state.docker_network(docker_id)
        if record is None or not name:
            return
        name = one_line(name)
        if record.name != name:
            record = replace(record, name=name)
            await self._state.keep(record)
        await self.settle(record, labels or {})

    async def settle(self, record: DockerNetwork, labels: Mapping[str, str] | None = None) -> None:
        """Let a network be what its name says, as the records are now. Again: nothing more."""
        network = self._control.view.get(Network, record.network_id)
        if network is None or not record.name:
            return
        await self._settle(record, network, labels or {})
        self._tell_of_another_name(record)

    def forget(self, docker_id: str) -> None:
        """A network is Docker's no more: nothing is wrong with its name."""
        self._control.notices.take_back(SOURCE, docker_id)
        self._control.notices.take_back(_OTHERWISE, docker_id)

    async def _settle(
        self, record: DockerNetwork, network: Network, labels: Mapping[str, str]
    ) -> None:
        if is_made_for(network, record.docker_id):
            contradiction = await self._settle_own(record, network, labels)
        elif record.is_name_awaited or record.contradiction:
            if is_name_provisional(network):
                return
            contradiction = _mistaken(record, network)
        else:
            return
        await self._note(record, contradiction)

    async def named(self, docker_id: str) -> None:
        """Return when it is known which network of the cluster this is; UnavailableError."""
        try:
            async with asyncio.timeout(NAME_WAIT_S), self._settled:
                await self._settled.wait_for(lambda: not self._is_awaited(docker_id))
        except TimeoutError:
            raise UnavailableError(
                f"network {docker_id[:12]}: Docker has not told weft its name yet; try again"
            ) from None

    def _is_awaited(self, docker_id: str) -> bool:
        record = self._state.docker_network(docker_id)
        return record is not None and record.is_name_awaited

    async def _settle_own(
        self, record: DockerNetwork, network: Network, labels: Mapping[str, str]
    ) -> str:
        """Of a network that was made for Docker's. Returns the contradiction, if any."""
        name = network_name(record.name)
        is_provisional = network.name == provisional_name(record.docker_id)
        if not is_provisional and network.name != name:
            return ""
        others = [n for n in networks_named(self._control.view, name) if n.id != network.id]
        if not others:
            return await self._rename(network, name, labels) if is_provisional or labels else ""
        other = self._preferred(others)
        if self._control.networks.users(network):
            return self._in_use(network, other) if is_provisional else ""
        if not is_provisional and not self._gives_way(network, other):
            return ""
        reason = self._difference(network, other)
        if not reason:
            return await self._merge(network, other)
        return reason if is_provisional else ""

    def _preferred(self, others: Sequence[Network]) -> Network:
        """Of several with the name, one that is used; among equals the smallest id."""
        return min(others, key=lambda n: (not self._control.networks.users(n), n.id))

    def _gives_way(self, network: Network, other: Network) -> bool:
        """Whether an unused network that has the name too is the one to go: of two hosts that ask
        themselves this at once, only one may come to say yes."""
        return bool(self._control.networks.users(other)) or other.id < network.id

    def _difference(self, network: Network, other: Network) -> str:
        subnets = self._control.networks.subnets(network)
        if not other.is_internal and all(map(self._state.is_chosen, subnets)):
            subnets = ()  # nobody asked for these: the other gets them beside its own
        return difference(wanted_by(network, subnets), other, self._control.networks.subnets(other))

    async def _rename(self, network: Network, name: str, labels: Mapping[str, str]) -> str:
        try:
            await self._control.networks.rename(network.id, name, labels)
        except (ConflictError, InvalidError) as error:
            if network.id not in self._kept:
                log.warning(
                    "network keeps its provisional name",
                    network=network.name,
                    docker_name=name,
                    reason=str(error),
                )
            self._kept.add(network.id)
        return ""

    async def _merge(self, network: Network, other: Network) -> str:
        try:
            await self._control.networks.merge(network.id, other.id)
        except InUseError:
            return self._in_use(network, other)
        log.info("docker network is one of the cluster", network=other.name, id=other.id)
        return ""

    def _in_use(self, network: Network, other: Network) -> str:
        return (
            f"network {other.name}: is in the cluster already, and what Docker called so is in use "
            f"as {network.name}; remove what is on it, or choose another name"
        )

    def _tell_of_another_name(self, record: DockerNetwork) -> None:
        """Of a network that Weft calls otherwise, for it takes no such name."""
        current = self._state.docker_network(record.docker_id)
        network = self._state.network(record.docker_id)
        name = network_name(record.name)
        if current is None or network is None or name == record.name or network.name != name:
            self._control.notices.take_back(_OTHERWISE, record.docker_id)
            return
        reason = (
            f"network {record.name}: Weft takes no such name; in Weft, and in the Docker of other "
            f"hosts, it is {name}"
        )
        fix = (
            "to call it alike everywhere, remove it in Docker and make it under a name of 1 to 63 "
            "letters, digits, '_', '.' and '-'"
        )
        notice = Notice("docker-network", record.docker_id, record.name, reason, fix)
        self._control.notices.put(_OTHERWISE, notice)

    async def _note(self, record: DockerNetwork, contradiction: str) -> None:
        current = self._state.docker_network(record.docker_id)
        if current is None:
            return
        noted = replace(current, is_name_awaited=False, contradiction=contradiction)
        if noted != current:
            await self._state.keep(noted)
        if contradiction:
            fix = f"docker network rm {record.name}; the cluster's network then comes by itself"
            notice = Notice("docker-network", record.docker_id, record.name, contradiction, fix)
            self._control.notices.put(SOURCE, notice)
        else:
            self._control.notices.take_back(SOURCE, record.docker_id)
        async with self._settled:
            self._settled.notify_all()


def _mistaken(record: DockerNetwork, network: Network) -> str:
    """Of one that was taken for a network by its subnets."""
    if network.name == network_name(record.name):
        return ""
    return (
        f"network {record.name}: its subnet is that of network {network.name}; choose another "
        f"subnet, or join that network with -o network={network.name}"
    )
