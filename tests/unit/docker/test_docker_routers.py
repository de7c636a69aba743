"""Networks of Docker that are connected to a router as they are made."""

from __future__ import annotations

import pytest

from tests.unit.docker.test_docker_groups import NETWORK, Host
from weft.control.router_specs import RouterSpec, RouteSpec
from weft.control.specs import NetworkSpec, PortSpec, SubnetSpec
from weft.errors import ConflictError, NotFoundError
from weft.frontends.docker import protocol
from weft.model.addresses import ip_address, ip_network
from weft.model.records import Network, Owner, RouterPort


@pytest.fixture
async def host() -> Host:
    made = Host()
    await made.control.routers.create(RouterSpec(name="r1"))
    await made.control.routers.create(RouterSpec(name="r1", tenant="acme"))
    return made


def connected(host: Host) -> list[str]:
    """The addresses of routers on the network."""
    return [str(each) for place in host.control.view.list(RouterPort) for each in place.addresses]


async def remove(host: Host) -> None:
    await host.networks.delete(protocol.NetworkReference(network=NETWORK))


async def test_the_router_becomes_the_gateway_and_leaves_with_the_network(host: Host) -> None:
    await host.network(**{"weft.router": "r1"})
    assert connected(host) == ["10.1.0.1"]
    await remove(host)
    assert connected(host) == []
    assert not list(host.control.view.list(Network))


async def test_a_router_is_named_in_the_networks_tenant(host: Host) -> None:
    await host.network(**{"weft.router": "r1", "weft.tenant": "acme"})
    (place,) = host.control.view.list(RouterPort)
    assert place.router_id == host.control.routers.find("acme/r1").id


async def test_a_router_that_is_not_there_is_said_to_docker_and_nothing_is_made(
    host: Host,
) -> None:
    with pytest.raises(NotFoundError, match="router r9: not found"):
        await host.network(router="r9")
    assert not list(host.control.view.list(Network))


async def test_a_router_that_cannot_be_connected_leaves_nothing_behind(host: Host) -> None:
    with pytest.raises(ConflictError, match="not shared with acme"):
        await host.network(**{"weft.router": "acme/r1"})
    assert not list(host.control.view.list(Network))


async def test_a_network_that_is_joined_is_connected_too(host: Host) -> None:
    subnets = (SubnetSpec(cidr=ip_network("10.1.0.0/24")),)
    await host.control.networks.create(NetworkSpec(name="there", subnets=subnets))
    await host.network(**{"weft.router": "r1", "network": "there"})
    assert connected(host) == ["10.1.0.1"]


async def test_a_network_in_use_stays_connected(host: Host) -> None:
    await host.network(router="r1")
    owner = Owner(frontend="cli", reference="box")
    await host.control.ports.add(PortSpec(network="foo", owner=owner))
    await remove(host)
    assert connected(host) == ["10.1.0.1"]
    assert [network.name for network in host.control.view.list(Network)] == ["foo"]


async def test_a_network_that_routes_lead_through_stays(host: Host) -> None:
    await host.network(router="r1")
    route = RouteSpec(prefix=ip_network("10.9.0.0/16"), via=(ip_address("10.1.0.8"),))
    await host.control.routers.add_route("r1", route)
    await remove(host)
    assert connected(host) == ["10.1.0.1"]
