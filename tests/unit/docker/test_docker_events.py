"""What is learnt from Docker in the background, and what is taken back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.unit.docker.fake_engine import FakeEngine
from tests.unit.docker.plugin import (
    ENDPOINT,
    NETWORK,
    OTHER_ENDPOINT,
    OTHER_NETWORK,
    Plugin,
    plugin,
)
from weft.control.group_specs import GroupSpec
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.frontends.docker import events
from weft.frontends.docker.dockerd import Dockerd, connect
from weft.frontends.docker.events import is_there
from weft.frontends.docker.plugin_socket import ABSENT
from weft.model.addresses import ip_network
from weft.model.records import Subnet

CONTAINER = "c" * 64


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def age(docker: Plugin) -> None:
    """Let everything that Docker spoke of be long ago."""
    docker.later_s = 1000


def names(docker: Plugin) -> list[str]:
    return [network.name for network in docker.control.networks.list()]


async def test_a_network_takes_dockers_name_when_docker_tells_it() -> None:
    engine = FakeEngine()
    async with plugin() as docker, engine.served(docker.settings.docker_socket):
        await until(lambda: engine.followers == 1)
        await docker.create_network()
        assert names(docker) == [f"docker-{NETWORK[:12]}"]
        engine.add_network(NETWORK, "foo")
        await engine.say("network", "create", NETWORK, name="foo", type="weft")
        await until(lambda: names(docker) == ["foo"])
        record = docker.state.records.docker_network(NETWORK)
        assert record is not None and record.name == "foo"


async def test_where_there_is_no_engine_no_connection_is_made_until_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []
    looked = asyncio.Event()

    def looking(socket: str) -> bool:
        looked.set()
        return is_there(socket)

    def connecting(socket: str) -> AbstractAsyncContextManager[Dockerd]:
        tried.append(socket)
        return connect(socket)

    monkeypatch.setattr(events, "connect", connecting)
    monkeypatch.setattr(events, "is_there", looking)
    engine = FakeEngine()
    async with plugin() as docker:
        async with asyncio.timeout(10):
            for _ in range(2):
                looked.clear()
                await looked.wait()
        assert tried == []
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.followers == 1)
        assert tried == [docker.settings.docker_socket]


async def test_an_engine_that_ends_is_not_held_up() -> None:
    """dockerd 23 and later waits 5 s for open requests, the stream of events among them."""
    engine = FakeEngine()
    patience_s = 30.0
    async with plugin() as docker:
        async with engine.served(docker.settings.docker_socket, patience_s=patience_s):
            await until(lambda: engine.followers == 1)
            started_s = time.monotonic()
        assert time.monotonic() - started_s < patience_s / 3
        engine.add_network(NETWORK, "foo")
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: names(docker) == ["foo"])


async def test_an_engine_that_closes_idle_connections_is_followed_all_the_same() -> None:
    """As a proxy in front of it may."""
    engine = FakeEngine()
    async with (
        plugin() as docker,
        engine.served(docker.settings.docker_socket, keepalive_s=0.05),
    ):
        await until(lambda: engine.pings == 2)
        assert engine.followers == 1


async def test_a_name_missed_is_learnt_at_the_next_connection() -> None:
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    async with plugin() as docker:
        await docker.create_network()
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: names(docker) == ["foo"])


async def test_a_name_that_is_taken_leaves_the_provisional_one() -> None:
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    async with plugin() as docker:
        spec = NetworkSpec(name="foo", subnets=(SubnetSpec(cidr=ip_network("10.9.0.0/24")),))
        await docker.control.networks.create(spec)
        await docker.create_network()
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.followers == 1)
            assert sorted(names(docker)) == [f"docker-{NETWORK[:12]}", "foo"]
            await docker.control.networks.remove("foo")
            await engine.say("network", "create", NETWORK, name="foo", type="weft")
            await until(lambda: names(docker) == ["foo"])


async def test_a_name_that_was_chosen_stays() -> None:
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    async with plugin() as docker:
        await docker.create_network(name="chosen")
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.followers == 1)
            assert names(docker) == ["chosen"]


async def test_a_containers_names_are_those_that_dns_can_carry() -> None:
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    async with plugin() as docker:
        await docker.create_network()
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.followers == 1)
            await docker.create_endpoint()
            engine.add_container(CONTAINER, "Web_1", NETWORK, ENDPOINT)
            await engine.say("network", "connect", NETWORK, container=CONTAINER, type="weft")
            await until(lambda: bool((port := docker.port()) and port.names))
            port = docker.port()
            assert port is not None
            assert port.names == ("web_1", "shop", "front")
            assert (port.owner.container_name, port.owner.container_id) == ("Web_1", CONTAINER)
            engine.containers[CONTAINER]["Name"] = "/other"
            await engine.say("container", "rename", CONTAINER, name="other")
            await until(lambda: bool((port := docker.port()) and "other" in port.names))


async def test_a_containers_own_labels_are_learnt_with_its_names() -> None:
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    async with plugin() as docker:
        await docker.create_network()
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.followers == 1)
            await docker.create_endpoint()
            engine.images["sha256:1"] = {"Config": {"Labels": {"maker": "x"}}}
            engine.add_container(
                CONTAINER,
                "web",
                NETWORK,
                ENDPOINT,
                Image="sha256:1",
                Config={"Labels": {"maker": "x", "app": "shop", "weft.groups": "web"}},
            )
            await engine.say("network", "connect", NETWORK, container=CONTAINER, type="weft")
            await until(lambda: bool((port := docker.port()) and port.labels))
            port = docker.port()
            assert port is not None
            assert port.labels == (("app", "shop"), ("weft.groups", "web"))
            await until(lambda: bool(docker.control.notices.list()))
            await docker.control.groups.create(GroupSpec(name="web"))
            await until(lambda: bool((port := docker.port()) and port.groups))
            await until(lambda: not docker.control.notices.list())


async def test_endpoints_and_networks_that_docker_forgot_are_removed() -> None:
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_network(OTHER_NETWORK, ("10.9.0.0/24", "10.9.0.1/24"))
        await docker.create_endpoint()
        await docker.create_endpoint("192.168.1.3/24", id=OTHER_ENDPOINT)
        await docker.create_endpoint("10.9.0.2/24", id="x" * 64, network=OTHER_NETWORK)
        engine.add_container(CONTAINER, "web", NETWORK, ENDPOINT)
        age(docker)
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.followers == 1)
            assert docker.port(ENDPOINT) is not None
            assert docker.port(OTHER_ENDPOINT) is None
            assert docker.port("x" * 64) is None
            assert names(docker) == ["foo"]


async def test_what_docker_spoke_of_just_now_is_left_alone() -> None:
    engine = FakeEngine()
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_endpoint()
        await docker.ipam("RequestPool", Pool="10.9.0.0/24")
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.followers == 1)
            assert docker.port() is not None
            assert len(tuple(docker.store.list(Subnet))) == 2


async def test_after_a_crash_of_docker_nothing_is_on_its_way_any_more() -> None:
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    async with plugin() as docker:
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.followers == 1)
            await docker.create_network()
            await docker.create_endpoint()
        await until(lambda: not docker.frontend.follower.is_connected)
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: docker.port() is None)


async def test_a_pool_whose_network_never_came_is_removed() -> None:
    engine = FakeEngine()
    async with plugin() as docker:
        await docker.ipam("RequestPool", Pool="10.9.0.0/24")
        age(docker)
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: docker.records() == {})


async def restored(docker: Plugin, engine: FakeEngine, driver: str) -> None:
    config = {
        "Subnet": "10.9.0.0/24",
        "IPRange": "10.9.0.128/25",
        "Gateway": "10.9.0.254",
        "AuxiliaryAddresses": {"printer": "10.9.0.128"},
    }
    ipam = {"Driver": driver, "Options": {}, "Config": [config]}
    engine.add_network(NETWORK, "foo", IPAM=ipam, Internal=True, Options={"mtu": "1400"})
    async with engine.served(docker.settings.docker_socket):
        await until(lambda: names(docker) == ["foo"])
    network = docker.control.networks.find("foo")
    (subnet,) = docker.control.networks.subnets(network)
    assert (network.is_internal, network.mtu_bytes) == (True, 1400)
    assert str(subnet.gateway) == "10.9.0.254"


async def test_a_network_that_weft_lost_is_made_again() -> None:
    async with plugin() as docker:
        await restored(docker, FakeEngine(), "default")
        (subnet,) = docker.store.list(Subnet)
        assert subnet.allocator == "docker"
        assert "Err" not in await docker.create_endpoint("10.9.0.200/24")


async def test_a_gateway_that_docker_does_not_tell_is_the_one_it_took() -> None:
    engine = FakeEngine()
    for id, cidr, driver in (
        (NETWORK, "10.9.0.0/24", "default"),
        (OTHER_NETWORK, "fd09::/64", "weft"),
    ):
        ipam = {"Driver": driver, "Options": None, "Config": [{"Subnet": cidr}]}
        engine.add_network(id, f"n{id[0]}", IPAM=ipam)
    async with plugin() as docker, engine.served(docker.settings.docker_socket):
        await until(lambda: len(names(docker)) == 2)
        gateways = {str(subnet.gateway) for subnet in docker.store.list(Subnet)}
        assert gateways == {"10.9.0.1", "fd09::1"}


async def test_a_network_of_wefts_own_addresses_is_made_again() -> None:
    async with plugin() as docker:
        await restored(docker, FakeEngine(), "weft")
        pool_id = "lost/10.9.0.0/24"
        given: dict[str, Any] = await docker.ipam("RequestAddress", PoolID=pool_id)
        assert given == {"Address": "10.9.0.129/24"}


async def test_containers_that_missed_weftd_are_started_and_no_others() -> None:
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    for id, error, policy in (
        ("1", f"could not read {ABSENT}", "always"),
        ("2", f"could not read {ABSENT}", "no"),
        ("3", "out of memory", "always"),
        ("4", f"could not read {ABSENT}", "unless-stopped"),
    ):
        engine.add_container(
            id,
            f"c{id}",
            NETWORK,
            "",
            State={"Status": "exited", "Error": error},
            HostConfig={"RestartPolicy": {"Name": policy}},
        )
    async with plugin() as docker, engine.served(docker.settings.docker_socket):
        await until(lambda: len(engine.started) == 2)
        assert sorted(engine.started) == ["1", "4"]


async def test_calls_are_answered_while_docker_hangs() -> None:
    engine = FakeEngine()
    engine.is_hanging = True
    async with plugin() as docker, engine.served(docker.settings.docker_socket):
        started_s = time.monotonic()
        assert await docker.create_network() == {}
        assert "Err" not in await docker.create_endpoint()
        assert "Err" not in await docker.about("Join")
        assert await docker.about("DeleteEndpoint") == {}
        assert time.monotonic() - started_s < 5


async def test_the_engine_may_come_and_go() -> None:
    engine = FakeEngine()
    async with plugin() as docker:
        for number in (1, 2):
            async with engine.served(docker.settings.docker_socket):
                await until(lambda number=number: engine.followers == number)  # type: ignore[misc]
                assert docker.frontend.follower.is_connected
            await until(lambda: not docker.frontend.follower.is_connected)


async def test_dead_endpoints_are_removed_or_told_where_their_container_would_suffer() -> None:
    """With live-restore Docker keeps them of containers that ended while weftd was away."""
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    for number, name in enumerate(("gone", "stopped", "runs")):
        place = {"Name": name, "EndpointID": f"{number}" * 64}
        engine.networks[NETWORK]["Containers"][f"ep-{number}"] = place
        if name != "gone":
            engine.add_container(name * 12, name, NETWORK, "")
    engine.containers["stopped" * 12]["State"]["Status"] = "exited"
    async with plugin() as docker:
        await docker.create_network()
        notices = docker.control.notices.list
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.disconnected == ["gone"] and len(notices()) == 1)
            assert "container stopped: cannot be started" in notices()[0].reason
        del engine.networks[NETWORK]["Containers"]["ep-1"]
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: not notices())
    assert engine.disconnected == ["gone"]


async def test_an_endpoint_that_docker_spoke_of_just_now_is_left_alone() -> None:
    engine = FakeEngine()
    engine.add_network(NETWORK, "foo")
    engine.networks[NETWORK]["Containers"]["ep-1"] = {"Name": "new", "EndpointID": ENDPOINT}
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_endpoint()
        async with engine.served(docker.settings.docker_socket):
            await until(lambda: engine.followers == 1)
            assert engine.disconnected == []
            assert docker.port() is not None
