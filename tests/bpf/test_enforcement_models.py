"""What programs decide is what the specification says: random records, packets, and changes of the
records between packets, so that a decision that was kept for too long is found."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.bpf.enforced import EVERYBODY, LOCAL, NET, Enforced, port_of
from tests.bpf.judged import framed
from tests.bpf.random_policy import RandomPolicy
from tests.bpf.test_enforcement import emptied
from tests.bpf.wire import ICMP, ICMPV6, TCP, UDP, echo6, icmp, tcp, udp
from tests.bpf.world import Workload, World
from weft.model.choices import Direction
from weft.model.records import Port
from weft.semantics.policy import Packet, Remote, is_let_through

MODELS = int(os.environ.get("WEFT_TEST_MODELS", "12"))
CHANGES, PACKETS = 8, 12
_PORTS = (22, 80, 81, 443, 8000)
_DHCP = {4: (68, 67), 6: (546, 547)}
"""What a client of DHCP asks from, and where."""


class Flow(NamedTuple):
    """What a packet shows that begins one, and may be sent again."""

    sender: Workload
    target: Workload
    version: int
    packet: Packet


@pytest.fixture
def enforced(world: World) -> Iterator[Enforced]:
    yield from emptied(world)


class Traffic:
    """Flows of which no two have the same addresses and ports (but for what asks for DHCP), nor is
    one an answer to another."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._last = 20000

    def flow(self) -> Flow:
        chance = self._chance
        sender = chance.choice(EVERYBODY)
        others = [each for each in EVERYBODY if each is not sender]
        target = chance.choice(others if sender in LOCAL else LOCAL)
        version = chance.choice([4, 6])
        self._last += 1
        if chance.random() < 0.2:
            kind = 8 if version == 4 else 128
            return Flow(sender, target, version, Packet(_icmp(version), self._last, 0, kind))
        if chance.random() < 0.1:
            return Flow(sender, target, version, Packet(UDP, *_DHCP[version]))
        protocol = chance.choice([TCP, UDP])
        return Flow(sender, target, version, Packet(protocol, self._last, chance.choice(_PORTS)))


def _icmp(version: int) -> int:
    return ICMP if version == 4 else ICMPV6


def frame(flow: Flow) -> bytes:
    sender, target, version, packet = flow
    source, destination = (each.ipv4 if version == 4 else each.ipv6 for each in (sender, target))
    ports = packet.source_port, packet.destination_port
    if packet.protocol == TCP:
        payload = tcp(source, destination, ports, b"", 2)
    elif packet.protocol == UDP:
        payload = udp(source, destination, ports)
    elif version == 4:
        payload = icmp(8, identifier=packet.source_port)
    else:
        payload = echo6(source, destination, 128, identifier=packet.source_port)
    return framed(sender, target.mac, source, destination, packet.protocol, payload)


def says(enforced: Enforced, flow: Flow) -> bool:
    """The specification, of both ends that are here."""
    one, other = (enforced.store.get(Port, port_of(each).id) for each in flow[:2])
    assert one is not None and other is not None
    at = 0 if flow.version == 4 else 1
    ends = (
        (flow.sender, one, Direction.EGRESS, Remote(other.addresses[at], NET, other)),
        (flow.target, other, Direction.INGRESS, Remote(one.addresses[at], NET, one)),
    )
    return all(
        is_let_through(enforced.store, port, direction, remote, flow.packet)
        for workload, port, direction, remote in ends
        if workload in LOCAL
    )


@pytest.mark.parametrize("turn", range(MODELS))
def test_programs_decide_as_the_specification_says(enforced: Enforced, turn: int) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    policy, traffic = RandomPolicy(chance), Traffic(chance)
    sent: list[Flow] = []
    verdicts = set()
    for change in range(CHANGES):
        failures = enforced.change(*policy.changes(enforced.store, 12 if not change else 2))
        assert not failures
        if chance.random() < 0.15:
            enforced.start()
            assert not enforced.look().upserts, f"seed {seed}"
            assert enforced.look() == ({}, {}), f"seed {seed}"
        fresh = [traffic.flow() for _ in range(PACKETS)]
        for flow in [*chance.sample(sent, min(len(sent), PACKETS)), *fresh]:
            wanted = says(enforced, flow)
            found = enforced.is_sent(flow.sender, flow.target, frame(flow))
            assert found == wanted, f"seed {seed}, change {change}: {flow}"
            verdicts.add(found)
        sent += fresh
    assert enforced.look() == ({}, {}), f"seed {seed}"
