"""Two or three hosts over one store: what control does when addresses are another host's."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address, ip_network

import pytest

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from weft.config import Settings
from weft.control.context import Context
from weft.control.specs import NetworkSpec, PortSpec, SubnetSpec
from weft.control.upkeep.shared_space import SharedSpace
from weft.errors import ConflictError, ExhaustedError, UnavailableError
from weft.ipam.lease import LeaseTimes
from weft.model.ids import HostId
from weft.model.records import (
    AddressBlocks,
    ForgottenHost,
    Host,
    Lease,
    Neighbour,
    Neighbours,
    Owner,
    Port,
    Subnet,
)
from weft.store.interface import Delete, Put
from weft.store.memory import MemoryStore

OWNER = Owner(frontend="cli")


class Desk:
    """One host's control."""

    def __init__(self, store: MemoryStore, number: int) -> None:
        self.id = HostId(f"{number:x}" * 16)
        self.name = f"h{number}"
        self.context = Context(
            store=store,
            settler=AtOnce(),
            settings=Settings(name=self.name, rest_s=0),
            host_id=self.id,
            wall_s=time.time,
            random_bytes=random.Random(number).randbytes,
            host_routes=tuple,
            targets=NothingRuns(),
            space=WholeSpace,
        )
        self.context.space = self.space = SharedSpace(
            self.context,
            time.monotonic,
            times=LeaseTimes(taken_after_s=0.3, fenced_after_s=0.2, alone_s=0.2, retry_s=0.1),
            wait_s=2,
        )
        self.control = control_alone(self.context)
        self.agent: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Share addresses from now on."""
        self.agent = asyncio.create_task(self.space.run())

    async def stop(self) -> None:
        """Its weftd is gone, or nothing that it says gets anywhere."""
        assert self.agent is not None
        self.agent.cancel()
        await asyncio.gather(self.agent, return_exceptions=True)

    async def port(self, *addresses: str) -> Port:
        wanted = tuple(ip_address(address) for address in addresses)
        return await self.control.ports.add(PortSpec(network="foo", owner=OWNER, addresses=wanted))


class Room:
    """All hosts, and who is linked to whom."""

    def __init__(self, hosts: int) -> None:
        self.store = MemoryStore()
        self.desks = [Desk(self.store, number + 1) for number in range(hosts)]

    async def link(self, *desks: Desk) -> None:
        """These to each other, and the others to nobody."""
        puts = []
        for desk in self.desks:
            others = [other for other in desks if other is not desk] if desk in desks else []
            links = tuple(
                Neighbour(host_id=other.id, address=ip_address("192.0.2.1"))
                for other in sorted(others, key=lambda other: other.id)
            )
            puts.append(Put(Host(id=desk.id, name=desk.name)))
            puts.append(Put(Neighbours(id=desk.id, host_id=desk.id, neighbours=links)))
        await self.store.write(puts)

    def subnet(self) -> Subnet:
        """The only one."""
        (subnet,) = self.store.list(Subnet)
        return subnet

    async def settled(self, size: int) -> None:
        """Every lease quorum has so many members."""
        await until(
            lambda: (
                [len(lease.members) for lease in self.store.list(Lease)] == [size] * len(self.desks)
            )
        )


async def until(condition: Callable[[], object], limit_s: float = 20.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def room(hosts: int, cidr: str = "10.0.0.0/24") -> AsyncIterator[Room]:
    """The first host has a network foo; all are linked, and their agents run."""
    made = Room(hosts)
    for desk in made.desks:
        desk.start()
    try:
        await made.link(*made.desks)
        await made.settled(min(hosts, 3))
        subnet = SubnetSpec(cidr=ip_network(cidr))
        await made.desks[0].control.networks.create(NetworkSpec(name="foo", subnets=(subnet,)))
        yield made
    finally:
        for desk in made.desks:
            await desk.stop()


async def test_every_host_gives_addresses_of_a_network_made_on_one() -> None:
    async with room(3) as made:
        ports = await asyncio.gather(*(desk.port() for desk in made.desks for _ in range(20)))
        assert len({port.addresses for port in ports}) == 60


async def test_every_host_gives_addresses_of_networks_that_were_made_together() -> None:
    async with room(3) as made:
        async with made.desks[0].control.rehearse() as rehearsal:
            for name in ("bar", "baz"):
                await rehearsal.control.networks.create(NetworkSpec(name=name))
            await rehearsal.carry_out()
        for name in ("bar", "baz"):
            spec = PortSpec(network=name, owner=OWNER)
            ports = [await desk.control.ports.add(spec) for desk in made.desks for _ in range(5)]
            assert len({port.addresses for port in ports}) == 15


async def test_all_of_a_subnet_can_be_had_from_any_host() -> None:
    async with room(3, "10.0.0.0/28") as made:
        ports = [await made.desks[2].port() for _ in range(13)]
        assert len({port.addresses for port in ports}) == 13
        with pytest.raises(ExhaustedError, match=r"10\.0\.0\.0/28: no address is free"):
            await made.desks[1].port()
        await made.desks[2].control.ports.remove(ports[0].id)
        assert (await made.desks[1].port()).addresses == ports[0].addresses


async def test_an_address_by_name_comes_from_the_host_whose_it_is() -> None:
    async with room(2) as made:
        port = await made.desks[1].port("10.0.0.77")
        assert str(port.addresses[0]) == "10.0.0.77"
        with pytest.raises(ConflictError, match=r"10\.0\.0\.77: in use by port"):
            await made.desks[0].port("10.0.0.77")


async def test_two_hosts_that_want_each_others_addresses_do_not_wait_for_each_other() -> None:
    async with room(2) as made:
        first, second = made.desks
        await until(lambda: second.space.may_use(made.subnet()))
        theirs = (await second.port()).addresses[0] + 1
        async with asyncio.timeout(4):
            await asyncio.gather(first.port(str(theirs)), second.port("10.0.0.99"))


async def test_an_address_of_a_host_that_is_cut_off_is_refused_by_name() -> None:
    async with room(2) as made:
        first, second = made.desks
        await second.port()
        await made.link(first)
        with pytest.raises(UnavailableError, match=r"10\.0\.0\.77: belongs to host h1"):
            await second.port("10.0.0.77")


async def test_a_host_that_reaches_nobody_yet_waits_for_its_first_address() -> None:
    async with room(2) as made:
        third = Desk(made.store, 3)
        third.start()
        try:
            await made.store.write([Put(Host(id=third.id, name=third.name))])
            asked = asyncio.create_task(third.port())
            await until(lambda: third.space.ring.needs)
            made.desks.append(third)
            await made.link(*made.desks)
            assert (await asked).addresses
        finally:
            made.desks.remove(third)
            await third.stop()


async def test_a_host_cut_off_uses_up_its_reserve_and_then_says_why_it_stops() -> None:
    async with room(3) as made:
        first, second, third = made.desks
        await first.port()
        await second.stop()
        await third.stop()
        await made.link(second, third)
        given = 0
        with pytest.raises(UnavailableError, match=r"fenced since .*does not reach h2, h3.*forget"):
            for _ in range(100):
                await first.port()
                given += 1
        assert 1 <= given < 50
        assert any(report.state == "fenced" for report in first.control.addresses.lease_reports())


async def test_space_of_a_dead_host_comes_to_those_who_are_left() -> None:
    async with room(3) as made:
        first, second, third = made.desks
        await first.stop()
        await made.link(second, third)
        await until(lambda: _state_of(first, second) == "given-up")
        ports = await asyncio.gather(*(second.port() for _ in range(100)))
        assert len({port.addresses for port in ports}) == 100


async def test_a_host_that_is_forgotten_leaves_everything() -> None:
    async with room(2, "10.0.0.0/28") as made:
        first, second = made.desks
        await second.port()
        await first.stop()
        await made.link(second)
        await made.store.write([Put(ForgottenHost(id=first.id))])
        ports = [await second.port() for _ in range(12)]
        assert len({port.addresses for port in ports}) == 12


async def test_a_host_that_leaves_hands_everything_over_first() -> None:
    async with room(3) as made:
        first, second, third = made.desks
        await second.port()
        await third.stop()
        assert await first.space.hand_over()
        (report,) = second.control.addresses.subnet_reports()
        assert first.id not in [share.host_id for share in report.shares]
        with pytest.raises(UnavailableError):
            await first.port()


async def test_a_host_alone_takes_what_was_there_before_there_were_blocks() -> None:
    async with room(1) as made:
        (desk,) = made.desks
        (record,) = made.store.list(AddressBlocks)
        await made.store.write([Delete(AddressBlocks, record.id)])
        assert (await desk.port()).addresses
        (record,) = made.store.list(AddressBlocks)
        assert [(str(b.first), str(b.last)) for b in record.blocks] == [("10.0.0.0", "10.0.0.255")]


def _state_of(host: Desk, seen_from: Desk) -> str:
    reports = seen_from.control.addresses.lease_reports()
    return next(report.state for report in reports if report.host_id == host.id)
