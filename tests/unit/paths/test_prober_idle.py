"""Paths that carry nothing cost little, and those that carry something lose nothing by it."""

from __future__ import annotations

import asyncio
import math
from ipaddress import IPv4Address

import pytest

from tests.unit.paths.world import (
    ME,
    OTHER,
    THIRD,
    FakeTraffic,
    FakeWire,
    World,
    host,
    port,
    skipping,
)
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import Host, Neighbour, Neighbours
from weft.model.service_addresses import wireguard_address
from weft.observers.paths.talk import TALK_S
from weft.observers.paths.turns import BURST, IDLE_INTERVAL_S, INTERVAL_S
from weft.store.interface import Put

AT_OTHER, AT_THIRD = "192.0.2.2", "192.0.2.3"


def three(wire: FakeWire, traffic: FakeTraffic | None) -> World:
    """Hosts that share a network."""
    hosts = (host(ME, "192.0.2.1"), host(OTHER, AT_OTHER), host(THIRD, AT_THIRD))
    ports = (port(1, ME), port(2, OTHER), port(3, THIRD))
    return World(wire, *hosts, *ports, traffic=traffic)


def probes(wire: FakeWire, address: str) -> int:
    return sum(asked == IPv4Address(address) for asked, _ in wire.asked)


def test_a_path_that_carries_nothing_is_probed_seldom() -> None:
    async def main() -> None:
        wire = FakeWire(AT_OTHER, AT_THIRD)
        world = three(wire, FakeTraffic())
        async with world.running():
            await asyncio.sleep(IDLE_INTERVAL_S)
            before = len(wire.asked)
            await asyncio.sleep(10 * IDLE_INTERVAL_S)
            assert len(wire.asked) - before == 2 * 10
            assert world.is_known(OTHER, is_broken=False)

    skipping(main())


def test_a_path_is_probed_within_a_second_of_its_first_packet_and_every_second_then() -> None:
    async def main() -> None:
        wire, traffic = FakeWire(AT_OTHER, AT_THIRD), FakeTraffic()
        world = three(wire, traffic)
        async with world.running():
            await asyncio.sleep(2 * IDLE_INTERVAL_S + 1.3)
            other, third = probes(wire, AT_OTHER), probes(wire, AT_THIRD)
            traffic.carry(OTHER)
            await asyncio.sleep(1)
            assert probes(wire, AT_OTHER) == other + 1
            await asyncio.sleep(10 * INTERVAL_S)
            assert probes(wire, AT_OTHER) == other + 11
            assert probes(wire, AT_THIRD) == third

    skipping(main())


def test_a_path_that_has_carried_nothing_for_long_is_probed_seldom_again() -> None:
    async def main() -> None:
        wire, traffic = FakeWire(AT_OTHER, AT_THIRD), FakeTraffic()
        world = three(wire, traffic)
        async with world.running():
            traffic.carry(OTHER)
            await asyncio.sleep(TALK_S / 2)
            traffic.carry(OTHER)
            before = probes(wire, AT_OTHER)
            await asyncio.sleep(TALK_S - 1)
            assert probes(wire, AT_OTHER) - before >= TALK_S - 2
            await asyncio.sleep(2)
            before = probes(wire, AT_OTHER)
            await asyncio.sleep(10 * IDLE_INTERVAL_S)
            assert probes(wire, AT_OTHER) - before == 10

    skipping(main())


def test_a_tunnel_that_is_written_anew_carries_nothing_by_that() -> None:
    async def main() -> None:
        wire, traffic = FakeWire(AT_OTHER, AT_THIRD), FakeTraffic()
        world = three(wire, traffic)
        async with world.running():
            traffic.carry(OTHER)
            await asyncio.sleep(TALK_S + IDLE_INTERVAL_S)
            before = probes(wire, AT_OTHER)
            traffic.rewrite(OTHER)
            await asyncio.sleep(10 * IDLE_INTERVAL_S)
            assert probes(wire, AT_OTHER) - before == 10

    skipping(main())


async def broken_after_s(world: World, to: HostId) -> float:
    began_s = asyncio.get_running_loop().time()
    await world.until(lambda: world.is_known(to, is_broken=True), within_s=100)
    return asyncio.get_running_loop().time() - began_s


async def fault(traffic: FakeTraffic | None, at_s: float) -> float:
    """How long a path that carries packets is down until that is known, when it breaks so long
    after a whole second."""
    wire = FakeWire(AT_OTHER, AT_THIRD)
    world = three(wire, traffic)
    async with world.running():
        if traffic is not None:
            traffic.carry(OTHER)
        now_s = asyncio.get_running_loop().time()
        await asyncio.sleep(math.ceil(now_s) + 30 + at_s - now_s)
        wire.answering.clear()
        return await broken_after_s(world, OTHER)


@pytest.mark.parametrize("at_s", [0.0, 0.3, 0.6, 0.9])
def test_a_fault_between_hosts_that_talk_is_found_as_fast_as_if_all_were_probed(
    at_s: float,
) -> None:
    async def main() -> None:
        assert await fault(FakeTraffic(), at_s) == pytest.approx(await fault(None, at_s), abs=0.02)

    skipping(main())


def test_a_fault_that_came_while_nobody_talked_is_found_soon_after_the_first_packet() -> None:
    async def main() -> None:
        wire, traffic = FakeWire(AT_OTHER, AT_THIRD), FakeTraffic()
        world = three(wire, traffic)
        async with world.running():
            await asyncio.sleep(2 * IDLE_INTERVAL_S + 0.5)
            wire.answering.clear()
            traffic.carry(OTHER)
            assert await broken_after_s(world, OTHER) <= 1 + await fault(None, 0.0)

    skipping(main())


def test_a_host_that_is_cut_off_while_nobody_talks_is_found_all_the_same() -> None:
    async def main() -> None:
        wire = FakeWire(AT_OTHER, AT_THIRD)
        world = three(wire, FakeTraffic())
        async with world.running():
            await asyncio.sleep(2 * IDLE_INTERVAL_S + 0.5)
            wire.answering.clear()
            assert await broken_after_s(world, OTHER) <= IDLE_INTERVAL_S + await fault(None, 0.0)
            wire.answering.update(address(world, OTHER))
            await asyncio.sleep(IDLE_INTERVAL_S + 1)
            assert world.is_known(OTHER, is_broken=False)

    skipping(main())


def test_a_link_that_goes_has_the_path_probed_at_once() -> None:
    async def main() -> None:
        wire = FakeWire(AT_OTHER, AT_THIRD)
        world = three(wire, FakeTraffic())
        await world.store.write([Put(linked(OTHER, AT_OTHER))])
        async with world.running():
            await asyncio.sleep(2 * IDLE_INTERVAL_S + 0.5)
            wire.answering.clear()
            await world.store.write([Put(Neighbours(id=ME, host_id=ME))])
            assert await broken_after_s(world, OTHER) <= await fault(None, 0.0)

    skipping(main())


def test_a_path_that_shrank_while_nobody_talked_is_measured_at_the_first_packet() -> None:
    async def main() -> None:
        wire, traffic = FakeWire(AT_OTHER, AT_THIRD), FakeTraffic()
        world = three(wire, traffic)
        async with world.running():
            await asyncio.sleep(2 * IDLE_INTERVAL_S + 0.5)
            wire.mtu_bytes = 1400
            traffic.carry(OTHER)
            await asyncio.sleep(8)
            assert world.prober.states()[OTHER].mtu_bytes == 1400
            assert world.prober.states()[THIRD].mtu_bytes == 1500

    skipping(main())


@pytest.mark.parametrize(
    "relay", [AT_THIRD, str(wireguard_address(THIRD))], ids=["plain", "encrypted"]
)
def test_who_talks_by_a_relay_watches_the_path_to_the_relay_and_the_one_that_is_broken(
    relay: str,
) -> None:
    async def main() -> None:
        wire, traffic = FakeWire(AT_THIRD), FakeTraffic()
        world = three(wire, traffic)
        await world.store.write([Put(linked(OTHER, AT_OTHER))])
        async with world.running():
            await asyncio.sleep(100 * IDLE_INTERVAL_S)
            traffic.carry(OTHER, relay=relay)
            await asyncio.sleep(2)
            before = probes(wire, AT_THIRD)
            await asyncio.sleep(10)
            assert probes(wire, AT_THIRD) == before + 10
            wire.answering.update(address(world, OTHER))
            await asyncio.sleep(3)
            assert world.is_known(OTHER, is_broken=False)

    skipping(main())


def many(count: int, traffic: FakeTraffic) -> tuple[World, list[Host]]:
    """Other hosts that share a network with this one, and answer."""
    numbers = range(1, count + 1)
    others = [host(HostId(f"{n:08x}" * 2), f"10.0.{n // 250}.{n % 250 + 1}") for n in numbers]
    wire = FakeWire(*(str(each.underlay[0]) for each in others))
    ports = [port(n, other.id) for n, other in enumerate(others, 1)]
    me = host(ME, "192.0.2.1")
    return World(wire, me, *others, port(0, ME), *ports, traffic=traffic), others


@pytest.mark.parametrize(("hosts", "probes_a_second"), [(30, 1.5), (100, 5), (1000, 10)])
def test_what_many_hosts_that_say_nothing_cost_is_bounded(
    hosts: int, probes_a_second: float
) -> None:
    async def main() -> None:
        world, _ = many(hosts - 1, FakeTraffic())
        wire = world.wire
        async with world.running():
            await asyncio.sleep(200)
            wire.asked.clear()
            wire.moments.clear()
            looks = wire.looks
            await asyncio.sleep(200)
            assert len(wire.asked) <= 200 * probes_a_second
            assert wire.looks - looks == len(wire.asked)
            assert len(wire.moments) <= 200 / IDLE_INTERVAL_S * math.ceil(hosts / BURST)

    skipping(main())


def test_a_broadcast_to_many_hosts_does_not_have_all_probed_at_one_moment() -> None:
    async def main() -> None:
        traffic = FakeTraffic()
        world, others = many(399, traffic)
        wire = world.wire
        async with world.running():
            await asyncio.sleep(100)
            wire.moments.clear()
            for other in others:
                traffic.carry(other.id)
            await asyncio.sleep(4)
            assert len(wire.asked) >= len(others)
            assert max(wire.moments.values()) <= 2 * BURST

    skipping(main())


def address(world: World, of: HostId) -> tuple[IPAddress, ...]:
    record = world.store.get(Host, of)
    assert record is not None
    return record.underlay


def linked(to: HostId, at: str) -> Neighbours:
    link = Neighbour(host_id=to, address=IPv4Address(at))
    return Neighbours(id=ME, host_id=ME, neighbours=(link,))
