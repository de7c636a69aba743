"""Hosts of one cluster in memory, each with an engine that is made up and Weft's plugin."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from tests.unit.cluster import Cluster, ClusterHost
from tests.unit.docker.fake_engine import FakeEngine
from tests.unit.docker.plugin import Plugin, plugin
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.model.addresses import ip_network
from weft.model.records import Owner

CLI = Owner(frontend="cli", reference="test")


class Machine(NamedTuple):
    """A host of the cluster with its engine and its plugin."""

    cluster: Cluster
    host: ClusterHost
    engine: FakeEngine
    docker: Plugin

    @property
    def names(self) -> list[str]:
        """Networks as Docker lists them."""
        return self.engine.names()

    @property
    def weft(self) -> list[str]:
        """Networks as Weft lists them."""
        return [network.name for network in self.host.control.networks.list()]

    @property
    def endpoint_id(self) -> str:
        return self.host.name * 64

    @property
    def notices(self) -> list[str]:
        return [notice.reason for notice in self.host.control.notices.list()]

    async def endpoint(self, name: str, address: str = "") -> dict[str, Any]:
        """``docker run --net NAME``."""
        id = self.endpoint_id
        network = self.engine.by_name(name)
        assert network is not None
        answer = await self.docker.create_endpoint(address, id=id, network=network["Id"])
        if "Err" not in answer:
            network["Containers"][id] = {"EndpointID": id}
        return answer

    async def end(self, name: str) -> None:
        """``docker stop``."""
        id = self.endpoint_id
        network = self.engine.by_name(name)
        assert network is not None
        network["Containers"].pop(id)
        await self.docker.network("DeleteEndpoint", NetworkID=network["Id"], EndpointID=id)


@contextlib.asynccontextmanager
async def machines(
    *names: str, engines: tuple[str, ...] | None = None
) -> AsyncIterator[list[Machine]]:
    """All in one cluster. `engines`: the hosts whose engine runs, all if not said."""
    cluster = await Cluster.of(*names)
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for host in cluster.hosts:
            docker = await stack.enter_async_context(plugin(host=host))
            engine = FakeEngine()
            engine.plugin = docker
            engine.add_predefined()
            made.append(Machine(cluster, host, engine, docker))
            if engines is None or host.name in engines:
                await stack.enter_async_context(engine.served(docker.settings.docker_socket))
        for machine in made:
            if engines is None or machine.host.name in engines:
                await until(cluster, lambda machine=machine: machine.engine.followers == 1)
        yield made


async def until(cluster: Cluster, is_so: Callable[..., object], timeout_s: float = 10) -> None:
    """Let the hosts hear of each other until a condition holds."""
    async with asyncio.timeout(timeout_s):
        while not is_so():
            cluster.settle()
            await asyncio.sleep(0.005)


async def quiet(cluster: Cluster) -> None:
    """Let everything that is on its way come to its end."""
    for _ in range(30):
        cluster.settle()
        await asyncio.sleep(0.005)


def net(name: str, cidr: str, **more: Any) -> NetworkSpec:
    return NetworkSpec(name=name, subnets=(SubnetSpec(cidr=ip_network(cidr)),), **more)
