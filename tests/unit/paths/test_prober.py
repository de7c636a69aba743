"""Whom a host probes, where, and what it tells, with a network of its own making."""

from __future__ import annotations

import asyncio
import contextlib
import random
import selectors
from collections.abc import AsyncIterator, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address

import msgspec

from weft.kernel.bpf.layouts import ProbeMessage
from weft.kernel.probe_wire import Answer
from weft.model.addresses import IPAddress, ip_address
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, host_tag
from weft.model.records import ForgottenHost, Host, Neighbour, Neighbours, Owner, Port
from weft.paths.prober import Prober
from weft.store.interface import Delete, Put
from weft.store.memory import MemoryStore

ME, OTHER, THIRD = (HostId(letter * 16) for letter in "abc")
_VXLAN_BYTES = 8


def host(id: HostId, *addresses: str, mtu_bytes: int = 1500) -> Host:
    underlay = tuple(ip_address(address) for address in addresses)
    return Host(id=id, name=id[0], underlay=underlay, mtu_bytes=mtu_bytes)


def port(number: int, on: HostId, network: str = "foo") -> Port:
    return Port(
        id=PortId(f"{number}"),
        network_id=NetworkId(network),
        host_id=on,
        mac=MacAddress("02:00:00:00:00:01"),
        slot=0,
        owner=Owner(frontend="cli"),
    )


class Skipping(asyncio.SelectorEventLoop):
    """Time passes at once while everybody waits."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        super().__init__(_SkippingSelector(self))

    def time(self) -> float:
        return self.now_s


class _SkippingSelector(selectors.SelectSelector):
    def __init__(self, loop: Skipping) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now_s += timeout or 0.0
        return super().select(0)


def now_ns() -> int:
    return int(asyncio.get_running_loop().time() * 1e9)


class FakeWire:
    """Answers for addresses that `answering` names."""

    def __init__(self, *answering: str) -> None:
        self.answering: set[IPAddress] = {ip_address(address) for address in answering}
        self.mtu_bytes = 1500
        self.asked: list[tuple[IPAddress, int]] = []
        self._answers: dict[tuple[int, int], Answer] = {}
        self.tags: dict[IPAddress, int] = {}
        self.looks = 0

    def source(self, destination: IPAddress) -> IPAddress | None:
        return None

    def send(self, source: IPAddress, destination: IPAddress, payload: bytes) -> bool:
        assert source.version == destination.version
        size = len(payload) + (28 if destination.version == 4 else 48)
        self.asked.append((destination, size))
        message = ProbeMessage.decode(payload[_VXLAN_BYTES : _VXLAN_BYTES + 36])
        slot = int.from_bytes(message.slot_be, "big")
        assert int.from_bytes(message.tag_be, "big") == host_tag(ME)
        if destination in self.answering and size <= self.mtu_bytes:
            key = (self.tags[destination], slot)
            self._answers[key] = Answer(message.nonce, now_ns())
        return True

    def answers(self, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Answer]:
        asked = list(keys)
        self.looks += len(asked)
        return {key: self._answers[key] for key in asked if key in self._answers}

    def close(self) -> None:
        pass


class World:
    """A prober and the records that it sees."""

    def __init__(self, wire: FakeWire, *records: Host | Port | Neighbours | ForgottenHost) -> None:
        self.wire = wire
        self.store = MemoryStore(records)
        for known in self.store.list(Host):
            wire.tags.update(dict.fromkeys(known.underlay, host_tag(known.id)))
        self.prober = Prober(
            host_id=ME,
            store=self.store,
            wire=wire,
            random_bytes=random.Random(1).randbytes,
            monotonic_ns=now_ns,
        )
        self.told = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.prober.on_change = self._count
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.prober.run())
            yield
            task.cancel()

    def is_known(self, host: HostId, *, is_broken: bool) -> bool:
        """Whether the prober has found out that much about a host."""
        state = self.prober.states().get(host)
        return state is not None and state.is_broken == is_broken

    async def until(self, claim: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not claim():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def _count(self) -> None:
        self.told += 1


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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())


def test_a_path_on_which_all_is_well_costs_a_packet_a_second() -> None:
    async def main() -> None:
        wire = FakeWire("192.0.2.2")
        records = (host(ME, "192.0.2.1"), host(OTHER, "192.0.2.2"))
        world = World(wire, *records, port(1, ME), port(2, OTHER))
        async with world.running():
            await world.until(lambda: OTHER in world.prober.states())
            await asyncio.sleep(2.5)
            assert len(wire.asked) <= 4

    asyncio.run(main())


def test_who_has_been_silent_for_long_is_asked_seldom_until_it_writes() -> None:
    async def main() -> None:
        others = [
            host(HostId(f"{n:016x}"), f"10.0.{n // 250}.{n % 250 + 1}") for n in range(1, 501)
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

    with asyncio.Runner(loop_factory=Skipping) as runner:
        runner.run(main())


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

    with asyncio.Runner(loop_factory=Skipping) as runner:
        runner.run(main())
