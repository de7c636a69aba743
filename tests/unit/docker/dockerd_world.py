"""A Docker engine and Weft's frontend in one process, without a socket between them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType

from msgspec.structs import replace

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from weft.config import Settings
from weft.control.context import Context
from weft.errors import UnavailableError, WeftError
from weft.frontends.docker import protocol
from weft.frontends.docker.answers import (
    DRIVER,
    ContainerFacts,
    ImageConfig,
    ImageFacts,
    Ipam,
    ListedContainer,
    NetworkEndpoint,
    NetworkFacts,
    NetworkRequest,
    PoolConfig,
)
from weft.frontends.docker.dockerd import Dockerd
from weft.frontends.docker.ipam import IpamCalls
from weft.frontends.docker.networks import NetworkCalls
from weft.frontends.docker.reconcile import gather
from weft.frontends.docker.reconcile.actions import (
    Action,
    InspectContainer,
    InspectImage,
    InspectNetwork,
)
from weft.frontends.docker.reconcile.decide import decide
from weft.frontends.docker.reconcile.looks import Looks
from weft.frontends.docker.state import DockerState
from weft.model.ids import HostId
from weft.model.records import KINDS, Record
from weft.store.memory import MemoryStore

ENGINE = "engine-1"
HOST = HostId("1" * 16)


class FakeDockerd(Dockerd):
    """An engine whose networks and containers are said. It asks the plugin as dockerd does."""

    def __init__(self) -> None:
        self.have: dict[str, NetworkFacts] = {
            ENGINE: NetworkFacts(id=ENGINE, name="none", driver="null")
        }
        self.run: dict[str, ContainerFacts] = {}
        self.calls: list[str] = []
        self.images: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.plugin: World

    def add(self, id: str, name: str, **facts: object) -> None:
        """A network, whether the plugin knows of it or not."""
        self.have[id] = replace(NetworkFacts(id=id, name=name, driver=DRIVER), **facts)

    def put(self, network_id: str, container_id: str, endpoint: str, name: str = "") -> None:
        """An endpoint on a network."""
        facts = self.have[network_id]
        place = NetworkEndpoint(endpoint=endpoint, name=name)
        containers = {**(facts.containers or {}), container_id: place}
        self.have[network_id] = replace(facts, containers=containers)

    async def networks(self) -> list[NetworkFacts]:
        return [facts for facts in await self.all_networks() if facts.driver == DRIVER]

    async def all_networks(self) -> list[NetworkFacts]:
        return [replace(facts, containers={}) for facts in self.have.values()]

    async def network(self, id: str) -> NetworkFacts | None:
        return self.have.get(id)

    async def container(self, id: str) -> ContainerFacts | None:
        return self.run.get(id)

    async def image(self, id: str) -> ImageFacts | None:
        self.asked.append(id)
        labels = self.images.get(id)
        return None if labels is None else ImageFacts(config=ImageConfig(labels=labels))

    async def create_network(self, request: NetworkRequest) -> None:
        self.calls.append(f"make {request.name}")
        if any(facts.name == request.name for facts in self.have.values()):
            raise UnavailableError(f"network with name {request.name} already exists")
        id = f"{len(self.calls):064x}"
        try:
            await self._ask_plugin(id, request)
        except WeftError as error:
            raise UnavailableError(str(error)) from error
        self.add(
            id,
            request.name,
            labels=request.labels,
            options=request.options,
            is_internal=request.is_internal,
            is_ipv6=request.is_ipv6,
            ipam=Ipam(driver=DRIVER, config=[_config(one) for one in request.ipam.config]),
        )

    async def _ask_plugin(self, id: str, request: NetworkRequest) -> None:
        pools = []
        for config in request.ipam.config:
            pool = await self.plugin.ipam.request_pool(
                protocol.RequestPool(pool=config["Subnet"], options=request.ipam.options)
            )
            gateway = await self.plugin.ipam.request_address(
                protocol.RequestAddress(
                    pool=pool.id,
                    address=config.get("Gateway", ""),
                    options={protocol.ADDRESS_TYPE: protocol.GATEWAY},
                )
            )
            pools.append(
                protocol.Pool(
                    address_space=protocol.ADDRESS_SPACE, pool=pool.pool, gateway=gateway.address
                )
            )
        await self.plugin.networks.create(
            protocol.CreateNetwork(
                network=id,
                options={
                    protocol.GENERIC: request.options,
                    protocol.INTERNAL: request.is_internal,
                },
                ipv4=[pool for pool in pools if ":" not in pool.pool],
                ipv6=[pool for pool in pools if ":" in pool.pool],
            )
        )

    async def remove_network(self, id: str) -> None:
        self.calls.append(f"remove {self.have[id].name}")
        if self.have[id].containers:
            raise UnavailableError("has active endpoints")
        await self.plugin.networks.delete(protocol.NetworkReference(network=id))
        del self.have[id]

    async def remove_endpoint(self, network_id: str, name: str) -> None:
        self.calls.append(f"disconnect {name}")
        facts = self.have[network_id]
        places = {id: p for id, p in (facts.containers or {}).items() if p.name != name}
        self.have[network_id] = replace(facts, containers=places)

    async def stopped_containers(self) -> list[ListedContainer]:
        return [
            ListedContainer(id=one.id, networks=one.networks)
            for one in self.run.values()
            if one.state.status != "running"
        ]

    async def start(self, id: str) -> None:
        self.calls.append(f"start {id}")
        one = self.run[id]
        self.run[id] = replace(one, state=replace(one.state, status="running", error=""))


class World:
    """One host with its records, its frontend and its engine. Docker spoke of nothing lately."""

    def __init__(self, *records: Record) -> None:
        self.now_s = 1_000_000.0
        self.store = MemoryStore(records)
        self.control = control_alone(
            Context(
                store=self.store,
                settler=AtOnce(),
                settings=Settings(name="h1"),
                host_id=HOST,
                wall_s=lambda: self.now_s,
                random_bytes=random.Random(7).randbytes,
                host_routes=tuple,
                targets=NothingRuns(),
                space=WholeSpace,
            )
        )
        self.state = DockerState(self.control, lambda: self.now_s, frozenset)
        self.networks = NetworkCalls(self.state)
        self.ipam = IpamCalls(self.state)
        self.looks = Looks(self.state, self.networks, self.ipam)
        self.docker = FakeDockerd()
        self.docker.plugin = self

    async def look(self, *, is_first: bool = False) -> None:
        """All looks that there are, when everything that Docker spoke of is long ago."""
        self.now_s += 100
        await self.looks.at_everything(self.docker, is_first=is_first)
        await self.looks.at_list(self.docker)
        await self.looks.at_stopped(self.docker)

    async def left(self) -> list[Action]:
        """What would still be done, but for questions."""
        self.now_s += 100
        records, memory = self.state.records, self.state.memory()
        everything = await gather.everything(self.docker, is_first=False)
        for facts in (everything, await gather.list_of_networks(self.docker, ENGINE)):
            for one in self.docker.run.values():
                facts = facts.with_container(one.id, one).with_container(one.name.lstrip("/"), one)
            for id, network in self.docker.have.items():
                if network.driver == DRIVER and not facts.is_everything:
                    facts = facts.with_network(id, network)
            found = [
                action
                for action in decide(facts, records, memory)
                if not isinstance(action, InspectNetwork | InspectContainer | InspectImage)
            ]
            if found:
                return found
        return []

    def snapshot(self) -> Mapping[str, object]:
        """Everything that there is, to be compared."""
        records = {
            (type(record).KIND, record.id): record
            for kind in KINDS
            for record in self.store.list(kind)
        }
        notices = tuple(self.control.notices.standing.items())
        return MappingProxyType(
            {"records": records, "docker": dict(self.docker.have), "notices": notices}
        )


def _config(config: Mapping[str, str]) -> PoolConfig:
    return PoolConfig(subnet=config["Subnet"], gateway=config.get("Gateway", ""))
