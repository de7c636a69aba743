"""What several engines make without knowing of each other, or against what there is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.surroundings import WholeSpace
from tests.unit.docker.machines import Machine, machines, quiet, until
from weft.ipam.records import blocks_id
from weft.model.ids import HostId
from weft.model.records import AddressBlocks, Port, Subnet
from weft.store.interface import Change, Put


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
                lambda: (r := b.docker.state.records.docker_network(docker_id)) and r.name == "foo",
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
            assert b.docker.state.records.docker_network(docker_id) is None
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
