"""What programs decide is what the specification says: random records, packets, and changes of the
records between packets, so that a decision that was kept for too long is found."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from tests.bpf.enforced import EVERYBODY, LOCAL, NET, Enforced, port_of
from tests.bpf.judged import framed
from tests.bpf.random_policy import RandomPolicy
from tests.bpf.test_enforcement import emptied
from tests.bpf.wire import ICMP, ICMPV6, TCP, UDP, echo6, icmp, tcp, udp
from tests.bpf.world import Workload, World
from weft.model.addresses import IPAddress, ip_address
from weft.model.choices import Direction
from weft.model.records import Port
from weft.semantics.policy import Packet, is_let_through
from weft.semantics.unowned import remote_at

MODELS = int(os.environ.get("WEFT_TEST_MODELS", "12"))
FIRST, CHANGES, PACKETS = 80, 8, 12
_PORTS = (22, 80, 81, 443, 8000)
OTHERS = [
    ip_address(each)
    for each in (
        *("10.1.0.200", "10.1.0.201", "10.1.1.77", "192.0.2.7", "198.51.100.7"),
        *("fd00:1::c8", "fd00:1::77", "2001:db8::7"),
    )
]
"""Addresses that no port has for its own."""
_DHCP = {4: (68, 67), 6: (546, 547)}
"""What a client of DHCP asks from, and where."""


class Flow(NamedTuple):
    """What a packet shows that begins one, and may be sent again."""

    sender: Workload
    target: Workload
    source: IPAddress
    destination: IPAddress
    packet: Packet


@pytest.fixture
def enforced(world: World) -> Iterator[Enforced]:
    yield from emptied(world)


class Traffic:
    """Flows of which no two have the same addresses and ports (but for what asks for DHCP), nor is
    one an answer to another."""

    def __init__(self, chance: random.Random, others: Sequence[IPAddress] = ()) -> None:
        """others: addresses that no port has for its own, to be used as well."""
        self._chance = chance
        self._others = others
        self._last = 20000

    def flow(self) -> Flow:
        chance = self._chance
        sender = chance.choice(EVERYBODY)
        others = [each for each in EVERYBODY if each is not sender]
        target = chance.choice(others if sender in LOCAL else LOCAL)
        version = chance.choice([4, 6])
        ends = sender, target, self._address(sender, version), self._address(target, version)
        self._last += 1
        if chance.random() < 0.2:
            kind = 8 if version == 4 else 128
            return Flow(*ends, Packet(_icmp(version), self._last, 0, kind))
        if chance.random() < 0.1:
            return Flow(*ends, Packet(UDP, *_DHCP[version]))
        protocol = chance.choice([TCP, UDP])
        return Flow(*ends, Packet(protocol, self._last, chance.choice(_PORTS)))

    def again(self, flow: Flow) -> Flow:
        """Another one, but for what tells flows apart."""
        if flow.packet.source_port in (end for ends in _DHCP.values() for end in ends):
            return flow
        self._last += 1
        return flow._replace(packet=flow.packet._replace(source_port=self._last))

    def _address(self, workload: Workload, version: int) -> IPAddress:
        """The workload's own, or one that it may be allowed to use."""
        others = [each for each in self._others if each.version == version]
        if others and self._chance.random() < 0.3:
            return self._chance.choice(others)
        return ip_address(workload.ipv4 if version == 4 else workload.ipv6)


def _icmp(version: int) -> int:
    return ICMP if version == 4 else ICMPV6


def frame(flow: Flow) -> bytes:
    sender, target, _, _, packet = flow
    version, source, destination = flow.source.version, str(flow.source), str(flow.destination)
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
    view = enforced.store
    one, other = (view.get(Port, port_of(each).id) for each in flow[:2])
    assert one is not None and other is not None
    if flow.sender in LOCAL and not may_use(one, flow.source):
        return False
    ends = (
        (flow.sender, one, Direction.EGRESS, remote_at(view, NET, flow.destination)),
        (flow.target, other, Direction.INGRESS, remote_at(view, NET, flow.source)),
    )
    return all(
        is_let_through(view, port, direction, remote, flow.packet)
        for workload, port, direction, remote in ends
        if workload in LOCAL
    )


def may_use(port: Port, source: IPAddress) -> bool:
    return (
        not port.is_spoof_checked
        or source in port.addresses
        or any(source in each.cidr for each in port.allowed)
    )


@pytest.mark.parametrize("turn", range(MODELS))
def test_programs_decide_as_the_specification_says(enforced: Enforced, turn: int) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    policy, traffic = RandomPolicy(chance), Traffic(chance, OTHERS)
    sent: list[Flow] = []
    verdicts = set()
    for change in range(CHANGES):
        failures = enforced.change(*policy.changes(enforced.store, FIRST if not change else 3))
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
