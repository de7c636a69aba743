"""Packets that are larger than the way ahead carries: the sender is told."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.bpf import wire
from tests.bpf.overlay import (
    FAR,
    FAR_ROUTED,
    HUGO,
    IDA,
    coming,
    connect,
    set_replicas,
    set_tunnel,
    vxlan,
)
from tests.bpf.world import ANN, BOB, EVE, MTU, RED, WEFT0_MAC, Workload, World
from weft.model.service_addresses import GATEWAY_MAC

SMALL = 1300
GATEWAYS = {4: "10.1.0.1", 6: "fd00:1::1"}
QUOTED = {4: 68, 6: 128}
BURST = 50
FAMILIES = pytest.mark.parametrize("family", [4, 6])


def datagram(
    sender: Workload, target: Workload, family: int, size: int, *, to_mac: str = ""
) -> bytes:
    """A frame with an IP packet of this size."""
    if family == 4:
        body = wire.udp(sender.ipv4, target.ipv4, (4000, 5000), bytes(size - 28))
        packet = wire.ipv4(sender.ipv4, target.ipv4, wire.UDP, body, fragment=0x4000)
        return wire.ether(to_mac or target.mac, sender.mac, wire.IPV4, packet)
    body = wire.udp(sender.ipv6, target.ipv6, (4000, 5000), bytes(size - 48))
    packet = wire.ipv6(sender.ipv6, target.ipv6, wire.UDP, body)
    return wire.ether(to_mac or target.mac, sender.mac, wire.IPV6, packet)


def complaint(to_mac: str, quoted: bytes, mtu: int, source: str = "") -> bytes:
    """The answer to a frame, with right checksums."""
    if quoted[14] >> 4 == 4:
        source, target = source or GATEWAYS[4], str(IPv4Address(quoted[26:30]))
        raw = struct.pack(">BBHI", 3, 4, 0, mtu) + quoted[14 : 14 + QUOTED[4]]
        raw = raw[:2] + struct.pack(">H", wire.checksum(raw)) + raw[4:]
        packet = wire.ipv4(source, target, wire.ICMP, raw, identity=0)
        return wire.ether(to_mac, GATEWAY_MAC, wire.IPV4, packet)
    source, target = source or GATEWAYS[6], str(IPv6Address(quoted[22:38]))
    body = struct.pack(">I", mtu) + quoted[14 : 14 + QUOTED[6]]
    message = wire.icmpv6(source, target, 2, body)
    return wire.ether(to_mac, GATEWAY_MAC, wire.IPV6, wire.ipv6(source, target, 58, message))


@FAMILIES
@pytest.mark.parametrize("version", [4, 6])
def test_larger_than_the_way_to_the_other_host(world: World, family: int, version: int) -> None:
    connect(world, version, mtu=SMALL)
    fits = datagram(ANN, FAR, family, SMALL)
    assert world.send(ANN, fits).target == "uplink"
    larger = datagram(ANN, FAR, family, SMALL + 1)
    expected = complaint(ANN.mac, larger, SMALL)
    assert world.send(ANN, larger) == (ANN.device, "too_big", expected)
    assert world.counters(ANN.device).drops == {"too_big": 1}
    assert world.counters(ANN.device).rx_packets == 1


@FAMILIES
def test_routed_to_another_host(world: World, family: int) -> None:
    connect(world, mtu=SMALL)
    larger = datagram(ANN, FAR_ROUTED, family, SMALL + 1, to_mac=GATEWAY_MAC)
    outcome = world.send(ANN, larger)
    assert outcome[:2] == (ANN.device, "too_big")
    assert outcome.packet[:12] == wire.mac_bytes(ANN.mac) + wire.mac_bytes(GATEWAY_MAC)
    limit = {4: 8, 6: 7}[family]
    aged = bytearray(larger[14:])
    aged[limit] -= 1
    if family == 4:
        aged[10:12] = bytes(2)
        aged[10:12] = struct.pack(">H", wire.checksum(bytes(aged[:20])))
    expected = complaint(ANN.mac, larger[:14] + bytes(aged), SMALL)
    assert outcome.packet == expected


@FAMILIES
def test_larger_than_the_network(world: World, family: int) -> None:
    """Also between ports of one host, which could carry it."""
    fits = datagram(ANN, BOB, family, MTU)
    assert world.send(ANN, fits) == (BOB.device, "", fits)
    larger = datagram(ANN, BOB, family, MTU + 1)
    expected = complaint(ANN.mac, larger, MTU)
    assert world.send(ANN, larger) == (ANN.device, "too_big", expected)


def test_forged_sender_gets_nothing(world: World) -> None:
    larger = datagram(BOB, ANN, 4, MTU + 1)
    assert world.send(ANN, larger)[:2] == ("", "spoofed_mac")


@FAMILIES
def test_from_the_host(world: World, family: int) -> None:
    connect(world, mtu=SMALL)
    larger = bytearray(datagram(ANN, FAR, family, SMALL + 1))
    sources = {4: IPv4Address("198.51.100.7").packed, 6: IPv6Address("2001:db8::7").packed}
    at = {4: 26, 6: 22}[family]
    larger[at : at + len(sources[family])] = sources[family]
    if family == 4:
        larger[24:26] = bytes(2)
        larger[24:26] = struct.pack(">H", wire.checksum(bytes(larger[14:34])))
    outcome = world.send_from_host(bytes(larger))
    source = FAR.ipv4 if family == 4 else FAR.ipv6
    expected = complaint(WEFT0_MAC, bytes(larger), SMALL, source)
    assert outcome == ("weft0", "too_big", expected)
    assert world.counters("weft1").drops == {"too_big": 1}


@FAMILIES
@pytest.mark.parametrize(("gso_size", "is_told"), [(SMALL - 60, False), (SMALL - 20, True)])
def test_segments_count_and_not_the_whole(
    world: World, family: int, gso_size: int, is_told: bool
) -> None:
    """TCP that is to be cut: gso_size is what each segment carries."""
    connect(world, mtu=SMALL)
    source, target = (ANN.ipv4, FAR.ipv4) if family == 4 else (ANN.ipv6, FAR.ipv6)
    segment = wire.tcp(source, target, (4000, 80), bytes(2500))
    packet = (wire.ipv4 if family == 4 else wire.ipv6)(source, target, wire.TCP, segment)
    kind = wire.IPV4 if family == 4 else wire.IPV6
    outcome = world.send(ANN, wire.ether(FAR.mac, ANN.mac, kind, packet), gso_size)
    assert (outcome.reason == "too_big") == is_told
    assert (outcome.target == ANN.device) == is_told


def with_payload(protocol: int, payload: bytes, target: Workload = FAR, **options: int) -> bytes:
    packet = wire.ipv4(ANN.ipv4, target.ipv4, protocol, payload, **options)  # type: ignore[arg-type]
    return wire.ether(target.mac, ANN.mac, wire.IPV4, packet)


@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
def test_errors_get_no_errors(world: World, kind: int) -> None:
    connect(world, mtu=SMALL)
    packet = with_payload(wire.ICMP, wire.icmp(kind, bytes(1400)))
    assert world.send(ANN, packet)[:2] == ("", "too_big")


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 127])
def test_errors_of_ipv6_get_no_errors(world: World, kind: int) -> None:
    connect(world, mtu=SMALL)
    body = wire.icmpv6(ANN.ipv6, FAR.ipv6, kind, bytes(1400))
    packet = wire.ipv6(ANN.ipv6, FAR.ipv6, wire.ICMPV6, body)
    assert world.send(ANN, wire.ether(FAR.mac, ANN.mac, wire.IPV6, packet))[:2] == ("", "too_big")


def test_pings_do(world: World) -> None:
    connect(world, mtu=SMALL)
    packet = with_payload(wire.ICMP, wire.icmp(8, bytes(1400)))
    assert world.send(ANN, packet)[:2] == (ANN.device, "too_big")
    body = wire.icmpv6(ANN.ipv6, FAR.ipv6, 128, bytes(1400))
    packet = wire.ipv6(ANN.ipv6, FAR.ipv6, wire.ICMPV6, body)
    outcome = world.send(ANN, wire.ether(FAR.mac, ANN.mac, wire.IPV6, packet))
    assert outcome[:2] == (ANN.device, "too_big")


def test_later_fragments_get_no_errors(world: World) -> None:
    connect(world, mtu=SMALL)
    packet = with_payload(wire.UDP, bytes(1400), fragment=0x2005)
    assert world.send(ANN, packet)[:2] == ("", "too_big")
    first = with_payload(wire.UDP, bytes(1400), fragment=0x2000)
    assert world.send(ANN, first)[:2] == (ANN.device, "too_big")


@pytest.mark.parametrize("group", ["224.0.0.5", "239.1.1.1", "255.255.255.255"])
def test_what_many_get_is_not_answered(world: World, group: str) -> None:
    packet = wire.ipv4(ANN.ipv4, group, wire.UDP, wire.udp(ANN.ipv4, group, (1, 2), bytes(1500)))
    for mac in (wire.multicast_mac(group), BOB.mac):
        outcome = world.send(ANN, wire.ether(mac, ANN.mac, wire.IPV4, packet))
        assert outcome[:2] == ("", "too_big")


def test_other_protocols_are_not_answered(world: World) -> None:
    connect(world, mtu=SMALL)
    packet = wire.ether(FAR.mac, ANN.mac, 0x88B5, bytes(1400))
    assert world.send(ANN, packet)[:2] == ("", "too_big")


@pytest.mark.parametrize("source", ["127.0.0.1", "0.0.0.0", "224.1.1.1", "255.255.255.255"])
def test_sources_that_nobody_answers(world: World, source: str) -> None:
    body = wire.udp(source, BOB.ipv4, (1, 2), bytes(1500))
    packet = wire.ipv4(source, BOB.ipv4, wire.UDP, body)
    outcome = world.send(EVE, wire.ether(BOB.mac, EVE.mac, wire.IPV4, packet))
    assert outcome[:2] == ("", "too_big")


def test_answers_are_limited_for_each_sender(world: World) -> None:
    connect(world, mtu=SMALL)
    larger = datagram(ANN, FAR, 4, SMALL + 1)
    told = sum(world.send(ANN, larger).target == ANN.device for _ in range(4 * BURST))
    assert BURST <= told < 3 * BURST
    assert world.counters(ANN.device).drops == {"too_big": 4 * BURST}
    other = datagram(EVE, FAR, 4, SMALL + 1)
    assert world.send(EVE, other).target == EVE.device


@FAMILIES
@pytest.mark.parametrize("version", [4, 6])
def test_larger_than_a_relay_can_pass_on(world: World, family: int, version: int) -> None:
    """The VXLAN device opens it, and from_overlay answers: see test_wire_relay."""
    connect(world, version)
    set_tunnel(world, IDA, version, mtu=SMALL)
    fits = datagram(FAR, ANN, family, SMALL)
    assert world.arrive(coming(HUGO, version, vxlan(RED, fits, tag=IDA.tag))).target == "uplink"
    larger = datagram(FAR, ANN, family, SMALL + 1)
    outcome = world.arrive(coming(HUGO, version, vxlan(RED, larger, tag=IDA.tag)))
    assert outcome.packet == coming(HUGO, version, vxlan(RED, larger))
    assert outcome[:2] == ("kernel", "")
    assert world.counters("uplink").drops == {"too_big": 1}


def test_flooded_packet_is_kept_from_the_hosts_that_it_is_too_big_for(world: World) -> None:
    connect(world, mtu=SMALL)
    set_replicas(world, RED, [HUGO.tag])
    group = "239.1.2.3"
    body = wire.udp(ANN.ipv4, group, (1, 2), bytes(1350))
    packet = wire.ipv4(ANN.ipv4, group, wire.UDP, body)
    world.send(ANN, wire.ether(wire.multicast_mac(group), ANN.mac, wire.IPV4, packet))
    assert world.counters(ANN.device).drops == {"too_big": 1}
    assert world.counters(BOB.device).rx_packets == 1
