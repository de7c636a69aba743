"""Whom a host probes, where, and what it tells, with a network of its own making."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address

import msgspec

from tests.unit.paths.world import ME, OTHER, THIRD, FakeWire, World, host, port, skipping
from weft.model.addresses import ip_address
from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Host, Neighbour, Neighbours, Port
from weft.store.interface import Delete, Put


def test_hosts_that_share_a_network_are_probed_and_no_others() -> None:
    async def main() -> None:
        wire = FakeWire("192.0.2.2", "192.0.2.3")
        records = (host(ME, "192.0.2.1"), host(OTHER, "192.0.2.2"), host(THIRD, "192.0.2.3"))
        world = World(wire, *records, port(1, ME), port(2, OTHER), port(3, THIRD, "bar"))
        async with world.running():
            await world.until(lambda: OTHER in world.prober.states())
            assert {address for address, _ in wire.asked} == {IPv4Address("192.0.2.2")}
            state = world.prober.states()[OTHER]
            assert (state.is_broken, state.mtu_bytes) == (False, 1500)
            await world.store.write([Put(port(4, ME, "bar"))])
            await world.until(lambda: THIRD in world.prober.states())
            await world.store.write([Delete(Port, "2")])
            await world.until(lambda: OTHER not in world.prober.states())
            assert world.told == 3

    skipping(main())


def test_a_host_with_a_link_is_probed_until_it_is_forgotten() -> None:
    async def main() -> None:
        wire = FakeWire("192.0.2.2")
        link = Neighbour(host_id=OTHER, address=IPv4Address("192.0.2.2"))
        stated = Neighbours(id=ME, host_id=ME, neighbours=(link,))
        world = World(wire, host(ME, "192.0.2.1"), host(OTHER, "192.0.2.2"), stated)
        async with world.running():
            await world.until(lambda: OTHER in world.prober.states())
            await world.store.write([Put(ForgottenHost(id=OTHER))])
            await world.until(lambda: OTHER not in world.prober.states())

    skipping(main())


def test_the_second_address_is_found_when_the_first_does_not_answer() -> None:
    async def main() -> None:
        wire = FakeWire("2001:db8::2")
        here = host(ME, "192.0.2.1", "2001:db8::1")
        there = host(OTHER, "192.0.2.2", "2001:db8::2")
        world = World(wire, here, there, port(1, ME), port(2, OTHER))
        async with world.running():
            await world.until(lambda: OTHER in world.prober.states())
            assert world.prober.states()[OTHER].is_broken
            await world.until(lambda: world.is_known(OTHER, is_broken=False))
            assert world.prober.states()[OTHER].address == IPv6Address("2001:db8::2")

    skipping(main())


def test_hosts_without_a_family_in_common_are_apart_and_nothing_is_sent() -> None:
    async def main() -> None:
        wire = FakeWire()
        records = (host(ME, "192.0.2.1"), host(OTHER, "2001:db8::2"))
        world = World(wire, *records, port(1, ME), port(2, OTHER))
        async with world.running():
            await world.until(lambda: OTHER in world.prober.states())
            assert world.prober.states()[OTHER].is_broken
            assert wire.asked == []
            wire.answering.add(ip_address("2001:db8::2"))
            await world.store.write([Put(host(ME, "192.0.2.1", "2001:db8::1"))])
            await world.until(lambda: world.is_known(OTHER, is_broken=False))

    skipping(main())


def test_a_device_that_takes_more_is_made_use_of() -> None:
    async def main() -> None:
        wire = FakeWire("192.0.2.2")
        here, there = host(ME, "192.0.2.1"), host(OTHER, "192.0.2.2", mtu_bytes=9000)
        world = World(wire, here, there, port(1, ME), port(2, OTHER))
        async with world.running():
            await world.until(lambda: OTHER in world.prober.states())
            wire.mtu_bytes = 9000
            await world.store.write([Put(msgspec.structs.replace(here, mtu_bytes=9000))])
            await world.until(lambda: world.prober.states()[OTHER].mtu_bytes == 9000)

    skipping(main())


def test_a_path_on_which_all_is_well_costs_a_packet_a_second() -> None:
    async def main() -> None:
        wire = FakeWire("192.0.2.2")
        records = (host(ME, "192.0.2.1"), host(OTHER, "192.0.2.2"))
        world = World(wire, *records, port(1, ME), port(2, OTHER))
        async with world.running():
            await world.until(lambda: OTHER in world.prober.states())
            await asyncio.sleep(2.5)
            assert len(wire.asked) <= 4

    skipping(main())


def test_who_has_been_silent_for_long_is_asked_seldom_until_it_writes() -> None:
    async def main() -> None:
        others = [
            host(HostId(f"{n:08x}" * 2), f"10.0.{n // 250}.{n % 250 + 1}") for n in range(1, 501)
        ]
        wire = FakeWire()
        ports = [port(n, other.id) for n, other in enumerate(others, 1)]
        world = World(wire, host(ME, "192.0.2.1"), *others, port(0, ME), *ports)
        async with world.running():
            await asyncio.sleep(180)
            assert all(world.is_known(other.id, is_broken=True) for other in others)
            asked, looks = len(wire.asked), wire.looks
            await asyncio.sleep(60)
            assert len(wire.asked) - asked <= len(others) * 6
            assert wire.looks - looks <= len(others) * 12
            back = others[7]
            wire.answering.update(back.underlay)
            await world.store.write([Put(Neighbours(id=back.id, host_id=back.id))])
            await asyncio.sleep(4)
            assert world.is_known(back.id, is_broken=False)

    skipping(main())


def test_who_is_silent_though_it_is_linked_is_asked_as_often_as_ever() -> None:
    async def main() -> None:
        wire = FakeWire()
        link = Neighbour(host_id=OTHER, address=IPv4Address("192.0.2.2"))
        stated = Neighbours(id=ME, host_id=ME, neighbours=(link,))
        world = World(wire, host(ME, "192.0.2.1"), host(OTHER, "192.0.2.2"), stated)
        async with world.running():
            await asyncio.sleep(600)
            wire.answering.update(world.store.get(Host, OTHER).underlay)  # type: ignore[union-attr]
            await asyncio.sleep(3)
            assert world.is_known(OTHER, is_broken=False)

    skipping(main())
