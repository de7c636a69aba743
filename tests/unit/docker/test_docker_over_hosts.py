"""Docker engines of several hosts: one network of the cluster is one in each of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

import pytest

from tests.unit.cluster import Cluster, ClusterHost
from tests.unit.docker.fake_engine import FakeEngine
from tests.unit.docker.plugin import Plugin, plugin
from weft.control.space import WholeSpace
from weft.control.specs import NetworkSpec, PortSpec, SubnetSpec
from weft.ipam.records import blocks_id
from weft.model.addresses import ip_network
from weft.model.ids import HostId
from weft.model.records import AddressBlocks, DockerNetwork, Network, Owner, Port, Subnet
from weft.store.interface import Change, Delete, Put

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


async def test_a_network_made_on_one_engine_is_on_all_and_goes_from_all() -> None:
    async with machines("a", "b", "c") as (a, b, c):
        labels = {"com.docker.compose.network": "x"}
        await a.engine.create_network("foo", "10.1.0.0/24", labels=labels)
        await until(a.cluster, lambda: a.names == b.names == c.names == ["foo"])
        assert a.weft == b.weft == ["foo"]
        made = b.engine.by_name("foo")
        assert made is not None
        assert made["IPAM"]["Driver"] == "weft"
        assert [config["Subnet"] for config in made["IPAM"]["Config"]] == ["10.1.0.0/24"]
        assert made["Labels"]["com.docker.compose.network"] == "x"
        assert made["Labels"]["weft.network"] == a.host.control.networks.find("foo").id
        await b.engine.remove_network("foo")
        await until(a.cluster, lambda: a.names == b.names == c.names == [])
        await until(a.cluster, lambda: not list(a.host.store.list(DockerNetwork)))
        assert a.weft == []


async def test_a_network_of_wefts_own_is_in_every_engine_until_weft_removes_it() -> None:
    async with machines("a", "b") as (a, b):
        await a.host.control.networks.create(net("lan", "10.1.0.0/24", is_internal=True))
        await until(a.cluster, lambda: a.names == b.names == ["lan"])
        made = b.engine.by_name("lan")
        assert made is not None and made["Internal"] is True
        await b.engine.remove_network("lan")
        await until(a.cluster, lambda: b.names == ["lan"])
        assert a.names == ["lan"] and a.weft == ["lan"]
        await b.host.control.networks.remove("lan")
        await until(a.cluster, lambda: a.names == b.names == [])


async def test_subnets_of_both_families_and_none_with_a_gateway() -> None:
    async with machines("a", "b") as (a, b):
        subnets = tuple(
            SubnetSpec(cidr=ip_network(cidr), has_gateway=False)
            for cidr in ("10.1.0.0/24", "fd01::/64")
        )
        await a.host.control.networks.create(NetworkSpec(name="lan", subnets=subnets))
        await until(a.cluster, lambda: a.names == b.names == ["lan"])
        answer = await b.endpoint("lan")
        assert answer["Interface"]["Address"].startswith("10.1.0.")
        assert answer["Interface"]["AddressIPv6"].startswith("fd01::")


async def test_docker_network_rm_of_what_others_use_brings_it_back() -> None:
    async with machines("a", "b") as (a, b):
        await a.engine.create_network("foo", "10.1.0.0/24", ipam="weft")
        await until(a.cluster, lambda: b.names == ["foo"])
        await b.endpoint("foo")
        await until(a.cluster, lambda: bool(list(a.host.store.list(Port))))
        with pytest.raises(Exception, match=r"in use by .* on host b"):
            await a.host.control.networks.remove("foo")
        before = a.engine.by_name("foo")
        await a.engine.remove_network("foo")
        await until(a.cluster, lambda: a.names == ["foo"])
        assert a.engine.by_name("foo") != before
        assert a.weft == ["foo"]
        await b.end("foo")
        await until(a.cluster, lambda: not list(a.host.store.list(Port)))
        await a.engine.remove_network("foo")
        await until(a.cluster, lambda: a.names == b.names == [] and a.weft == [])


async def test_an_engine_that_was_away_catches_up() -> None:
    async with machines("a", "b", engines=("a",)) as (a, b):
        await a.engine.create_network("old", "10.1.0.0/24")
        await until(a.cluster, lambda: b.weft == ["old"])
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: b.names == ["old"])
        await a.engine.remove_network("old")
        await a.engine.create_network("new", "10.2.0.0/24")
        await until(a.cluster, lambda: b.weft == ["new"])
        assert b.names == ["old"]
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: b.names == ["new"])
            await quiet(a.cluster)
            assert a.names == b.names == ["new"]


async def test_an_engine_set_up_anew_gets_all_networks_and_takes_none_away() -> None:
    async with machines("a", "b", engines=("b",)) as (a, b):
        a.engine.networks.clear()
        a.engine.add_predefined("first-")
        async with a.engine.served(a.docker.settings.docker_socket):
            await until(a.cluster, lambda: a.docker.frontend.follower.is_connected)
            await a.engine.create_network("foo", "10.1.0.0/24")
            await until(a.cluster, lambda: b.names == ["foo"])
        a.engine.networks.clear()
        a.engine.add_predefined("second-")
        a.docker.frontend.state._clock = lambda: time.monotonic() + 1000
        async with a.engine.served(a.docker.settings.docker_socket):
            await until(a.cluster, lambda: a.names == ["foo"])
            await quiet(a.cluster)
            assert b.names == ["foo"]


async def test_a_name_that_docker_has_given_to_another_driver_is_shown_and_left_alone() -> None:
    async with machines("a", "b") as (a, b):
        await b.engine.create_network("foo", "172.30.0.0/24", driver="bridge")
        await a.engine.create_network("foo", "10.1.0.0/24")
        await until(a.cluster, lambda: b.notices)
        (notice,) = b.host.control.notices.list()
        assert (
            notice.reason
            == "network foo: not in Docker on host b: there is a bridge network of that name"
        )
        assert "on b: docker network rm foo" in notice.fix and "weft network rename" in notice.fix
        await quiet(a.cluster)
        assert b.engine.refused == []
        await b.engine.remove_network("foo")
        await until(
            a.cluster, lambda: (made := b.engine.by_name("foo")) and made["Driver"] == "weft"
        )
        await until(a.cluster, lambda: b.notices == [])


async def test_what_docker_refuses_is_not_asked_for_again_and_again() -> None:
    async with machines("a", "b") as (a, b):
        await a.host.control.networks.create(net("bridge", "10.1.0.0/24"))
        await until(a.cluster, lambda: a.notices and b.notices)
        for number in range(5):
            await a.host.control.networks.create(net(f"n{number}", f"10.2.{number}.0/24"))
        await until(a.cluster, lambda: len(a.names) == len(b.names) == 5)
        assert a.engine.refused == b.engine.refused == []


async def test_two_engines_that_make_the_same_network_at_once_share_one() -> None:
    async with machines("a", "b") as (a, b):
        await a.engine.create_network("foo", "10.1.0.0/24", is_told=False)
        await b.engine.create_network("foo", "10.1.0.0/24", is_told=False)
        for one in (a, b):
            made = one.engine.by_name("foo")
            assert made is not None
            await one.engine.say("network", "create", made["Id"], name="foo", type="weft")
        await until(a.cluster, lambda: a.weft == b.weft == ["foo"])
        await quiet(a.cluster)
        assert a.weft == b.weft == ["foo"] and a.names == b.names == ["foo"]
        assert a.notices == b.notices == []
        first = await a.endpoint("foo", "10.1.0.2/24")
        assert "Err" not in first
        await until(a.cluster, lambda: bool(list(b.host.store.list(Port))))
        answer = await b.endpoint("foo", "10.1.0.2/24")
        assert "10.1.0.2: in use by" in answer["Err"]
        assert "make the network with --ipam-driver weft" in answer["Err"]


class Divided(WholeSpace):
    """Says who has made a subnet, as where addresses are shared out."""

    def __init__(self, host: HostId) -> None:
        self._host = host

    def created(self, subnet: Subnet) -> Sequence[Change]:
        id = blocks_id(subnet.id, self._host)
        return [Put(AddressBlocks(id=id, subnet_id=subnet.id, host_id=self._host))]


async def test_two_engines_that_make_networks_with_one_subnet_at_once_have_a_pool_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with machines("a", "b") as (a, b):
        may_go_on = asyncio.Event()
        making: list[asyncio.Task[str]] = []
        waiting: list[str] = []
        for one, name in ((a, "foo"), (b, "bar")):
            monkeypatch.setattr(one.host.context, "space", Divided(one.host.id))
            plugin_network = one.docker.network

            async def late(
                method: str, plugin_network: Any = plugin_network, **request: object
            ) -> dict[str, Any]:
                if method == "CreateNetwork":
                    waiting.append(method)
                    await may_go_on.wait()
                answer: dict[str, Any] = await plugin_network(method, **request)
                return answer

            monkeypatch.setattr(one.docker, "network", late)
            create = one.engine.create_network(name, "10.1.0.0/24", ipam="weft", is_told=False)
            making.append(asyncio.create_task(create))
            await until(a.cluster, lambda: len(waiting) == len(making))
            await quiet(a.cluster)
        may_go_on.set()
        ids = await asyncio.gather(*making)
        for one, id, name in zip((a, b), ids, ("foo", "bar"), strict=True):
            await one.engine.say("network", "create", id, name=name, type="weft")
        await until(a.cluster, lambda: sorted(a.weft) == sorted(b.weft) == ["bar", "foo"])
        await quiet(a.cluster)
        for network in a.host.control.networks.list():
            (subnet,) = a.host.control.networks.subnets(network)
            assert str(subnet.cidr) == "10.1.0.0/24"
        for one in (a, b):
            assert {conflict.kind for conflict in one.host.control.conflicts()} == {"subnet"}


async def test_two_sides_of_a_partition_that_make_the_same_network_share_it_afterwards() -> None:
    async with machines("a", "b") as (a, b):
        await a.cluster.link([a.host], [b.host])
        await a.engine.create_network("foo", "10.1.0.0/24")
        await b.engine.create_network("foo", "10.1.0.0/24")
        await until(a.cluster, lambda: a.weft == b.weft == ["foo"])
        assert a.host.control.networks.list() != b.host.control.networks.list()
        await a.cluster.link([a.host, b.host])
        await until(
            a.cluster,
            lambda: (
                a.host.control.networks.list() == b.host.control.networks.list()
                and a.weft == ["foo"]
            ),
        )
        await quiet(a.cluster)
        assert a.weft == ["foo"] and a.names == b.names == ["foo"]
        assert "Err" not in await b.endpoint("foo", "10.1.0.9/24")


async def test_networks_made_and_used_apart_both_stay() -> None:
    async with machines("a", "b") as (a, b):
        await a.cluster.link([a.host], [b.host])
        for one in (a, b):
            await one.engine.create_network("foo", "10.1.0.0/24")
            await until(a.cluster, lambda one=one: one.weft == ["foo"])
            assert "Err" not in await one.endpoint("foo", "10.1.0.9/24")
        await a.cluster.link([a.host, b.host])
        await until(a.cluster, lambda: a.weft == b.weft == ["foo", "foo"])
        await quiet(a.cluster)
        for one in (a, b):
            assert one.weft == ["foo", "foo"] and one.names == ["foo"]
            kinds = {conflict.kind for conflict in one.host.control.conflicts()}
            assert kinds == {"name", "subnet"}


@pytest.mark.parametrize("name", ["", "foo"])
async def test_one_whose_subnet_was_wefts_to_choose_joins_with_that_subnet(name: str) -> None:
    async with machines("a", "b", engines=("a",)) as (a, b):
        await a.engine.create_network("foo", "10.1.0.0/24", ipam="weft")
        await until(a.cluster, lambda: b.weft == ["foo"])
        assert b.names == []
        options: dict[str, Any] = {"name": name} if name else {}
        await b.engine.create_network("foo", ipam="weft", **options)
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: a.weft == b.weft == ["foo"])
            network = b.host.control.networks.find("foo")
            assert len(b.host.control.networks.subnets(network)) == 2
            answer = await b.endpoint("foo")
            assert "Err" not in answer
            await quiet(a.cluster)
            assert a.weft == b.weft == ["foo"] and b.names == ["foo"] and b.notices == []


@contextlib.asynccontextmanager
async def one_behind() -> AsyncIterator[tuple[Machine, Machine]]:
    """The second has the cluster's ``foo`` in its records, and its engine does not run yet."""
    async with machines("a", "b", engines=("a",)) as (a, b):
        await a.engine.create_network("foo", "10.1.0.0/24", gateway="10.1.0.254", mtu="1400")
        await until(a.cluster, lambda: b.weft == ["foo"])
        yield a, b


@pytest.mark.parametrize("name", ["", "foo"])
async def test_a_network_with_a_name_of_the_cluster_joins_it(name: str) -> None:
    async with one_behind() as (a, b):
        options: dict[str, Any] = {"name": name} if name else {}
        docker_id = await b.engine.create_network(
            "foo", "10.1.0.0/24", gateway="10.1.0.254", **options
        )
        assert b.weft == ["foo"]
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(
                a.cluster,
                lambda: (r := b.host.store.get(DockerNetwork, docker_id)) and r.name == "foo",
            )
            assert "Err" not in await b.endpoint("foo", "10.1.0.5/24")
            await quiet(a.cluster)
            assert b.weft == ["foo"] and b.names == ["foo"] and b.notices == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"subnet": "10.2.0.0/24"}, "with subnet 10.1.0.0/24 and not subnet 10.2.0.0/24"),
        ({"gateway": "10.1.0.1"}, "with gateway 10.1.0.254 and not gateway 10.1.0.1"),
        ({"internal": True}, "with a way out (no --internal) and not no way out (--internal)"),
        ({"mtu": "1300"}, "with MTU 1400 and not MTU 1300"),
    ],
)
async def test_one_that_contradicts_the_cluster_fails_with_the_difference(
    options: dict[str, Any], said: str
) -> None:
    async with one_behind() as (_, b):
        wanted = {"gateway": "" if "subnet" in options else "10.1.0.254", **options}
        subnet = wanted.pop("subnet", "10.1.0.0/24")
        with pytest.raises(RuntimeError) as refused:
            await b.engine.create_network("foo", subnet, name="foo", **wanted)
        assert said in str(refused.value)
        assert b.weft == ["foo"]


async def test_one_whose_name_shows_late_that_it_contradicts_cannot_be_used() -> None:
    async with one_behind() as (a, b):
        await b.engine.create_network("foo", "10.2.0.0/24")
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: b.notices)
            answer = await b.endpoint("foo", "10.2.0.5/24")
            assert "with subnet 10.1.0.0/24 and not subnet 10.2.0.0/24" in answer["Err"]
            (notice,) = b.host.control.notices.list()
            assert notice.fix.startswith("docker network rm foo")
            assert a.names == ["foo"]
            await b.engine.remove_network("foo")
            await until(a.cluster, lambda: b.weft == ["foo"] and b.names == ["foo"])
            assert b.notices == []
            assert "Err" not in await b.endpoint("foo")


async def test_a_subnet_of_the_cluster_under_another_name_cannot_be_used() -> None:
    async with one_behind() as (a, b):
        docker_id = await b.engine.create_network("bar", "10.1.0.0/24", gateway="10.1.0.254")
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: b.names == ["bar", "foo"])
            answer = await b.endpoint("bar", "10.1.0.5/24")
            assert "network bar: its subnet is that of network foo" in answer["Err"]
            assert "Err" not in await b.endpoint("foo")
            await b.engine.remove_network("bar")
            await quiet(a.cluster)
            assert b.host.store.get(DockerNetwork, docker_id) is None
            assert a.names == b.names == ["foo"] and b.notices == []


async def test_an_endpoint_waits_for_the_name_of_its_network() -> None:
    async with one_behind() as (a, b):
        await b.engine.create_network("foo", "10.1.0.0/24", gateway="10.1.0.254")
        waiting = asyncio.create_task(b.endpoint("foo", "10.1.0.5/24"))
        await quiet(a.cluster)
        assert not waiting.done()
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, waiting.done)
            assert "Err" not in waiting.result()


async def test_a_network_that_was_renamed_gets_its_new_name_in_docker_once_it_is_unused() -> None:
    async with machines("a", "b") as (a, b):
        network = await a.host.control.networks.create(net("lan", "10.1.0.0/24"))
        await until(a.cluster, lambda: a.names == b.names == ["lan"])
        await b.endpoint("lan")
        await a.host.control.networks.rename(network.id, "wan")
        await until(a.cluster, lambda: a.names == ["wan"])
        assert b.names == ["lan"] and b.weft == ["wan"]
        await b.end("lan")
        await until(a.cluster, lambda: b.names == ["wan"])
        assert a.weft == ["wan"]


async def test_a_container_moves_with_its_address() -> None:
    async with machines("a", "b") as (a, b):
        await a.engine.create_network("foo", "10.1.0.0/24", ipam="weft")
        await until(a.cluster, lambda: b.names == ["foo"])
        first = await a.endpoint("foo", "10.1.0.9/24")
        await until(a.cluster, lambda: b.host.ports() == ["10.1.0.9"])
        await a.end("foo")
        await until(a.cluster, lambda: b.host.ports() == [])
        second = await b.endpoint("foo", "10.1.0.9/24")
        assert second == first
        await until(a.cluster, lambda: a.host.ports() == ["10.1.0.9"])


async def test_a_host_whose_records_are_lost_takes_its_mirrored_networks_up_again() -> None:
    async with machines("a", "b", engines=("a",)) as (a, b):
        await a.engine.create_network("foo", "10.1.0.0/24")
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: b.names == ["foo"])
            (docker_id,) = [
                r.id for r in b.host.store.list(DockerNetwork) if r.host_id == b.host.id
            ]
        await b.host.store.write([Delete(DockerNetwork, docker_id)])
        b.docker.frontend.state._clock = lambda: time.monotonic() + 1000
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: b.host.store.get(DockerNetwork, docker_id) is not None)
            await quiet(a.cluster)
            assert a.names == b.names == ["foo"] and a.weft == ["foo"]


async def test_what_weft_made_in_docker_of_a_network_that_is_gone_is_removed() -> None:
    async with machines("a", "b", engines=("a",)) as (a, b):
        await a.engine.create_network("foo", "10.1.0.0/24")
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: b.names == ["foo"])
            (docker_id,) = [
                r.id for r in b.host.store.list(DockerNetwork) if r.host_id == b.host.id
            ]
        await b.host.store.write([Delete(DockerNetwork, docker_id)])
        await a.engine.remove_network("foo")
        await until(a.cluster, lambda: not list(b.host.store.list(Network)))
        b.docker.frontend.state._clock = lambda: time.monotonic() + 1000
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: b.names == [])


async def test_a_port_of_another_kind_keeps_a_network_too() -> None:
    async with machines("a", "b") as (a, b):
        await a.engine.create_network("foo", "10.1.0.0/24", ipam="weft")
        await until(a.cluster, lambda: b.names == ["foo"])
        await b.host.control.ports.add(PortSpec(network="foo", names=("vm",), owner=CLI))
        await until(a.cluster, lambda: bool(a.host.ports()))
        await a.engine.remove_network("foo")
        await until(a.cluster, lambda: a.names == ["foo"])


async def test_who_makes_a_network_by_wefts_means_can_wait_until_docker_has_it() -> None:
    async with machines("a", "b", engines=("a",)) as (a, b):
        network = await a.host.control.networks.create(net("lan", "10.1.0.0/24"))
        await a.host.control.followers.settle()
        assert a.names == ["lan"]
        await b.host.control.followers.settle()  # there is nobody to wait for
        await a.host.control.networks.remove(network.id)
        await a.host.control.followers.settle()
        assert a.names == []
