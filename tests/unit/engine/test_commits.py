"""Intents over a real engine: what the kernel refuses of one costs that one alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from tests.surroundings import NothingRuns, WholeSpace, control_alone
from tests.unit.engine.fake_sink import DEADLINE_S, FakeSink, came, look_begins
from weft.config import Settings
from weft.control.context import Context
from weft.control.control import Control
from weft.control.specs import NetworkSpec, PortSpec, SubnetSpec
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.tables.addresses import AddressKey
from weft.engine.engine import Engine
from weft.errors import UnavailableError
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import HostId, MacAddress, PortId
from weft.model.records import Host, Owner, Port, Veth
from weft.store.interface import Put
from weft.store.memory import MemoryStore

ME = HostId("1" * 16)
ONE, TWO = "weft00000000001", "weft00000000002"


def port(ifname: str) -> PortSpec:
    """One with a device of this name."""
    device = Veth(ifname=ifname, peer_ifname="eth0", netns=f"/run/netns/{ifname}")
    return PortSpec(network="foo", device=device, owner=Owner(frontend="cli"))


class Desk:
    """A control whose rows a fake kernel takes, or not."""

    def __init__(self) -> None:
        self.store = MemoryStore([Host(id=ME, name="h1")])
        self.sink = FakeSink()
        self.engine = Engine(self.store, functions(ME), self.sink, reconcile_s=3600)
        self.context = Context(
            store=self.store,
            settler=self.engine,
            settings=Settings(name="h1"),
            host_id=ME,
            wall_s=lambda: 1_000_000.0,
            random_bytes=random.Random(7).randbytes,
            host_routes=tuple,
            targets=NothingRuns(),
            space=WholeSpace,
        )
        self.control: Control = control_alone(self.context)

    def devices(self) -> set[object]:
        """Those that the kernel has."""
        return set(self.sink.rows.get("devices", {}))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(desk.engine.run())
        await desk.engine.ready.wait()
        subnets = (SubnetSpec(cidr=ip_network("10.1.0.0/24")),)
        await desk.control.networks.create(NetworkSpec(name="foo", subnets=subnets))
        yield desk
        desk.sink.may_look.set()
        desk.sink.may_go_on.set()
        running.cancel()


async def test_a_port_is_in_force_with_its_network_when_it_is_there(desk: Desk) -> None:
    await desk.control.ports.add(port(ONE))
    assert desk.devices() == {ONE}
    assert not desk.engine.failures()
    assert desk.sink.rows["networks"] and desk.sink.rows["subnets"]


async def test_what_the_kernel_refuses_of_one_port_is_undone_and_costs_no_other(
    desk: Desk,
) -> None:
    desk.sink.refused = {ONE: f"device {ONE}: no such namespace"}
    refused, made = await asyncio.gather(
        desk.control.ports.add(port(ONE)),
        desk.control.ports.add(port(TWO)),
        return_exceptions=True,
    )
    assert isinstance(refused, UnavailableError)
    assert "no such namespace" in str(refused) and "nothing was changed" in str(refused)
    assert isinstance(made, Port)
    assert [each.id for each in desk.store.list(Port)] == [made.id]
    await desk.engine.settle()
    assert desk.devices() == {TWO}
    assert not desk.engine.failures()


async def test_a_port_waits_for_no_port_of_another_host_that_comes_at_that_moment(
    desk: Desk,
) -> None:
    here = await desk.control.ports.add(port(TWO))
    far = replace(
        here,
        id=PortId("far"),
        host_id=HostId("2" * 16),
        addresses=(ip_address("10.1.0.99"),),
        mac=MacAddress("0a:00:00:00:00:99"),
    )
    (network,) = desk.control.networks.list()
    desk.sink.slow = {AddressKey(network.vni, far.addresses[0])}
    await look_begins(desk.engine, desk.sink)
    await desk.store.write([Put(far)])
    adding = asyncio.ensure_future(desk.control.ports.add(port(ONE)))
    await asyncio.sleep(0)
    desk.sink.may_look.set()
    await adding
    assert desk.devices() == {ONE, TWO}
    await came(desk.sink.is_slow)
