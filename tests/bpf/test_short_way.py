"""Packets of connections that stand take a short way, which ends where the long one does."""

from __future__ import annotations

import os
import random
import struct
import time

import pytest

from tests.bpf import wire
from tests.bpf.judged import ACK, ALLOW_ALL, SYN_ACK, Judged, datagram, segment
from tests.bpf.overlay import FAR, HUGO, coming, connect, set_tunnel, tunnel_of, vxlan
from tests.bpf.test_flows import DENIED, VERSIONS
from tests.bpf.test_fuzz import frame
from tests.bpf.world import ANN, BOB, CYD, EVE, RED, Outcome, Workload, World
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import EndpointFlag, FlowFlag

DURATION_S = float(os.environ.get("WEFT_FUZZ_S", "4"))
LIMITED = {"too_many", "too_big"}
"""What comes of a packet hangs on those before it."""
REFUSED = {"malformed", "reserved", "fragment_lost"}
"""What a port without rules is not looked at so closely for."""


@pytest.fixture
def judged(world: World) -> Judged:
    connect(world)
    judged = Judged(world)
    for workload in (ANN, BOB, CYD, EVE):
        judged.judge(workload, [1], ALLOW_ALL)
    return judged


def begin(judged: Judged, one: Workload, other: Workload, version: int) -> None:
    """A connection of each kind."""
    for there, back in (
        (
            segment(one, other, version=version),
            segment(other, one, SYN_ACK, (80, 4000), version=version),
        ),
        (
            datagram(one, other, version=version),
            datagram(other, one, (53, 4000), version=version),
        ),
    ):
        judged.world.send(one, there)
        if other.device:
            judged.world.send(other, back)
        else:
            judged.world.arrive(coming(HUGO, 4, vxlan(RED, back)))


def is_short(judged: Judged) -> bool:
    """Whether all entries of ports say where their packets go."""
    flows = judged.flows()
    leaving = [flow for shown, flow in flows.items() if shown.startswith("leaves")]
    return bool(leaving) and all(flow.flags & FlowFlag.FLOW_SHORT for flow in leaving)


@VERSIONS
@pytest.mark.parametrize("other", [BOB, FAR], ids=["here", "another host"])
def test_a_packet_arrives_as_without_rules(judged: Judged, version: int, other: Workload) -> None:
    packets = [
        segment(ANN, other, ACK, version=version),
        datagram(ANN, other, version=version),
    ]
    plain = [judged.world.send(ANN, each) for each in packets]
    judged.apply()
    begin(judged, ANN, other, version)
    assert is_short(judged)
    before = judged.flows()
    received = judged.world.counters(BOB.device).rx_packets
    assert [judged.world.send(ANN, each) for each in packets] == plain
    after = judged.flows()
    counted = {shown for shown in after if after[shown].packets == before[shown].packets + 1}
    assert len(counted) == 2
    assert judged.world.counters(BOB.device).rx_packets - received == (2 if other is BOB else 0)


def test_a_way_that_is_used_is_noted(judged: Judged) -> None:
    judged.apply()
    begin(judged, ANN, FAR, 4)
    set_tunnel(judged.world, HUGO)
    assert not tunnel_of(judged.world.plane.maps, HUGO.tag).used
    judged.world.send(ANN, segment(ANN, FAR, ACK))
    assert tunnel_of(judged.world.plane.maps, HUGO.tag).used


def test_a_way_that_has_become_another_hosts_is_none(judged: Judged) -> None:
    judged.apply()
    begin(judged, ANN, FAR, 4)
    way = layouts.Endpoint.decode(
        judged.world.plane.maps["macs_v1"].lookup(
            layouts.MacKey(RED, wire.mac_bytes(FAR.mac)).encode()
        )
        or b""
    ).way
    raw = tunnel_of(judged.world.plane.maps, HUGO.tag)._replace(tag=99).encode()
    judged.world.put("tunnels_v2", struct.pack("<I", way), raw)
    assert judged.world.send(ANN, segment(ANN, FAR, ACK))[:2] == ("", "no_tunnel")


@pytest.mark.parametrize("gso_size", [0, 1400])
def test_too_big_for_the_way(judged: Judged, gso_size: int) -> None:
    judged.apply()
    begin(judged, ANN, FAR, 4)
    set_tunnel(judged.world, HUGO, mtu=1300)
    data = bytes(1350 if not gso_size else 3000)
    payload = wire.tcp(ANN.ipv4, FAR.ipv4, (4000, 80), data, ACK)
    packet = wire.ether(
        FAR.mac, ANN.mac, wire.IPV4, wire.ipv4(ANN.ipv4, FAR.ipv4, wire.TCP, payload)
    )
    assert judged.world.send(ANN, packet, gso_size).reason == "too_big"


def test_too_big_for_the_network(judged: Judged) -> None:
    judged.apply()
    begin(judged, ANN, BOB, 4)
    payload = wire.tcp(ANN.ipv4, BOB.ipv4, (4000, 80), bytes(1500), ACK)
    packet = wire.ether(
        BOB.mac, ANN.mac, wire.IPV4, wire.ipv4(ANN.ipv4, BOB.ipv4, wire.TCP, payload)
    )
    assert judged.world.send(ANN, packet).reason == "too_big"
    assert judged.world.send(ANN, packet, 1400).target == BOB.device


def test_devices_that_want_it_otherwise_are_reached_the_long_way(judged: Judged) -> None:
    judged.apply()
    endpoint = judged.world.endpoint(BOB)
    key = layouts.MacKey(RED, wire.mac_bytes(BOB.mac)).encode()
    flags = EndpointFlag.ENDPOINT_JUDGED | EndpointFlag.ENDPOINT_REDIRECT
    judged.world.put("macs_v1", key, endpoint._replace(flags=flags).encode())
    begin(judged, ANN, BOB, 4)
    assert not is_short(judged)
    assert judged.world.send(ANN, segment(ANN, BOB, ACK)).target == BOB.device


def test_a_port_that_moves_is_found_where_it_is(judged: Judged) -> None:
    """From this host to another one, while a connection stands."""
    judged.apply()
    begin(judged, ANN, BOB, 4)
    far = layouts.Endpoint.decode(
        judged.world.plane.maps["macs_v1"].lookup(
            layouts.MacKey(RED, wire.mac_bytes(FAR.mac)).encode()
        )
        or b""
    )
    moved = far._replace(mac=wire.mac_bytes(BOB.mac))
    key = layouts.MacKey(RED, wire.mac_bytes(BOB.mac)).encode()
    judged.world.put("macs_v1", key, moved.encode())
    judged.world.add_address(RED, BOB.ipv4, moved)
    judged.tell(5000)
    assert judged.world.send(ANN, segment(ANN, BOB, ACK)).target == "uplink"
    answer = segment(BOB, ANN, ACK, (80, 4000))
    assert judged.world.arrive(coming(HUGO, 4, vxlan(RED, answer))).target == ANN.device
    assert len(set(judged.states().values())) == 1


def test_what_changes_the_rules_is_heeded(judged: Judged) -> None:
    judged.apply()
    begin(judged, ANN, BOB, 4)
    assert judged.world.send(ANN, segment(ANN, BOB, ACK)).target == BOB.device
    judged.judge(BOB, [1])
    judged.apply(is_told=False)
    assert judged.world.send(ANN, segment(ANN, BOB, ACK)).target == BOB.device
    judged.tell(judged.port_slot(BOB))
    assert judged.world.send(ANN, segment(ANN, BOB, ACK))[:2] == DENIED


@VERSIONS
def test_an_answer_from_an_address_that_is_not_the_senders(judged: Judged, version: int) -> None:
    """Who lets others pretend does not make it a connection: what is sent to a port's MAC with an
    address that is not its own could be answered from that address."""
    strange = BOB._replace(ipv4="10.1.0.99", ipv6="fd00:1::99")
    answer = segment(strange, ANN, ACK, (80, 4000), version=version)
    plain = judged.world.send(BOB, answer)
    assert plain.reason == "spoofed_address"
    judged.apply()
    for _ in range(2):
        judged.world.send(ANN, segment(ANN, strange, ACK, version=version))
        assert judged.world.send(BOB, answer) == plain


@VERSIONS
def test_an_answer_that_only_the_network_may_give(judged: Judged, version: int) -> None:
    ports = (67, 68) if version == 4 else (547, 546)
    answer = datagram(BOB, ANN, ports, version=version)
    plain = judged.world.send(BOB, answer)
    assert plain.reason == "reserved"
    judged.apply()
    for _ in range(2):
        judged.world.send(ANN, datagram(ANN, BOB, ports[::-1], version=version))
        assert judged.world.send(BOB, answer) == plain


def test_with_rules_that_allow_all_everything_goes_as_without(judged: Judged) -> None:
    """Random packets, most of which belong to connections that stand after a while."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    world = judged.world
    packets = [
        (sender := chance.choice([ANN, BOB, EVE]), frame(chance, sender)) for _ in range(3000)
    ]
    packets += [
        (one, each)
        for one, other in ((ANN, BOB), (BOB, ANN), (ANN, FAR))
        for version in (4, 6)
        for each in mutated(chance, one, other, version)
    ]
    chance.shuffle(packets)
    plain = [world.send(*each) for each in packets]
    judged.apply()
    for other in (BOB, FAR):
        for version in (4, 6):
            begin(judged, ANN, other, version)
    end = time.monotonic() + DURATION_S
    while True:
        for (sender, packet), wanted in zip(packets, plain, strict=True):
            found = world.send(sender, packet)
            assert is_same(found, wanted), f"seed {seed}: {sender.device} {packet.hex()}"
        if time.monotonic() > end:
            break


def is_same(found: Outcome, wanted: Outcome) -> bool:
    if {found.reason, wanted.reason} & LIMITED or found.reason in REFUSED:
        return True
    return found == wanted


def mutated(chance: random.Random, one: Workload, other: Workload, version: int) -> list[bytes]:
    """Packets of a connection with a few bytes changed."""
    ports = (4000, 80) if one is ANN else (80, 4000)
    made = []
    for _ in range(150):
        packet = bytearray(
            chance.choice(
                [
                    segment(one, other, ACK, ports, version=version),
                    datagram(one, other, (4000, 53), version=version),
                ]
            )
        )
        for _ in range(chance.randrange(3)):
            packet[chance.randrange(14, len(packet))] = chance.randrange(256)
        made.append(bytes(packet[: chance.choice([len(packet), len(packet), 54, 60])]))
    return [each.ljust(54, b"\0") for each in made]


@VERSIONS
def test_what_arrives_goes_in_as_without_rules(judged: Judged, version: int) -> None:
    answers = [
        segment(FAR, ANN, ACK, (80, 4000), version=version),
        datagram(FAR, ANN, (53, 4000), version=version),
    ]
    packets = [coming(HUGO, 4, vxlan(RED, each)) for each in answers]
    plain = [judged.world.arrive(each) for each in packets]
    judged.apply()
    begin(judged, ANN, FAR, version)
    arriving = {name for name in judged.flows() if name.startswith("arrives")}
    before = judged.flows()
    assert all(before[name].flags & FlowFlag.FLOW_SHORT for name in arriving)
    received = judged.world.counters(ANN.device).rx_packets
    assert [judged.world.arrive(each) for each in packets] == plain
    after = judged.flows()
    counted = {name for name in arriving if after[name].packets == before[name].packets + 1}
    assert counted == arriving
    assert len(arriving) == 2
    assert judged.world.counters(ANN.device).rx_packets - received == 2
    judged.judge(ANN, [1])
    judged.apply()
    assert [judged.world.arrive(each)[:2] for each in packets] == [DENIED, DENIED]


def test_what_arrives_with_another_mac_goes_to_nobody_elses_port(judged: Judged) -> None:
    judged.apply()
    begin(judged, ANN, FAR, 4)
    astray = segment(FAR, ANN, ACK, (80, 4000), mac=BOB.mac)
    judged.judge(BOB, [1])
    judged.apply(is_told=False)
    assert judged.world.arrive(coming(HUGO, 4, vxlan(RED, astray)))[:2] == DENIED


def test_what_arrives_for_a_device_that_wants_it_otherwise(judged: Judged) -> None:
    judged.apply()
    endpoint = judged.world.endpoint(ANN)
    key = layouts.MacKey(RED, wire.mac_bytes(ANN.mac)).encode()
    flags = EndpointFlag.ENDPOINT_JUDGED | EndpointFlag.ENDPOINT_REDIRECT
    judged.world.put("macs_v1", key, endpoint._replace(flags=flags).encode())
    begin(judged, ANN, FAR, 4)
    arriving = [flow for name, flow in judged.flows().items() if name.startswith("arrives")]
    assert arriving and not any(flow.flags & FlowFlag.FLOW_SHORT for flow in arriving)
    answer = segment(FAR, ANN, ACK, (80, 4000))
    assert judged.world.arrive(coming(HUGO, 4, vxlan(RED, answer))).target == ANN.device


def test_with_rules_that_allow_all_everything_arrives_as_without(judged: Judged) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    inner = [frame(chance, FAR) for _ in range(2000)]
    for version in (4, 6):
        for each in mutated(chance, ANN, BOB, version):
            answer = bytearray(each)
            answer[:12] = wire.mac_bytes(ANN.mac) + wire.mac_bytes(FAR.mac)
            inner.append(bytes(answer))
        inner += mutated(chance, FAR, ANN, version)
    packets = [coming(HUGO, 4, vxlan(RED, each)) for each in inner]
    chance.shuffle(packets)
    plain = [judged.world.arrive(each) for each in packets]
    judged.apply()
    for version in (4, 6):
        begin(judged, ANN, FAR, version)
    for _ in range(2):
        for packet, wanted in zip(packets, plain, strict=True):
            found = judged.world.arrive(packet)
            assert is_same(found, wanted), f"seed {seed}: {packet.hex()}"
