"""Rules about ports of other networks, which routers lead to."""

from __future__ import annotations

import pytest

from tests.bpf import wire
from tests.bpf.judged import ALLOW_ALL, SYN_ACK, Judged, segment
from tests.bpf.overlay import HUGO, coming, endpoint_at, vxlan
from tests.bpf.overlay import connect as connect_hosts
from tests.bpf.routers import R1, connect, hop, via
from tests.bpf.rules import EGRESS, INGRESS, Group, Rule
from tests.bpf.test_flows import ALLOW, DROP, HTTP, sent
from tests.bpf.test_rejects import REJECT
from tests.bpf.world import ANN, BLUE, BOB, DAN, RED, Workload, World
from weft.model.addresses import ip_address
from weft.model.service_addresses import GATEWAY_MAC

VERSIONS = pytest.mark.parametrize("version", [4, 6])
DENIED = ("", "policy")
THEIRS = Group(7)
FAR = Workload("", BLUE, "02:00:00:00:01:77", "10.2.0.77", "fd00:2::77")
"""On another host, on another network."""


@pytest.fixture
def judged(world: World) -> Judged:
    connect(world, R1, RED, BLUE)
    connect_hosts(world)
    return Judged(world, RED, BLUE)


def join(judged: Judged, workload: Workload, group: Group = THEIRS) -> None:
    for address in (workload.ipv4, workload.ipv6):
        judged.model.groups[ip_address(address)] = {group.atom}


def there(version: int, sender: Workload = ANN, target: Workload = DAN) -> bytes:
    return segment(sender, target, version=version, mac=GATEWAY_MAC)


def back(version: int, sender: Workload = DAN, target: Workload = ANN) -> bytes:
    return segment(sender, target, SYN_ACK, (80, 4000), version=version, mac=GATEWAY_MAC)


@VERSIONS
@pytest.mark.parametrize("who", ["sender", "receiver", "both"])
def test_both_ends_of_a_routed_connection_are_judged(
    judged: Judged, version: int, who: str
) -> None:
    join(judged, ANN)
    join(judged, DAN, Group(8))
    rules = []
    if who in ("sender", "both"):
        judged.judge(ANN, [1])
        rules.append(Rule(1, 1, EGRESS, Group(8), ALLOW, HTTP))
    if who in ("receiver", "both"):
        judged.judge(DAN, [2])
        rules.append(Rule(2, 2, INGRESS, THEIRS, ALLOW, HTTP))
    judged.apply(*rules)
    for _ in range(2):
        assert sent(judged, ANN, there(version)) == (DAN.device, "")
        assert sent(judged, DAN, back(version)) == (ANN.device, "")
    begun = segment(DAN, ANN, ports=(4000, 80), version=version, mac=GATEWAY_MAC)
    assert sent(judged, DAN, begun) == DENIED


@VERSIONS
def test_who_is_in_no_group_is_not_let_in(judged: Judged, version: int) -> None:
    join(judged, BOB)
    judged.judge(DAN, [2])
    judged.apply(Rule(2, 2, INGRESS, THEIRS, ALLOW, HTTP))
    assert sent(judged, ANN, there(version)) == DENIED
    assert sent(judged, BOB, there(version, BOB)) == (DAN.device, "")


@VERSIONS
def test_a_rule_that_forbids_a_group_finds_its_members_elsewhere(
    judged: Judged, version: int
) -> None:
    join(judged, DAN)
    judged.judge(ANN, [1], ALLOW_ALL)
    judged.apply(Rule(1, 1, EGRESS, THEIRS, DROP, HTTP))
    assert sent(judged, ANN, there(version)) == DENIED
    judged.model.groups.clear()
    judged.apply(Rule(1, 1, EGRESS, THEIRS, DROP, HTTP))
    assert sent(judged, ANN, there(version)) == (DAN.device, "")


def far(judged: Judged, group: int) -> None:
    """A port of BLUE on another host, with its groups."""
    for address in (FAR.ipv4, FAR.ipv6):
        endpoint = endpoint_at(HUGO.tag, FAR.mac)._replace(group=group)
        judged.world.add_address(BLUE, address, endpoint)


def arriving(version: int) -> bytes:
    """What that port sends to Ann: its host has routed it."""
    frame = segment(FAR, ANN, version=version)
    frame = frame[:6] + bytes.fromhex(GATEWAY_MAC.replace(":", "")) + frame[12:]
    return coming(HUGO, 4, vxlan(RED, frame))


@VERSIONS
def test_who_arrives_from_another_network_is_known_by_its_address_there(
    judged: Judged, version: int
) -> None:
    join(judged, BOB)
    judged.judge(ANN, [1])
    judged.apply(Rule(1, 1, INGRESS, THEIRS, ALLOW, HTTP))
    far(judged, 0)
    assert judged.world.arrive(arriving(version))[:2] == DENIED
    judged.tell(judged.address_slot(FAR.ipv4 if version == 4 else FAR.ipv6))
    far(judged, 1)
    assert judged.world.arrive(arriving(version))[:2] == (ANN.device, "")
    answer = segment(ANN, FAR, SYN_ACK, (80, 4000), version=version, mac=GATEWAY_MAC)
    assert judged.world.send(ANN, answer).target == "uplink"


@VERSIONS
def test_answers_from_another_network_on_another_host_come_back(
    judged: Judged, version: int
) -> None:
    join(judged, BOB)
    far(judged, 1)
    judged.judge(ANN, [1])
    judged.apply(Rule(1, 1, EGRESS, THEIRS, ALLOW, HTTP))
    far(judged, 1)
    asked = segment(ANN, FAR, version=version, mac=GATEWAY_MAC)
    assert judged.world.send(ANN, asked).target == "uplink"
    frame = segment(FAR, ANN, SYN_ACK, (80, 4000), version=version)
    frame = frame[:6] + bytes.fromhex(GATEWAY_MAC.replace(":", "")) + frame[12:]
    answer = coming(HUGO, 4, vxlan(RED, frame))
    assert judged.world.arrive(answer)[:2] == (ANN.device, "")
    assert judged.world.arrive(arriving(version))[:2] == DENIED


@VERSIONS
def test_a_sender_on_another_network_and_host_is_told_of_a_rejection(
    judged: Judged, version: int
) -> None:
    far(judged, 0)
    judged.judge(ANN, [1])
    judged.apply(Rule(1, 1, INGRESS, None, REJECT, HTTP))
    outcome = judged.world.arrive(arriving(version))
    assert outcome[:2] == ("uplink", "policy")
    assert bytes.fromhex(FAR.mac.replace(":", "")) in outcome.packet
    kind = wire.IPV4 if version == 4 else wire.IPV6
    inner = outcome.packet.index(wire.ether(FAR.mac, GATEWAY_MAC, kind, b""))
    assert int.from_bytes(outcome.packet[inner - 4 : inner - 1], "big") == BLUE


def test_rules_let_through_what_a_port_routes_on(judged: Judged) -> None:
    via(judged.world, R1, "192.0.2.0/24", hop(BLUE, DAN.ipv4))
    beyond = Workload("", BLUE, DAN.mac, "192.0.2.9", "")
    judged.judge(ANN, [1])
    judged.judge(DAN, [2])
    rules = [Rule(1, 1, EGRESS, None, ALLOW, HTTP), Rule(2, 2, INGRESS, None, ALLOW, HTTP)]
    judged.apply(*rules)
    assert sent(judged, ANN, there(4, ANN, beyond)) == (DAN.device, "")
    judged.apply(rules[0])
    assert sent(judged, ANN, there(4, ANN, beyond)) == DENIED
