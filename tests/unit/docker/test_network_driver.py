"""The network driver, call by call, with the requests that dockerd sends."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.unit.docker.plugin import (
    ENDPOINT,
    NETWORK,
    OTHER_ENDPOINT,
    OTHER_NETWORK,
    PORTS,
    binding,
    plugin,
)
from weft.control.specs import NetworkSpec, PortSpec, SubnetSpec
from weft.frontends.docker.bindings import docker_network_id
from weft.model.addresses import ip_address, ip_network
from weft.model.records import Binding, Owner, Subnet
from weft.store.interface import Delete, Put


async def test_a_network_and_a_container_from_birth_to_death() -> None:
    async with plugin() as docker:
        assert await docker.create_network() == {}
        created = await docker.create_endpoint()
        assert list(created["Interface"]) == ["MacAddress"]
        joined = await docker.about("Join", SandboxKey="/var/run/docker/netns/1", Options={})
        assert joined["InterfaceName"]["SrcName"].startswith("wefc")
        assert joined["InterfaceName"]["DstPrefix"] == "eth"
        assert joined["Gateway"] == "192.168.1.1"
        assert "GatewayIPv6" not in joined
        assert "DisableGatewayService" not in joined
        port = docker.port()
        assert port is not None and port.veth is not None and port.veth.netns is None
        assert await docker.about("Leave") == {}
        assert docker.port() is not None
        assert await docker.about("DeleteEndpoint") == {}
        assert docker.port() is None
        assert await docker.network("DeleteNetwork", NetworkID=NETWORK) == {}
        assert docker.records() == {}


async def test_every_call_may_come_twice() -> None:
    async with plugin() as docker:
        for _ in range(2):
            assert await docker.create_network() == {}
        first = await docker.create_endpoint()
        assert await docker.create_endpoint() == first
        joined = await docker.about("Join", SandboxKey="x")
        assert await docker.about("Join", SandboxKey="x") == joined
        options = {PORTS: [binding(80, 0)]}
        await docker.about("ProgramExternalConnectivity", Options=options)
        published = docker.port()
        await docker.about("ProgramExternalConnectivity", Options=options)
        assert docker.port() == published
        for method in ("RevokeExternalConnectivity", "Leave", "DeleteEndpoint"):
            for _ in range(2):
                assert await docker.about(method) == {}
        for _ in range(2):
            assert await docker.network("DeleteNetwork", NetworkID=NETWORK) == {}
        assert docker.records() == {}


@pytest.mark.parametrize("options", [{}, {"name": "foo"}])
async def test_a_call_repeated_to_a_weftd_that_died_in_it(options: dict[str, Any]) -> None:
    async with plugin() as docker:
        await docker.create_network(**options)
        await docker.store.write(
            [Delete(Binding, docker_network_id(NETWORK, docker.control.host.id))]
        )
        assert await docker.create_network(**options) == {}
        assert docker.records() == {"network": 1, "subnet": 1, "binding": 1}


async def test_delete_endpoint_without_leave() -> None:
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_endpoint()
        await docker.about("Join")
        assert await docker.about("DeleteEndpoint") == {}
        assert docker.port() is None


async def test_only_what_was_left_open_is_answered() -> None:
    async with plugin() as docker:
        await docker.create_network()
        mac = "02:42:c0:a8:01:05"
        assert await docker.create_endpoint(mac=mac) == {"Interface": {}}
        port = docker.port()
        assert port is not None and port.mac == mac
        answer = await docker.create_endpoint("", id=OTHER_ENDPOINT)
        assert answer["Interface"]["Address"].endswith("/24")
        assert answer["Interface"]["MacAddress"]


async def test_docker_gives_the_addresses_and_weft_its_own_from_the_other_end() -> None:
    async with plugin() as docker:
        await docker.create_network(aux={"printer": "192.168.1.254/24"})
        owner = Owner(frontend="cli", reference="x")
        network = docker.control.networks.list()[0]
        port = await docker.control.ports.add(PortSpec(network=network.id, owner=owner))
        assert list(map(str, port.addresses)) == ["192.168.1.253"]


async def test_an_internal_network_gives_no_gateway_and_wants_none() -> None:
    async with plugin() as docker:
        await docker.create_network(internal=True)
        await docker.create_endpoint()
        joined = await docker.about("Join")
        assert "Gateway" not in joined
        assert joined["DisableGatewayService"] is True
        assert docker.control.networks.list()[0].is_internal


async def test_an_internal_network_leads_to_the_resolvers_once_a_container() -> None:
    resolvers = (ip_address("192.0.2.53"), ip_address("192.168.1.53"), ip_address("fd00::53"))
    async with plugin() as docker:
        host = docker.control.host
        await docker.store.write([Put(replace(host, resolvers=resolvers))])
        await docker.create_network(internal=True)
        await docker.create_network(OTHER_NETWORK, ("10.9.0.0/24", "10.9.0.1/24"), internal=True)
        await docker.create_endpoint()
        await docker.create_endpoint("10.9.0.2/24", id=OTHER_ENDPOINT, network=OTHER_NETWORK)
        route = {"Destination": "192.0.2.53/32", "RouteType": 0, "NextHop": "192.168.1.1"}
        for _ in range(2):
            joined = await docker.about("Join", SandboxKey="/var/run/docker/netns/1")
            assert joined["StaticRoutes"] == [route]
        second = {"NetworkID": OTHER_NETWORK, "EndpointID": OTHER_ENDPOINT}
        joined = await docker.network("Join", SandboxKey="/var/run/docker/netns/1", **second)
        assert "StaticRoutes" not in joined
        await docker.about("Leave")
        await docker.network("Leave", **second)
        joined = await docker.network("Join", SandboxKey="/var/run/docker/netns/1", **second)
        assert joined["StaticRoutes"][0]["NextHop"] == "10.9.0.1"


async def test_ipv6_only_and_dual_stack() -> None:
    async with plugin() as docker:
        await docker.create_network(NETWORK, ("fd00:1::/64", "fd00:1::1/64"))
        await docker.create_endpoint("", address6="fd00:1::5/64")
        joined = await docker.about("Join")
        assert joined["GatewayIPv6"] == "fd00:1::1"
        assert joined["DisableGatewayService"] is True
    async with plugin() as docker:
        pools = (("10.1.0.0/24", "10.1.0.1/24"), ("fd00:1::/64", "fd00:1::1/64"))
        await docker.create_network(NETWORK, *pools)
        await docker.create_endpoint("10.1.0.5/24", address6="fd00:1::5/64")
        joined = await docker.about("Join")
        assert (joined["Gateway"], joined["GatewayIPv6"]) == ("10.1.0.1", "fd00:1::1")


async def test_routes_to_the_networks_other_subnets() -> None:
    async with plugin() as docker:
        pools = (("10.1.0.0/24", "10.1.0.1/24"), ("10.2.0.0/24", "10.2.0.1/24"))
        await docker.create_network(NETWORK, *pools)
        await docker.create_endpoint("10.1.0.5/24")
        joined = await docker.about("Join")
        assert joined["StaticRoutes"] == [
            {"Destination": "10.2.0.0/24", "RouteType": 0, "NextHop": "10.1.0.1"}
        ]


async def test_dockers_null_ipam_leaves_the_addresses_to_weft() -> None:
    async with plugin() as docker:
        await docker.create_network(NETWORK, ("0.0.0.0/0", ""))
        answer = await docker.create_endpoint("")
        assert answer["Interface"]["Address"] == "10.32.0.2/24"


async def test_options() -> None:
    async with plugin() as docker:
        exclude = "192.168.1.10-192.168.1.20"
        await docker.create_network(name="foo", mtu="1400", exclude=exclude, multicast="flood")
        network = docker.control.networks.find("foo")
        subnet = docker.control.networks.subnets(network)[0]
        assert (network.mtu_bytes, network.multicast) == (1400, "flood")
        assert str(subnet.excludes[0].last) == "192.168.1.20"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mut": "1400"}, "did you mean 'mtu'?"),
        ({"frob": "1"}, "known are"),
        ({"mtu": "big"}, "not a number"),
        ({"mtu": "20"}, "mtu 20"),
        ({"exclude": "192.168.1.9-192.168.1.2"}, "must not lie behind"),
        ({"exclude": "10.0.0.1"}, "lies in no subnet"),
        ({"network": "nowhere"}, "network nowhere: not found"),
        ({"network": "a", "name": "b"}, "cannot be given with"),
        ({"force": "perhaps"}, "say true or false"),
        ({"multicast": "some"}, "say snoop or flood"),
    ],
)
async def test_a_bad_option_is_explained_and_leaves_no_trace(
    options: dict[str, Any], said: str
) -> None:
    async with plugin() as docker:
        answer = await docker.create_network(**options)
        assert said in answer["Err"]
        assert docker.records() == {}


async def test_dockers_own_options_are_accepted() -> None:
    async with plugin() as docker:
        generic = {"com.docker.network.driver.mtu": "1300", "com.docker.network.x": "y"}
        answer = await docker.network(
            "CreateNetwork",
            NetworkID=NETWORK,
            Options={"com.docker.network.generic": generic},
            IPv4Data=[{"Pool": "10.1.0.0/24", "Gateway": "10.1.0.1/24"}],
        )
        assert answer == {}
        assert docker.control.networks.list()[0].mtu_bytes == 1300


@pytest.mark.parametrize(
    ("pool", "gateway", "said"),
    [
        ("192.168.1.5/24", "192.168.1.1/24", "did you mean 192.168.1.0/24?"),
        ("10.0.0.0/33", "", "not a prefix"),
        ("192.168.1.0/24", "10.0.0.1/24", "outside subnet"),
        ("192.168.1.0/24", "x", "not an IP address"),
        ("10.5.0.0/16", "10.5.0.1/16", "overlaps the host's route 10.0.0.0/8 dev eth0"),
    ],
)
async def test_a_bad_subnet_is_explained_and_leaves_no_trace(
    pool: str, gateway: str, said: str
) -> None:
    async with plugin(routes=("10.0.0.0/8",)) as docker:
        answer = await docker.create_network(NETWORK, (pool, gateway))
        assert said in answer["Err"]
        assert docker.records() == {}


async def test_overlap_with_another_network_says_how_to_join_it() -> None:
    async with plugin() as docker:
        await docker.create_network(name="foo")
        answer = await docker.create_network(OTHER_NETWORK)
        assert "add -o network=foo" in answer["Err"]


async def test_joining_a_network_that_is_there() -> None:
    async with plugin() as docker:
        spec = NetworkSpec(name="foo", subnets=(SubnetSpec(cidr=ip_network("192.168.1.0/24")),))
        foo = await docker.control.networks.create(spec)
        assert (
            "add --ipam-driver weft --subnet=192.168.1.0/24"
            in (
                await docker.create_network(NETWORK, ("10.1.0.0/24", "10.1.0.1/24"), network="foo")
            )["Err"]
        )
        assert (
            "add --gateway=192.168.1.1"
            in (
                await docker.create_network(
                    NETWORK, ("192.168.1.0/24", "192.168.1.9/24"), network="foo"
                )
            )["Err"]
        )
        assert await docker.create_network(network="foo") == {}
        await docker.network("DeleteNetwork", NetworkID=NETWORK)
        assert docker.control.networks.find("foo") == foo


async def test_the_last_docker_network_takes_the_network_that_was_made_for_it() -> None:
    async with plugin() as docker:
        await docker.create_network(name="foo")
        await docker.create_network(OTHER_NETWORK, network="foo")
        await docker.network("DeleteNetwork", NetworkID=NETWORK)
        assert docker.control.networks.find("foo")
        await docker.network("DeleteNetwork", NetworkID=OTHER_NETWORK)
        assert docker.records() == {}


async def test_a_network_that_others_use_outlives_dockers() -> None:
    async with plugin() as docker:
        await docker.create_network(name="foo")
        owner = Owner(frontend="cli", reference="vm")
        await docker.control.ports.add(PortSpec(network="foo", owner=owner))
        assert await docker.network("DeleteNetwork", NetworkID=NETWORK) == {}
        assert docker.control.networks.find("foo")
        assert not tuple(docker.store.list(Binding))


async def test_endpoints_are_refused_with_a_sentence() -> None:
    async with plugin() as docker:
        assert "weft does not know it" in (await docker.create_endpoint())["Err"]
        await docker.create_network()
        for address, said in (
            ("10.9.9.9/24", "outside the network's subnets"),
            ("192.168.1.1/24", "is the gateway"),
            ("192.168.1.0/24", "cannot be given"),
            ("words", "not an IP address"),
        ):
            assert said in (await docker.create_endpoint(address))["Err"]
        assert "multicast" in (await docker.create_endpoint(mac="01:00:5e:00:00:01"))["Err"]
        assert docker.port() is None
        assert "restart the container" in (await docker.about("Join"))["Err"]
        assert "restart the container" in (await docker.about("EndpointOperInfo"))["Err"]
        await docker.create_endpoint()
        assert "has 192.168.1.2 already" in (await docker.create_endpoint("192.168.1.3/24"))["Err"]


async def test_an_address_of_something_else_is_refused_by_its_holders_name() -> None:
    async with plugin() as docker:
        await docker.create_network(name="foo")
        await docker.control.ports.add(
            PortSpec(
                network="foo",
                addresses=(ip_address("192.168.1.2"),),
                names=("vm",),
                owner=Owner(frontend="cli", reference="vm"),
            )
        )
        assert "in use by port vm on foo" in (await docker.create_endpoint())["Err"]


async def test_an_address_that_docker_gives_is_taken_from_an_endpoint_that_died() -> None:
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_endpoint()
        await docker.about("Join")
        assert "Err" not in await docker.create_endpoint(id=OTHER_ENDPOINT)
        assert docker.port(ENDPOINT) is None
        assert docker.port(OTHER_ENDPOINT) is not None


async def test_swarm_calls_are_answered() -> None:
    async with plugin() as docker:
        answer = await docker.network("AllocateNetwork", NetworkID="n", Options={"mtu": "1400"})
        assert answer == {"Options": {}}
        assert await docker.network("FreeNetwork", NetworkID="n") == {}
        data = {"DiscoveryType": 1, "DiscoveryData": {"Address": "192.0.2.1", "self": True}}
        for method in ("DiscoverNew", "DiscoverDelete"):
            assert await docker.network(method, **data) == {}
        assert docker.records() == {}


async def test_gateways_are_skipped_only_where_a_network_has_none() -> None:
    async with plugin() as docker:
        for name, has_gateway in (("with", True), ("without", False)):
            cidr = ip_network("10.1.0.0/24" if has_gateway else "10.2.0.0/24")
            subnet = SubnetSpec(cidr=cidr, gateway=UNSET if has_gateway else None)
            await docker.control.networks.create(NetworkSpec(name=name, subnets=(subnet,)))
            generic = {"com.docker.network.generic": {"network": name}}
            answer = await docker.network("GwAllocCheck", Options=generic)
            assert answer == {"SkipIPv4": not has_gateway, "SkipIPv6": False}
        answer = await docker.network("GwAllocCheck", Options={})
        assert answer == {"SkipIPv4": False, "SkipIPv6": False}


async def test_a_network_without_gateway_gets_no_bridge_of_dockers() -> None:
    async with plugin() as docker:
        await docker.create_network(NETWORK, ("10.1.0.0/24", ""))
        assert next(iter(docker.store.list(Subnet))).gateway is None
        await docker.create_endpoint("10.1.0.5/24")
        joined = await docker.about("Join")
        assert "Gateway" not in joined and joined["DisableGatewayService"] is True


async def test_further_addresses_by_a_driver_option() -> None:
    async with plugin() as docker:
        await docker.create_network()
        option = "192.168.1.200, 10.9.0.0/24 192.168.1.201=02-00-00-00-00-09"
        for _ in range(2):
            answer = await docker.create_endpoint(**{"weft.allow-address": option})
            assert "Err" not in answer
        port = docker.port()
        assert port is not None
        assert [(str(pair.cidr), pair.mac) for pair in port.allowed] == [
            ("192.168.1.200/32", None),
            ("10.9.0.0/24", None),
            ("192.168.1.201/32", "02:00:00:00:00:09"),
        ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weft.allow-address": ""}, "say 1 to 64 addresses"),
        ({"weft.allow-address": "10.0.0.300"}, "not an IP address"),
        ({"weft.allow-address": "10.0.0.1/24"}, "did you mean 10.0.0.0/24"),
        ({"weft.allow-address": "10.0.0.1=ff:ff:ff:ff:ff:ff"}, "multicast address"),
        ({"weft.allow-address": "10.0.0.1=x"}, "six octets"),
        ({"weft.allow-address": ["10.0.0.1"]}, "must be text"),
        ({"weft.allow-address": " ".join(f"10.0.0.{n}" for n in range(99))}, "say 1 to 64"),
        ({"weft.alow-address": "10.0.0.1"}, "did you mean 'weft.allow-address'"),
    ],
)
async def test_a_wrong_driver_option_is_refused(options: dict[str, Any], said: str) -> None:
    async with plugin() as docker:
        await docker.create_network()
        answer = await docker.create_endpoint(**options)
        assert said in answer["Err"]
        assert docker.port() is None
        others: dict[str, Any] = {"com.docker.network.endpoint.ifname": "net0", "frob": 7}
        assert "Err" not in await docker.create_endpoint(**others)
