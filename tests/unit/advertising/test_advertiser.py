"""From records and solicitations to advertisements, without a kernel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from tests.unit.advertising.test_advertised import FOO, HERE, HOST, IN_DOCKER, ONE, PORT
from tests.unit.advertising.test_advertisement_messages import opened, solicitation
from tests.unit.multicast.test_snooper import FakeWire
from weft.model.addresses import ip_address
from weft.model.choices import Advertising
from weft.model.ids import NetworkId, PortId
from weft.model.records import Network, Port, Veth
from weft.observers.advertising.advertiser import Advertiser
from weft.store.interface import Delete, Put
from weft.store.memory import MemoryStore

DEADLINE_S = 10.0
OFF = replace(ONE, router_advertisements=Advertising.OFF)


class World:
    """An advertiser that runs; its clock is the test's."""

    def __init__(self) -> None:
        self.store = MemoryStore([HOST, FOO, ONE, PORT])
        self.wire = FakeWire()
        self.now_s = 1000.0
        self.advertiser = Advertiser(
            host_id=HERE,
            store=self.store,
            wire=self.wire,
            port_of=lambda ifindex: self.store.get(Port, str(ifindex)),
            monotonic=lambda: self.now_s,
            uniform=lambda least, most: most,
        )

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.advertiser._listening.wake()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self.passes(0.05)
                await asyncio.sleep(0)

    async def sent(self, count: int) -> list[bytes]:
        """So many advertisements go out."""
        await self.until(lambda: len(self.wire.sent) >= count)
        frames, self.wire.sent = [frame for _, frame in self.wire.sent], []
        return frames

    async def settle(self) -> None:
        """The first ones of what is known are through."""
        await self.sent(3)


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.advertiser.run())
        await world.until(lambda: world.wire.is_open)
        yield world
        task.cancel()


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with running() as world:
            await test(world)

    asyncio.run(inside())


def lifetimes(frame: bytes) -> tuple[int, int]:
    """Of the router, and of the prefix."""
    head, options = opened(frame)
    prefix = dict(options)[3]
    return int.from_bytes(head[6:8], "big"), int.from_bytes(prefix[4:8], "big")


def test_a_port_is_told_through_its_device() -> None:
    async def test(world: World) -> None:
        await world.until(lambda: bool(world.wire.sent))
        assert world.wire.sent[0][0] == "weft1"
        assert lifetimes(world.wire.sent[0][1]) == (65535, 2**32 - 1)

    run(test)


def test_who_asks_is_answered_soon_and_not_more_often_however_often_it_asks() -> None:
    async def test(world: World) -> None:
        await world.settle()
        world.passes(5.0)
        began_s = world.now_s
        for _ in range(100):
            world.wire.report(1, solicitation())
        await world.sent(1)
        assert world.now_s - began_s < 2.0
        told_s = world.now_s
        world.wire.report(1, *[solicitation()] * 500)
        await world.sent(1)
        assert world.now_s - told_s >= 3.0

    run(test)


def test_who_is_told_nothing_and_what_is_none_get_no_answer() -> None:
    async def test(world: World) -> None:
        silent = replace(IN_DOCKER, id=PortId("2"), addresses=(ip_address("fd00:1::8"),))
        await world.store.write([Put(silent)])
        await world.settle()
        world.wire.report(2, solicitation())
        world.wire.report(1, solicitation(sum=1), b"")
        world.wire.report(99, solicitation())
        await world.until(lambda: world.advertiser.statistics()["solicitations"] == 4)
        before_s = world.now_s
        await world.until(lambda: world.now_s > before_s + 100)
        assert not world.wire.sent
        assert world.advertiser.statistics()["malformed"] == 2

    run(test)


def test_what_is_switched_off_is_taken_back_and_comes_again() -> None:
    async def test(world: World) -> None:
        await world.settle()
        await world.store.write([Put(OFF)])
        frames = await world.sent(3)
        assert [lifetimes(frame) for frame in frames] == [(0, 0)] * 3
        before_s = world.now_s
        await world.until(lambda: world.now_s > before_s + 700)
        assert not world.wire.sent
        await world.store.write([Put(ONE)])
        assert lifetimes((await world.sent(1))[0]) == (65535, 2**32 - 1)

    run(test)


def test_a_second_port_of_a_workload_takes_the_default_router_back() -> None:
    async def test(world: World) -> None:
        await world.settle()
        bar = Network(id=NetworkId("b" * 16), name="bar", vni=FOO.vni)
        device = Veth(ifname="weft1", peer_ifname="eth0", netns="/n", netns_inode=7)
        second = replace(
            PORT,
            id=PortId("2"),
            network_id=bar.id,
            device=replace_device(device, "weft2"),
            addresses=(),
        )
        await world.store.write([Put(bar), Put(replace(PORT, device=device)), Put(second)])
        frames = await world.sent(3)
        assert lifetimes(frames[-1]) == (0, 2**32 - 1)
        await world.store.write([Delete(Port, second.id)])
        frames = await world.sent(3)
        assert lifetimes(frames[-1]) == (65535, 2**32 - 1)

    run(test)


def replace_device(device: Veth, ifname: str) -> Veth:
    return replace(device, ifname=ifname)


def test_a_port_that_goes_is_told_no_more() -> None:
    async def test(world: World) -> None:
        await world.settle()
        await world.store.write([Delete(Port, PORT.id)])
        before_s = world.now_s
        await world.until(lambda: world.now_s > before_s + 1300)
        assert not world.wire.sent

    run(test)
