"""Docker engines of several hosts: one network of the cluster is one in each of them."""

from __future__ import annotations

import pytest

from tests.unit.docker.machines import CLI, machines, net, quiet, until
from weft.control.specs import NetworkSpec, PortSpec, SubnetSpec
from weft.frontends.docker.bindings import docker_network_id
from weft.model.addresses import ip_network
from weft.model.records import Binding, Network, Port
from weft.store.interface import Delete


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
        await until(a.cluster, lambda: not list(a.host.store.list(Binding)))
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
            SubnetSpec(cidr=ip_network(cidr), gateway=None) for cidr in ("10.1.0.0/24", "fd01::/64")
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
        a.docker.later_s = 1000
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
                r.foreign_id for r in b.host.store.list(Binding) if r.host_id == b.host.id
            ]
        await b.host.store.write([Delete(Binding, docker_network_id(docker_id, b.host.id))])
        b.docker.later_s = 1000
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(
                a.cluster,
                lambda: b.docker.state.records.docker_network(docker_id) is not None,
            )
            await quiet(a.cluster)
            assert a.names == b.names == ["foo"] and a.weft == ["foo"]


async def test_what_weft_made_in_docker_of_a_network_that_is_gone_is_removed() -> None:
    async with machines("a", "b", engines=("a",)) as (a, b):
        await a.engine.create_network("foo", "10.1.0.0/24")
        async with b.engine.served(b.docker.settings.docker_socket):
            await until(a.cluster, lambda: b.names == ["foo"])
            (docker_id,) = [
                r.foreign_id for r in b.host.store.list(Binding) if r.host_id == b.host.id
            ]
        await b.host.store.write([Delete(Binding, docker_network_id(docker_id, b.host.id))])
        await a.engine.remove_network("foo")
        await until(a.cluster, lambda: not list(b.host.store.list(Network)))
        b.docker.later_s = 1000
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
