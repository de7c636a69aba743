"""How ports fare on their own host: what another host is told that asks, and at which cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from tests.unit.conftest import FakeCounters
from weft.cluster import ask_messages
from weft.cluster.inquiry import Terms
from weft.control.answers.port_states import (
    FRESH_S,
    PORT_STATES,
    PortsAsked,
    PortState,
    PortStates,
    Tally,
)
from weft.engine.failures import Failure
from weft.engine.rows import RowKey
from weft.engine.sink import Counters
from weft.errors import InvalidError
from weft.model.ids import HostId, MacAddress, NetworkId, PortId
from weft.model.records import Owner, Port, Veth
from weft.store.memory import MemoryStore

ME, OTHER = HostId("a" * 16), HostId("b" * 16)
TERMS = Terms(OTHER, 5.0, 1_000_000)


class Engine:
    """Counts how often it was read."""

    def __init__(self) -> None:
        self.reads = 0
        self.traffic: dict[str, Counters] = {}
        self.failed: list[Failure] = []

    def failures(self) -> Sequence[Failure]:
        return self.failed

    async def counters(self) -> Mapping[str, Counters]:
        self.reads += 1
        await asyncio.sleep(0)
        return self.traffic


class Desk:
    """This host with ports, and a clock that moves when told."""

    def __init__(self, *ports: Port) -> None:
        self.now_s = 100.0
        self.engine = Engine()
        self.states = PortStates(MemoryStore(ports), ME, self.engine, lambda: self.now_s)

    async def told(self, *ids: str) -> list[PortState]:
        return [state async for state in self.states.answer(PortsAsked(ids), TERMS)]


def port(id: str, host: HostId = ME, ifname: str | None = None) -> Port:
    device = Veth(ifname=ifname, peer_ifname="eth0", netns=None) if ifname else None
    return Port(
        id=PortId(id),
        network_id=NetworkId("n1"),
        host_id=host,
        mac=MacAddress("02:00:00:00:00:01"),
        slot=0,
        owner=Owner(frontend="cli"),
        device=device,
    )


IFNAME = "weft00000000001"


async def test_a_host_tells_of_its_own_ports_and_no_others() -> None:
    desk = Desk(port("p1", ifname=IFNAME), port("p2"), port("p3", OTHER, "weft00000000003"))
    desk.engine.traffic = {IFNAME: FakeCounters(1, 60, 2, 120, {"ttl": 5, "isolated": 0})}
    p1, p2 = sorted(await desk.told(), key=lambda state: state.port_id)
    assert p1 == PortState("p1", Tally(1, 60, 2, 120, {"ttl": 5}))
    assert p2 == PortState("p2", None)
    assert await desk.told("p2", "p3", "none") == [p2]


async def test_what_is_not_in_force_is_told_with_bounds() -> None:
    desk = Desk(port("p1"))
    reasons = [f"no \x1b room {'x' * 5000}", *map(str, range(50))]
    desk.engine.failed = [Failure(RowKey("macs", 1), [("port", "p1")], why) for why in reasons]
    (state,) = await desk.told("p1")
    assert state.problems[0].startswith("no \\x1b room") and len(state.problems[0]) == 1000
    data = ask_messages.encode(state)
    assert ask_messages.decode_body(data, PORT_STATES.item) == state


async def test_whoever_asks_without_pause_has_the_counters_read_seldom() -> None:
    desk = Desk(port("p1"))
    await asyncio.gather(*(desk.told() for _ in range(100)))
    assert desk.engine.reads == 1
    desk.now_s += FRESH_S
    await asyncio.gather(*(desk.told() for _ in range(100)))
    assert desk.engine.reads == 2


@pytest.mark.parametrize(
    "item",
    [
        ["p1", [1, 2, 3, -4, {}], []],
        ["p1", [1, 2, 3, 2**63, {}], []],
        ["p1", [1, 2, 3, 4, {"ttl\x1b": 1}], []],
        ["p1", [1, 2, 3, 4, {f"r{n}": n for n in range(201)}], []],
        ["p 1", None, []],
        ["p1", None, ["\n"]],
        ["p1", None, ["x"] * 9],
    ],
)
def test_what_no_host_counts_is_not_believed(item: object) -> None:
    with pytest.raises(InvalidError):
        ask_messages.decode_body(msgspec.msgpack.encode(item), PORT_STATES.item)


def test_a_host_can_be_asked_for_so_many_ports() -> None:
    largest = PortsAsked(("p" * 128,) * 50)
    assert len(ask_messages.encode(largest)) < ask_messages.MOST_ASKED_BYTES
