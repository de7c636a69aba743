"""From a report of a port to a record, without a kernel."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address

import msgspec
import pytest

from tests.unit.multicast.test_messages import A4, A6, B4, new, old
from weft.errors import UnavailableError
from weft.kernel.group_wire import Reported
from weft.model.addresses import IPAddress, ip_address, ip_network
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, SubnetId, Vni
from weft.model.records import (
    AllowedAddress,
    MulticastMembership,
    Network,
    Owner,
    Port,
    Subnet,
    Veth,
)
from weft.observers.multicast import querier, table
from weft.observers.multicast.snooper import Snooper
from weft.store.interface import Change, Delete, Put
from weft.store.memory import MemoryStore

HERE, THERE = HostId("a" * 16), HostId("b" * 16)
FOO = Network(id=NetworkId("f" * 16), name="foo", vni=Vni(7))
SUBNET = Subnet(
    id=SubnetId("5" * 16),
    cidr=ip_network("10.1.0.0/24"),
    network_id=FOO.id,
    gateway=ip_address("10.1.0.1"),
)
DEADLINE_S = 10.0


def port(number: int, host: HostId = HERE, **fields: object) -> Port:
    values: dict[str, object] = {
        "id": PortId(f"{number:016x}"),
        "network_id": FOO.id,
        "host_id": host,
        "mac": MacAddress(f"02:00:00:00:00:{number:02x}"),
        "slot": number,
        "owner": Owner(frontend="cli"),
        "device": Veth(ifname=f"weft{number}", peer_ifname="eth0"),
    }
    return Port(**(values | fields))  # type: ignore[arg-type]


ONE, TWO = port(1), port(2)


class FakeWire:
    """Reports come by a pipe's signal, queries are kept."""

    def __init__(self) -> None:
        self.reports: list[Reported] = []
        self.sent: list[tuple[str, bytes]] = []
        self._ends: tuple[int, int] | None = None

    @property
    def is_open(self) -> bool:
        return self._ends is not None

    def open(self) -> None:
        self._ends = os.pipe2(os.O_NONBLOCK)

    def close(self) -> None:
        for end in self._ends or ():
            os.close(end)
        self._ends = None

    def fileno(self) -> int:
        assert self._ends is not None
        return self._ends[0]

    def receive(self) -> Reported | None:
        if self.reports:
            return self.reports.pop(0)
        with suppress(BlockingIOError):
            os.read(self.fileno(), 1000)
        return None

    def send(self, ifname: str, frame: bytes) -> bool:
        self.sent.append((ifname, frame))
        return True

    def report(self, ifindex: int, *packets: bytes) -> None:
        self.reports += [Reported(ifindex, packet) for packet in packets]
        assert self._ends is not None
        os.write(self._ends[1], b"!")


class Store(MemoryStore):
    """May be out of order."""

    is_broken = False

    async def write(self, changes: object) -> None:
        if self.is_broken:
            raise UnavailableError("the disk is full")
        await super().write(changes)  # type: ignore[arg-type]


class World:
    """A snooper that runs; its clock is the test's."""

    def __init__(self, records: Sequence[object]) -> None:
        self.store = Store(records)  # type: ignore[arg-type]
        self.wire = FakeWire()
        self.now_s = 1000.0
        self.cost_s = 0.0
        """What passes whenever somebody looks at the clock."""
        self.snooper = Snooper(
            host_id=HERE,
            store=self.store,
            wire=self.wire,
            port_of=lambda ifindex: self.store.get(Port, f"{ifindex:016x}"),
            monotonic=self._clock,
        )

    def _clock(self) -> float:
        self.now_s += self.cost_s
        return self.now_s

    def groups(self, of: Port = ONE) -> tuple[IPAddress, ...]:
        found = self.store.get(MulticastMembership, of.id)
        return found.multicast_groups if found is not None else ()

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.snooper._listening.wake()

    async def until(self, claim: Callable[[], bool]) -> None:
        """Time passes in small steps until it holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not claim():
                self.passes(0.02)
                await asyncio.sleep(0.001)

    async def write(self, *changes: Change) -> None:
        await self.store.write(changes)


@asynccontextmanager
async def running(*records: object) -> AsyncIterator[World]:
    world = World(records or (FOO, SUBNET, ONE, TWO))
    task = asyncio.create_task(world.snooper.run())
    try:
        await world.until(
            lambda: world.wire.is_open and bool(world.wire.sent or not world.snooper._ports)
        )
        yield world
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_what_a_port_joins_is_published_and_what_it_leaves_goes() -> None:
    async def test() -> None:
        async with running() as world:
            world.wire.report(1, old(0x16, A4), new((4, A6, 0)), old(0x16, A4))
            await world.until(lambda: world.groups() == (A4, A6))
            assert world.store.get(MulticastMembership, ONE.id) == MulticastMembership(
                id=ONE.id, network_id=FOO.id, host_id=HERE, multicast_groups=(A4, A6)
            )
            world.wire.report(1, old(0x17, A4))
            await world.until(lambda: world.groups() == (A6,))
            world.wire.report(1, new((3, A6, 0)))
            await world.until(lambda: world.store.get(MulticastMembership, ONE.id) is None)
            assert world.snooper.statistics()["reports"] == 5

    run(test)


def test_many_joins_at_once_are_one_record() -> None:
    async def test() -> None:
        async with running() as world:
            writes: list[object] = []
            world.store.watch(lambda changes: writes.append(changes))
            world.wire.report(1, *(old(0x16, IPv4Address(int(A4) + n)) for n in range(100)))
            await world.until(lambda: len(world.groups()) == 100)
            assert len(writes) == 1

    run(test)


def test_who_is_silent_for_long_is_a_member_no_longer() -> None:
    async def test() -> None:
        async with running() as world:
            world.wire.report(1, old(0x16, A4))
            world.wire.report(2, old(0x16, A4))
            await world.until(lambda: world.groups() == world.groups(TWO) == (A4,))
            world.passes(querier.MEMBER_S - 10)
            world.wire.report(2, old(0x16, A4))
            await world.until(lambda: world.snooper.statistics()["reports"] == 3)
            world.passes(11)
            await world.until(lambda: world.groups() == ())
            assert world.groups(TWO) == (A4,)

    run(test)


def test_what_was_known_before_weftd_started_stays_until_it_is_not_confirmed() -> None:
    async def test() -> None:
        known = [
            MulticastMembership(id=each.id, network_id=FOO.id, host_id=HERE, multicast_groups=(A4,))
            for each in (ONE, TWO, port(3))
        ]
        there = MulticastMembership(
            id=PortId("9" * 16), network_id=FOO.id, host_id=THERE, multicast_groups=(A4,)
        )
        async with running(FOO, SUBNET, ONE, TWO, *known, there) as world:
            assert world.groups() == world.groups(TWO) == (A4,)
            await world.until(lambda: world.groups(port(3)) == ())
            world.wire.report(2, old(0x16, A4))
            await world.until(lambda: world.snooper.statistics()["reports"] == 1)
            world.passes(querier.MEMBER_S - 1)
            await world.until(lambda: world.groups() == ())
            assert world.groups(TWO) == (A4,)
            assert world.store.get(MulticastMembership, there.id) == there

    run(test)


BEHIND_A_BRIDGE = [
    port(1, is_spoof_checked=False),
    port(1, allowed=(AllowedAddress(cidr=ip_network("10.9.0.0/16")),)),
]


@pytest.mark.parametrize("shared", BEHIND_A_BRIDGE, ids=["unchecked", "allowed"])
def test_behind_a_port_of_many_one_that_leaves_does_not_take_the_others_along(
    shared: Port,
) -> None:
    async def test() -> None:
        async with running(FOO, SUBNET, shared) as world:
            world.wire.report(1, old(0x16, A4), old(0x16, B4))
            await world.until(lambda: world.groups() == (A4, B4))
            world.wire.sent.clear()
            world.wire.report(1, old(0x17, A4), old(0x17, B4))
            await world.until(lambda: len(world.wire.sent) >= 2)
            assert world.groups() == (A4, B4)
            world.wire.report(1, old(0x16, B4))
            await world.until(lambda: world.groups() == (B4,))
            world.passes(60)
            assert world.groups() == (B4,)

    run(test)


def test_one_who_wants_fewer_sources_is_asked_whether_he_wants_any() -> None:
    async def test() -> None:
        async with running() as world:
            world.wire.report(1, new((5, A4, 2)))
            await world.until(lambda: world.groups() == (A4,))
            world.wire.sent.clear()
            world.wire.report(1, new((6, A4, 1)))
            await world.until(lambda: bool(world.wire.sent))
            ifname, frame = world.wire.sent[0]
            assert ifname == "weft1" and frame[38:40] == bytes([0x11, 10])
            world.wire.report(1, new((1, A4, 1)))
            await world.until(lambda: world.snooper.statistics()["reports"] == 3)
            world.passes(30)
            await asyncio.sleep(0.05)
            assert world.groups() == (A4,)
            world.wire.report(1, new((6, A4, 1)))
            await world.until(lambda: world.groups() == ())

    run(test)


def test_every_port_is_asked_in_both_families_from_its_gateway() -> None:
    async def test() -> None:
        async with running() as world:
            await world.until(lambda: len(world.wire.sent) == 4)
            assert [ifname for ifname, _ in world.wire.sent].count("weft1") == 2
            kinds = {frame[12:14].hex() for _, frame in world.wire.sent}
            assert kinds == {"0800", "86dd"}
            (four, *_) = (frame for _, frame in world.wire.sent if frame[12:14] == b"\x08\x00")
            assert ip_address(four[26:30]) == SUBNET.gateway
            assert world.snooper.statistics()["queries"] == 4
            await world.write(Put(port(3)), Delete(Port, TWO.id))
            world.wire.sent.clear()
            await world.until(lambda: "weft3" in dict(world.wire.sent))
            world.passes(querier.SECOND_S)
            await world.until(lambda: "weft1" in dict(world.wire.sent))
            assert "weft2" not in dict(world.wire.sent)

    run(test)


def test_a_port_that_is_unplugged_or_removed_is_a_member_of_nothing() -> None:
    async def test() -> None:
        async with running() as world:
            world.wire.report(1, old(0x16, A4))
            world.wire.report(2, old(0x16, A4))
            await world.until(lambda: world.groups() == world.groups(TWO) == (A4,))
            await world.write(Put(msgspec.structs.replace(ONE, device=None)), Delete(Port, TWO.id))
            await world.until(lambda: not list(world.store.list(MulticastMembership)))

    run(test)


def test_on_a_network_that_floods_nobody_is_asked_and_nothing_learnt() -> None:
    async def test() -> None:
        flooding = msgspec.structs.replace(FOO, multicast="flood")
        async with running(flooding, SUBNET, ONE) as world:
            world.wire.report(1, old(0x16, A4))
            await world.until(lambda: world.snooper.statistics()["reports"] == 1)
            world.passes(1)
            await asyncio.sleep(0.02)
            assert world.wire.sent == [] and world.groups() == ()
            await world.write(Put(FOO))
            await world.until(lambda: bool(world.wire.sent))
            world.wire.report(1, old(0x16, A4))
            await world.until(lambda: world.groups() == (A4,))
            await world.write(Put(flooding))
            await world.until(lambda: world.groups() == ())

    run(test)


def test_rubbish_and_strangers_change_nothing() -> None:
    async def test() -> None:
        async with running(FOO, SUBNET, ONE, port(4, THERE)) as world:
            world.wire.report(1, b"", bytes(60), old(0x16, A4)[:-2], os.urandom(200))
            world.wire.report(99, old(0x16, A4))
            world.wire.report(4, old(0x16, A4))
            flooded = [old(0x16, ip_address(each)) for each in ("224.0.0.251", "10.1.0.1")]
            world.wire.report(1, *flooded, old(131, ip_address("ff02::1:ff00:1")))
            world.wire.report(1, old(0x16, B4))
            await world.until(lambda: world.groups() == (B4,))
            assert [each.id for each in world.store.list(MulticastMembership)] == [ONE.id]
            assert world.snooper.statistics()["malformed"] == 4

    run(test)


def test_a_port_that_joins_and_joins_harms_nobody() -> None:
    async def test() -> None:
        async with running() as world:
            writes: list[object] = []
            world.store.watch(lambda changes: writes.append(changes))
            for n in range(table.PORT_GROUPS + 10):
                world.wire.report(1, old(0x16, IPv4Address(int(A4) + n)))
                await world.until(lambda: not world.wire.reports)
            world.wire.report(2, old(0x16, B4))
            await world.until(lambda: world.groups(TWO) == (B4,))
            await world.until(lambda: world.snooper.statistics()["refused"] == 10)
            await world.until(lambda: len(world.groups()) == table.PORT_GROUPS)
            before, start_s = len(writes), world.now_s
            for turn in range(200):
                world.wire.report(1, old(0x17 if turn % 2 == 0 else 0x16, A4))
                world.passes(0.1)
                await asyncio.sleep(0.001)
            assert len(writes) - before < 25 + (world.now_s - start_s)

    run(test)


def test_ports_that_report_without_end_have_nobody_wait_but_each_other() -> None:
    async def test() -> None:
        loud = [port(number) for number in range(3, 63)]
        async with running(FOO, SUBNET, ONE, TWO, *loud) as world:
            world.cost_s = 0.001
            for n in range(50):
                for each in loud:
                    world.wire.report(each.slot or 0, old(0x16, IPv4Address(int(A4) + n)))
            world.wire.report(1, old(0x16, B4))
            world.wire.report(2, old(131, A6))
            start_s = world.now_s
            await world.until(lambda: world.groups(ONE) == (B4,) and bool(world.groups(TWO)))
            assert world.now_s - start_s < 2
            assert world.snooper.statistics()["reports"] < 2000
            await world.until(lambda: not world.snooper._waiting_reports)
            assert world.snooper.statistics()["limited"] > 500

    run(test)


def test_what_could_not_be_published_is_tried_again() -> None:
    async def test() -> None:
        async with running() as world:
            world.store.is_broken = True
            world.wire.report(1, old(0x16, A4))
            await world.until(lambda: world.snooper.statistics()["reports"] == 1)
            world.passes(1)
            await asyncio.sleep(0.02)
            assert world.groups() == ()
            world.store.is_broken = False
            await world.until(lambda: world.groups() == (A4,))

    run(test)
