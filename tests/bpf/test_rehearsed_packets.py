"""What programs would do with a packet is what they do, and rehearsing it leaves nothing behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.bpf import wire
from tests.bpf.judged import ALLOW_ALL, NONE, SYN_ACK, Judged, datagram, echo, segment
from tests.bpf.overlay import FAR, HUGO, add_peer, coming, set_replicas, tunnel_of, vxlan
from tests.bpf.overlay import connect as connect_hosts
from tests.bpf.routers import R1, connect
from tests.bpf.rules import EGRESS, INGRESS, Rule
from tests.bpf.world import ANN, BLUE, BOB, CYD, DAN, EVE, RED, WORKLOADS, Outcome, World
from weft.errors import KernelError, UnavailableError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.counters import DROP_REASONS
from weft.kernel.bpf.layouts import DropReason, NetworkFlag, PeerFlag, RuleAction
from weft.kernel.bpf.libbpf import Object
from weft.kernel.bpf.programs import ROLES
from weft.kernel.bpf.rehearsal import COPIED, OWN, SHARED, Ran, Rehearsal
from weft.model.service_addresses import GATEWAY_MAC

ALLOW, REJECT = RuleAction.RULE_ALLOW, RuleAction.RULE_REJECT


@pytest.fixture(scope="module")
def kept(loaded: World, bpffs: Path) -> Iterator[Rehearsal]:
    """Loaded once for all tests."""
    with Rehearsal(bpffs) as rehearsal:
        yield rehearsal


@pytest.fixture
def rehearsal(kept: Rehearsal, world: World) -> Rehearsal:
    return kept


def test_every_map_is_shared_or_copied_or_the_rehearsals_own(objects: Path) -> None:
    """A new map must be put where it belongs: what programs write is never shared."""
    declared: set[str] = set()
    for role in ROLES:
        with Object(objects / f"{role}.o") as source:
            declared |= {each.name for each in source.maps.values() if not each.is_internal}
    assert declared <= SHARED | COPIED | set(OWN)
    assert not SHARED & COPIED and not (SHARED | COPIED) & set(OWN)


class Sent(NamedTuple):
    """A packet, and who sends it: a device, or other hosts."""

    device: str
    packet: bytes


def sent_packets(version: int) -> list[Sent]:
    """One of each kind that goes another way."""
    far = coming(HUGO, version, vxlan(RED, segment(FAR, BOB, version=version)))
    strange = coming(HUGO, version, vxlan(999, segment(FAR, BOB, version=version)))
    spoofed = segment(BOB, CYD, version=version).replace(wire.mac_bytes(BOB.mac), bytes(6))
    question = (
        wire.arp(1, ANN.mac, ANN.ipv4, BOB.ipv4)
        if version == 4
        else wire.ns(ANN.mac, ANN.ipv6, BOB.ipv6)
    )
    return [
        Sent(ANN.device, segment(ANN, BOB, version=version)),
        Sent(ANN.device, datagram(ANN, BOB, version=version)),
        Sent(ANN.device, echo(ANN, EVE, version=version)),
        Sent(ANN.device, segment(ANN, FAR, version=version)),
        Sent(ANN.device, segment(ANN, CYD, version=version, mac=GATEWAY_MAC)),
        Sent(ANN.device, segment(ANN, DAN, version=version, mac=GATEWAY_MAC)),
        Sent(ANN.device, datagram(ANN, CYD, (4000, 53), version=version, mac=GATEWAY_MAC)),
        Sent(ANN.device, segment(ANN, BOB, version=version, mac="02:00:00:00:0f:0f")),
        Sent(ANN.device, segment(ANN, BOB, version=version, mac=wire.BROADCAST)),
        Sent(ANN.device, question),
        Sent(BOB.device, spoofed),
        Sent("weft1", segment(DAN, ANN, version=version)),
        Sent("uplink", far),
        Sent("uplink", strange),
        Sent("uplink", segment(BOB, ANN, version=version)),
        Sent(BOB.device, segment(BOB, ANN, SYN_ACK, (80, 4000), version=version)),
        Sent(EVE.device, segment(EVE._replace(ipv4=ANN.ipv4, ipv6=ANN.ipv6), BOB, version=version)),
    ]


def everything(world: World) -> Mapping[str, Mapping[bytes, bytes]]:
    return {name: each.read() for name, each in world.plane.maps.items()}


def role_of(device: str) -> str:
    return {"weft1": "from_host", "uplink": "from_wire"}.get(device, "from_port")


def rehearsed(rehearsal: Rehearsal, world: World, each: Sent) -> Ran:
    return rehearsal.run(role_of(each.device), each.packet, world.ifindexes[each.device])


def really(world: World, each: Sent) -> Outcome:
    if each.device == "weft1":
        return world.send_from_host(each.packet)
    if each.device == "uplink":
        return world.arrive(each.packet)
    return world.send(next(w for w in WORKLOADS if w.device == each.device), each.packet)


@pytest.fixture
def peopled(world: World) -> World:
    """Rules, a router, another host, and floods."""
    judged = Judged(world, RED)
    judged.judge(ANN, (1,), ALLOW_ALL)
    judged.judge(BOB, (2,), NONE)
    judged.apply(
        Rule(5, 2, INGRESS, None, ALLOW), Rule(6, 1, EGRESS, None, REJECT, tier=layouts.Tier(2))
    )
    connect(world, R1, RED, BLUE)
    connect_hosts(world)
    set_replicas(world, RED, [HUGO.tag])
    world.set_network(RED, NetworkFlag.NETWORK_JUDGES | NetworkFlag.NETWORK_HAS_UNKNOWN)
    return world


@pytest.mark.parametrize("version", [4, 6])
def test_what_is_rehearsed_is_what_happens(
    peopled: World, rehearsal: Rehearsal, version: int
) -> None:
    rehearsal.begin()
    for at, each in enumerate(sent_packets(version)):
        ran = rehearsed(rehearsal, peopled, each)
        found = really(peopled, each)
        if found.target == "kernel":
            assert ran.is_passed, at
            continue
        target = peopled.names[ran.target] if ran.target else ""
        assert (target, DROP_REASONS.get(ran.reason, "")) == found[:2], at
        assert ran.packet == found.packet, at


@pytest.mark.parametrize("version", [4, 6])
def test_nothing_is_left_behind(peopled: World, rehearsal: Rehearsal, version: int) -> None:
    rehearsal.begin()
    before = everything(peopled)
    for each in sent_packets(version):
        rehearsed(rehearsal, peopled, each)
    after = everything(peopled)
    assert {name for name in after if after[name] != before[name]} == set()
    assert not tunnel_of(peopled.plane.maps, HUGO.tag).used


@pytest.mark.parametrize("version", [4, 6])
def test_no_copy_of_what_is_flooded_goes_out(
    peopled: World, rehearsal: Rehearsal, version: int
) -> None:
    flood = segment(EVE, BOB, version=version, mac=wire.BROADCAST)
    real = segment(EVE, BOB, ports=(7, 7), version=version, mac=wire.BROADCAST)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as ear:  # ETH_P_ALL
        ear.bind((f"{CYD.device}c", 3))
        ear.settimeout(10)
        rehearsal.begin()
        for _ in range(3):
            assert not rehearsed(rehearsal, peopled, Sent(EVE.device, flood)).target
        peopled.send(EVE, real)
        heard: list[bytes] = []
        while real not in heard:
            heard.append(ear.recv(2048))
    assert flood not in heard


def test_answers_find_the_flow_of_the_same_rehearsal_and_of_no_other(
    peopled: World, rehearsal: Rehearsal
) -> None:
    judged = Judged(peopled, RED)
    judged.judge(BOB, (2,), NONE)
    judged.apply(Rule(5, 2, INGRESS, None, ALLOW))
    answer = Sent(BOB.device, datagram(BOB, ANN, (53, 4000)))
    rehearsal.begin()
    assert rehearsed(rehearsal, peopled, answer).reason is DropReason.DROP_POLICY
    rehearsal.begin()
    question = rehearsed(rehearsal, peopled, Sent(ANN.device, datagram(ANN, BOB)))
    assert question.judged is not None and question.judged.asked == (INGRESS,)
    back = rehearsed(rehearsal, peopled, answer)
    assert back.target == peopled.ifindexes[ANN.device]
    assert back.judged is not None and back.judged.is_known
    rehearsal.begin()
    assert rehearsed(rehearsal, peopled, answer).reason is DropReason.DROP_POLICY


def test_it_tells_whose_rules_decided(peopled: World, rehearsal: Rehearsal) -> None:
    judged = Judged(peopled, RED)
    judged.judge(ANN, (1,), NONE)
    judged.judge(BOB, (2,), NONE)
    judged.apply(Rule(5, 1, EGRESS, None, ALLOW), Rule(6, 2, INGRESS, None, REJECT))
    rehearsal.begin()
    ran = rehearsed(rehearsal, peopled, Sent(ANN.device, segment(ANN, BOB)))
    assert ran.reason is DropReason.DROP_POLICY
    assert ran.target == peopled.ifindexes[ANN.device], "its sender is told"
    assert ran.judged is not None
    assert (ran.judged.asked, ran.judged.action) == ((EGRESS, INGRESS), REJECT)
    judged.apply(Rule(6, 1, EGRESS, None, REJECT), Rule(5, 2, INGRESS, None, ALLOW))
    ran = rehearsed(rehearsal, peopled, Sent(ANN.device, datagram(ANN, BOB)))
    assert ran.judged is not None
    assert (ran.judged.asked, ran.judged.action) == ((EGRESS,), REJECT)


def test_it_tells_where_routers_led(peopled: World, rehearsal: Rehearsal) -> None:
    """Each time, though programs that run keep where a packet went."""
    for _ in range(2):
        rehearsal.begin()
        far = rehearsed(rehearsal, peopled, Sent(ANN.device, segment(ANN, DAN, mac=GATEWAY_MAC)))
        assert far.routed == (1, BLUE, ip_address(DAN.ipv4))
        near = rehearsed(rehearsal, peopled, Sent(ANN.device, segment(ANN, CYD, mac=GATEWAY_MAC)))
        assert near.routed is None


def test_what_came_out_of_wireguard_is_taken_once_it_is_said_so(
    peopled: World, rehearsal: Rehearsal
) -> None:
    add_peer(peopled, HUGO.ipv4, HUGO.tag, PeerFlag.PEER_ENCRYPTED)
    each = Sent("uplink", coming(HUGO, 4, vxlan(RED, segment(FAR, BOB))))
    rehearsal.begin()
    assert rehearsed(rehearsal, peopled, each).reason is DropReason.DROP_UNENCRYPTED
    rehearsal.trust(ip_address(HUGO.ipv4))
    assert rehearsed(rehearsal, peopled, each).target == peopled.ifindexes[BOB.device]
    add_peer(peopled, HUGO.ipv4, HUGO.tag, PeerFlag.PEER_REFUSED)
    rehearsal.begin()
    rehearsal.trust(ip_address(HUGO.ipv4))
    assert rehearsed(rehearsal, peopled, each).reason is DropReason.DROP_UNENCRYPTED


def test_where_no_programs_are_it_says_so(host: object, tmp_path: Path) -> None:
    with Rehearsal(tmp_path) as rehearsal, pytest.raises(KernelError):
        rehearsal.run("from_port", bytes(64))


def test_programs_of_another_build_are_not_rehearsed(
    world: World, bpffs: Path, tmp_path: Path, objects: Path
) -> None:
    (tmp_path / "from_port.o").write_bytes((objects / "from_port.o").read_bytes() + b"\0")
    refused = pytest.raises(UnavailableError, match="start weftd again")
    with Rehearsal(bpffs, tmp_path) as rehearsal, refused:
        rehearsal.run("from_port", bytes(64))
