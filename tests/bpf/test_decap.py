"""Packets from other hosts: the frame inside, and where it goes."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.bpf import wire
from tests.bpf.overlay import (
    FAR,
    HUGO,
    IDA,
    OWN4,
    OWN6,
    add_peer,
    coming,
    connect,
    outer,
    vxlan,
)
from tests.bpf.test_switching import udp4, udp6
from tests.bpf.world import (
    ANN,
    BOB,
    DAN,
    HOST4,
    HOST_MAC,
    HOST_TAG,
    INA,
    RED,
    WEFT0_MAC,
    World,
)

UNDERLAYS = pytest.mark.parametrize("version", [4, 6])
Make = Callable[..., bytes]
INNERS = pytest.mark.parametrize("make", [udp4, udp6])


@UNDERLAYS
@INNERS
def test_goes_to_the_port_as_it_was_sent(world: World, version: int, make: Make) -> None:
    connect(world, version)
    inner = make(FAR, ANN)
    outcome = world.arrive(coming(HUGO, version, vxlan(RED, inner)))
    assert outcome == (ANN.device, "", inner)
    assert world.counters(ANN.device) == (1, len(inner), 0, 0, {})
    assert world.counters("uplink") == (0, 0, 0, 0, {})


@UNDERLAYS
@INNERS
def test_tag_of_this_host_is_as_good_as_none(world: World, version: int, make: Make) -> None:
    connect(world, version)
    inner = make(FAR, ANN)
    packet = coming(IDA, version, vxlan(RED, inner, tag=HOST_TAG))
    assert world.arrive(packet) == (ANN.device, "", inner)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 9])
def test_a_host_may_have_many_addresses(world: World, count: int) -> None:
    """Only the first few of them are where programs look first."""
    connect(world)
    own = [f"192.0.2.{200 + number}" for number in range(count)]
    for address in own:
        add_peer(world, address, HOST_TAG)
    inner = udp4(FAR, ANN)
    for address in (OWN4, OWN6, *own):
        source = HUGO.ipv6 if address == OWN6 else HUGO.ipv4
        packet = outer(source, address, vxlan(RED, inner))
        assert world.arrive(packet) == (ANN.device, "", inner)
    other = outer(HUGO.ipv4, "192.0.2.250", vxlan(RED, inner))
    assert world.arrive(other).target == "kernel"
    nobody = outer(HUGO.ipv6, "::", vxlan(RED, inner))
    assert world.arrive(nobody).target == "kernel"


@UNDERLAYS
def test_other_protocols_arrive_padded(world: World, version: int) -> None:
    connect(world, version)
    probe = wire.arp(1, FAR.mac, FAR.ipv4, ANN.ipv4, destination=ANN.mac)
    tiny = wire.ether(ANN.mac, FAR.mac, 0x88B5, b"x")
    long = wire.ether(ANN.mac, FAR.mac, 0x88B5, bytes(range(200)))
    for inner in (probe, tiny, long):
        outcome = world.arrive(coming(HUGO, version, vxlan(RED, inner)))
        assert outcome == (ANN.device, "", inner.ljust(60, b"\0"))


@UNDERLAYS
def test_udp_checksum_of_others_does_not_matter(world: World, version: int) -> None:
    connect(world, version)
    inner = udp4(FAR, ANN)
    packet = coming(HUGO, version, vxlan(RED, inner), checksum=0x1234)
    assert world.arrive(packet) == (ANN.device, "", inner)


@UNDERLAYS
def test_padding_of_the_underlay_is_no_harm(world: World, version: int) -> None:
    connect(world, version)
    inner = udp4(FAR, ANN)
    packet = coming(HUGO, version, vxlan(RED, inner)) + bytes(7)
    assert world.arrive(packet) == (ANN.device, "", inner + bytes(7))


@UNDERLAYS
def test_the_hosts_own_place(world: World, version: int) -> None:
    connect(world, version)
    segment = wire.tcp(FAR.ipv4, HOST4, (4000, 80))
    packet = wire.ipv4(FAR.ipv4, HOST4, wire.TCP, segment)
    inner = wire.ether(HOST_MAC, FAR.mac, wire.IPV4, packet)
    expected = wire.mac_bytes(WEFT0_MAC) + inner[6:]
    assert world.arrive(coming(HUGO, version, vxlan(RED, inner))) == ("weft0", "", expected)
    forged = wire.ipv4("127.0.0.1", HOST4, wire.TCP, segment)
    inner = wire.ether(HOST_MAC, FAR.mac, wire.IPV4, forged)
    outcome = world.arrive(coming(HUGO, version, vxlan(RED, inner)))
    assert outcome[:2] == ("", "spoofed_address")


def with_class(inner: bytes, value: int) -> bytes:
    """An inner packet with another traffic class."""
    packet = bytearray(inner)
    if packet[14] >> 4 == 6:
        struct.pack_into(">H", packet, 14, 6 << 12 | value << 4)
    else:
        packet[15] = value
        packet[24:26] = bytes(2)
        packet[24:26] = struct.pack(">H", wire.checksum(bytes(packet[14:34])))
    return bytes(packet)


NONE, ECT1, ECT0, CE = 0, 1, 2, 3
MERGED = {
    **{(NONE, outer): NONE for outer in (NONE, ECT1, ECT0)},
    (ECT0, NONE): ECT0,
    (ECT0, ECT0): ECT0,
    (ECT0, ECT1): ECT1,
    (ECT0, CE): CE,
    **{(ECT1, outer): ECT1 for outer in (NONE, ECT1, ECT0)},
    (ECT1, CE): CE,
    **{(CE, outer): CE for outer in (NONE, ECT1, ECT0, CE)},
}
"""RFC 6040, figure 4: (inner, outer) -> what leaves; but for no ECN inside, congestion outside."""


@UNDERLAYS
@INNERS
@pytest.mark.parametrize(("inner_ecn", "outer_ecn"), MERGED)
def test_congestion_on_the_way_is_the_inner_packets(
    world: World,
    version: int,
    make: Make,
    inner_ecn: int,
    outer_ecn: int,
) -> None:
    connect(world, version)
    inner = with_class(make(FAR, ANN), 0xB8 | inner_ecn)
    packet = coming(HUGO, version, vxlan(RED, inner), traffic_class=0x20 | outer_ecn)
    expected = with_class(inner, 0xB8 | MERGED[inner_ecn, outer_ecn])
    assert world.arrive(packet) == (ANN.device, "", expected)


@INNERS
def test_congestion_that_the_receiver_would_not_see_is_a_loss(world: World, make: Make) -> None:
    connect(world)
    packet = coming(HUGO, 4, vxlan(RED, make(FAR, ANN)), traffic_class=CE)
    assert world.arrive(packet)[:2] == ("", "congestion")
    assert world.counters("uplink").drops == {"congestion": 1}


def test_vni_decides_between_equal_addresses(world: World) -> None:
    connect(world)
    inner = udp4(FAR, BOB)
    assert world.arrive(coming(HUGO, 4, vxlan(RED, inner))).target == BOB.device
    to_ina = wire.mac_bytes(INA.mac) + inner[6:]
    assert world.arrive(coming(HUGO, 4, vxlan(INA.vni, to_ina))).target == INA.device
    assert world.arrive(coming(HUGO, 4, vxlan(DAN.vni, inner)))[:2] == ("", "unknown_mac")


@pytest.mark.parametrize("vni", [0, 2, 4711, 2**24 - 1])
def test_unknown_network(world: World, vni: int) -> None:
    connect(world)
    for inner in (udp4(FAR, ANN), wire.mac_bytes(wire.BROADCAST) + udp4(FAR, ANN)[6:]):
        assert world.arrive(coming(HUGO, 4, vxlan(vni, inner)))[:2] == ("", "unknown_vni")
    assert world.counters("uplink").drops == {"unknown_vni": 2}


def test_what_is_for_a_third_host_is_not_passed_on(world: World) -> None:
    connect(world)
    packet = coming(IDA, 4, vxlan(RED, udp4(ANN, FAR)))
    assert world.arrive(packet)[:2] == ("", "unknown_mac")
