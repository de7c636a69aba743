"""The IPAM driver, call by call, with the requests that dockerd sends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.docker.plugin import ENDPOINT, NETWORK, OTHER_ENDPOINT, Plugin, plugin
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.model.addresses import ip_network
from weft.model.records import Reservation, Subnet

GATEWAY = {"RequestAddressType": "com.docker.network.gateway"}


async def pool(docker: Plugin, cidr: str = "", **more: Any) -> dict[str, Any]:
    request = {"AddressSpace": "weft", "Pool": cidr, "SubPool": "", "Options": {}, "V6": False}
    return await docker.ipam("RequestPool", **(request | more))


async def address(docker: Plugin, pool_id: str, wanted: str = "", **options: str) -> dict[str, Any]:
    return await docker.ipam(
        "RequestAddress", PoolID=pool_id, Address=wanted, Options=options or None
    )


async def network(docker: Plugin, cidr: str = "10.1.0.0/24", **more: Any) -> str:
    """As dockerd makes one with ``--ipam-driver weft``; returns the pool's id."""
    given = await pool(docker, cidr, **more)
    gateway = await address(docker, given["PoolID"], **GATEWAY)
    answer = await docker.create_network(NETWORK, (given["Pool"], gateway["Address"]), space="weft")
    assert answer == {}
    return str(given["PoolID"])


async def test_a_network_and_a_container_from_birth_to_death() -> None:
    async with plugin() as docker:
        id = await network(docker)
        given = await address(docker, id)
        assert given == {"Address": "10.1.0.2/24"}
        await docker.create_endpoint(given["Address"])
        await docker.about("Join")
        await docker.about("Leave")
        await docker.about("DeleteEndpoint")
        assert await docker.ipam("ReleaseAddress", PoolID=id, Address="10.1.0.2") == {}
        assert await docker.ipam("ReleaseAddress", PoolID=id, Address="10.1.0.1") == {}
        assert await docker.ipam("ReleasePool", PoolID=id) == {}
        assert await docker.network("DeleteNetwork", NetworkID=NETWORK) == {}
        assert docker.records() == {}


async def test_without_a_subnet_the_next_free_one_is_given() -> None:
    async with plugin() as docker:
        first, second = await pool(docker), await pool(docker)
        assert [first["Pool"], second["Pool"]] == ["10.32.0.0/24", "10.32.1.0/24"]
        v6 = await pool(docker, V6=True)
        assert v6["Pool"].endswith("/64")


async def test_the_same_subnet_again_is_the_same_pool() -> None:
    async with plugin() as docker:
        assert await pool(docker, "10.1.0.0/24") == await pool(docker, "10.1.0.0/24")
        assert docker.records() == {"subnet": 1}


async def test_a_released_address_rests_and_can_still_be_asked_for_by_name() -> None:
    async with plugin() as docker:
        id = await network(docker)
        await address(docker, id)
        await docker.ipam("ReleaseAddress", PoolID=id, Address="10.1.0.2")
        assert await address(docker, id) == {"Address": "10.1.0.3/24"}
        assert await address(docker, id, "10.1.0.2") == {"Address": "10.1.0.2/24"}


async def test_an_address_is_given_once() -> None:
    async with plugin() as docker:
        id = await network(docker)
        await address(docker, id, "10.1.0.7")
        await docker.create_endpoint("10.1.0.7/24")
        assert "10.1.0.7: in use by port" in (await address(docker, id, "10.1.0.7"))["Error"]


async def test_when_a_subnet_is_full_the_networks_next_gives() -> None:
    async with plugin() as docker:
        ids, pools = [], []
        for cidr in ("10.1.0.0/30", "10.2.0.0/24"):
            ids.append((await pool(docker, cidr))["PoolID"])
            gateway = await address(docker, ids[-1], **GATEWAY)
            pools.append((cidr, gateway["Address"]))
        id = ids[0]
        assert await docker.create_network(NETWORK, *pools, space="weft") == {}
        answers = [(await address(docker, id))["Address"] for _ in range(3)]
        assert answers == ["10.1.0.2/30", "10.2.0.2/24", "10.2.0.3/24"]
        await docker.create_endpoint("10.2.0.2/24")
        await docker.about("DeleteEndpoint")
        for taken in ("10.2.0.2", "10.2.0.3"):
            assert await docker.ipam("ReleaseAddress", PoolID=id, Address=taken) == {}
        held = {str(r.address) for r in docker.store.list(Reservation) if r.reason == "docker"}
        assert held == {"10.1.0.2"}


async def test_a_repeated_request_is_answered_alike() -> None:
    async with plugin() as docker:
        id = await network(docker)
        assert await address(docker, id, "10.1.0.7") == await address(docker, id, "10.1.0.7")


async def test_an_auxiliary_address_is_given_to_nobody() -> None:
    async with plugin() as docker:
        given = await pool(docker, "10.1.0.0/24")
        id = given["PoolID"]
        await address(docker, id, **GATEWAY)
        await address(docker, id, "10.1.0.2")
        aux = {"printer": "10.1.0.2/24"}
        await docker.create_network(NETWORK, ("10.1.0.0/24", "10.1.0.1/24"), space="weft", aux=aux)
        assert (await address(docker, id))["Address"] == "10.1.0.3/24"
        assert "10.1.0.2: in use" in (await address(docker, id, "10.1.0.2"))["Error"]


async def test_ip_range_and_chosen_gateway() -> None:
    async with plugin() as docker:
        given = await pool(docker, "10.1.0.0/24", SubPool="10.1.0.128/25")
        id = given["PoolID"]
        gateway = await address(docker, id, "10.1.0.254", **GATEWAY)
        assert gateway == {"Address": "10.1.0.254/24"}
        await docker.create_network(NETWORK, ("10.1.0.0/24", "10.1.0.254/24"), space="weft")
        assert (await address(docker, id))["Address"] == "10.1.0.128/24"
        subnet = next(iter(docker.store.list(Subnet)))
        assert str(subnet.gateway) == "10.1.0.254"
        await docker.create_endpoint("10.1.0.128/24")
        assert (await docker.about("Join"))["Gateway"] == "10.1.0.254"


async def test_an_address_that_docker_forgets_comes_back() -> None:
    async with plugin() as docker:
        id = await network(docker)
        await address(docker, id, "10.1.0.9")
        docker.clock.now_s += 1000
        await docker.control.reservations.wake_rested()
        held = {r.reason for r in docker.store.list(Reservation)}
        assert held == {"gateway"}


async def test_the_network_of_an_address_pool_can_be_joined() -> None:
    async with plugin() as docker:
        subnet = SubnetSpec(cidr=ip_network("10.7.0.0/24"))
        await docker.control.networks.create(NetworkSpec(name="foo", subnets=(subnet,)))
        given = await pool(docker, "10.7.0.0/24")
        assert given["Pool"] == "10.7.0.0/24"
        assert given["Data"] == {"com.docker.network.gateway": "10.7.0.1/24"}
        answer = await docker.create_network(
            NETWORK, ("10.7.0.0/24", "10.7.0.1/24"), space="weft", network="foo"
        )
        assert answer == {}
        await docker.ipam("ReleaseAddress", PoolID=given["PoolID"], Address="10.7.0.1")
        await docker.ipam("ReleasePool", PoolID=given["PoolID"])
        assert docker.records()["subnet"] == 1


async def test_a_pool_is_found_after_its_record_was_lost() -> None:
    async with plugin() as docker:
        id = await network(docker)
        await docker.network("DeleteNetwork", NetworkID=NETWORK)
        await network(docker)
        assert (await address(docker, id))["Address"] == "10.1.0.2/24"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"SubPool": "10.1.0.0/25"}, "needs --subnet as well"),
        ({"Pool": "10.1.0.1/24"}, "did you mean 10.1.0.0/24?"),
        ({"Pool": "10.1.0.0/24", "V6": True}, "an IPv6 one is needed"),
        ({"Pool": "10.1.0.0/24", "SubPool": "10.2.0.0/25"}, "lies outside subnet"),
        ({"Pool": "10.0.0.0/16"}, "overlaps the host's route"),
        ({"Options": {"exlude": "10.1.0.1"}}, "did you mean 'exclude'?"),
    ],
)
async def test_a_bad_pool_is_explained_and_leaves_no_trace(
    request_: dict[str, Any], said: str
) -> None:
    async with plugin(routes=("10.0.0.0/16",)) as docker:
        cidr = request_.pop("Pool", "")
        assert said in (await pool(docker, cidr, **request_))["Error"]
        assert docker.records() == {}


async def test_bad_addresses_are_explained() -> None:
    async with plugin() as docker:
        id = await network(docker)
        assert "outside the network's subnets" in (await address(docker, id, "10.9.0.1"))["Error"]
        assert "is the gateway" in (await address(docker, id, "10.1.0.1"))["Error"]
        assert "not an IP address" in (await address(docker, id, "x"))["Error"]
        assert "weft does not know it" in (await address(docker, "0123/10.5.0.0/24"))["Error"]
        assert await docker.ipam("ReleaseAddress", PoolID="0123", Address="10.1.0.1") == {}
        assert await docker.ipam("ReleasePool", PoolID="0123") == {}


async def test_while_docker_cannot_be_asked_the_kernel_tells_the_dead() -> None:
    async with plugin() as docker:
        id = await network(docker)
        await docker.create_endpoint("10.1.0.7/24")
        await docker.about("Join")
        docker.state._touched.clear()
        put_into_container(docker)
        assert "in use" in (await address(docker, id, "10.1.0.7"))["Error"]
        docker.ifnames.clear()
        assert (await address(docker, id, "10.1.0.7"))["Address"] == "10.1.0.7/24"


def put_into_container(docker: Plugin) -> None:
    port = docker.port()
    assert port is not None and port.ifname is not None
    docker.ifnames.add(port.ifname)


async def test_an_endpoint_that_docker_has_no_more_gives_its_address_up() -> None:
    async with plugin() as docker:
        id = await network(docker)
        await docker.create_endpoint("10.1.0.7/24", id=ENDPOINT)
        await docker.about("Join")
        put_into_container(docker)
        state = docker.state
        state._touched.clear()
        assert "in use" in (await address(docker, id, "10.1.0.7"))["Error"]
        state.learn_endpoints(frozenset({OTHER_ENDPOINT}))
        assert (await address(docker, id, "10.1.0.7"))["Address"] == "10.1.0.7/24"
        assert docker.port(ENDPOINT) is None
