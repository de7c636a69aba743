"""Underlay packets that are not what they say, and packets that are none of Weft's business."""

from __future__ import annotations

import struct

import pytest

from tests.bpf import wire
from tests.bpf.overlay import (
    FAR,
    HUGO,
    IDA,
    NEXT_HOP_MAC,
    OWN4,
    OWN6,
    PORT,
    STRANGER,
    UPLINK_MAC,
    add_peer,
    coming,
    connect,
    outer,
    vxlan,
)
from tests.bpf.test_switching import udp4
from tests.bpf.world import ANN, HOST_TAG, RED, World
from weft.kernel.bpf.layouts import Mark, PeerFlag

UNDERLAYS = pytest.mark.parametrize("version", [4, 6])
OWN = {4: OWN4, 6: OWN6}
INNER = udp4(FAR, ANN)
GOOD = vxlan(RED, INNER)


def refused(world: World, packet: bytes, reason: str) -> None:
    before = world.counters("uplink").drops.get(reason, 0)
    assert world.arrive(packet)[:2] == ("", reason)
    assert world.counters("uplink").drops == {reason: before + 1}


def passed(world: World, packet: bytes) -> None:
    before = world.counters("uplink")
    assert world.arrive(packet) == ("kernel", "", packet)
    assert world.counters("uplink") == before
    assert world.mark == 0  # so from_overlay does not believe it


@UNDERLAYS
def test_stranger(world: World, version: int) -> None:
    connect(world)
    refused(world, outer(STRANGER[version], OWN[version], GOOD), "unknown_peer")


@UNDERLAYS
def test_own_address_as_source(world: World, version: int) -> None:
    connect(world)
    refused(world, outer(OWN[version], OWN[version], GOOD), "unknown_peer")


@UNDERLAYS
@pytest.mark.parametrize("flag", PeerFlag)
def test_host_that_must_encrypt(world: World, version: int, flag: PeerFlag) -> None:
    connect(world)
    source = HUGO.ipv4 if version == 4 else HUGO.ipv6
    add_peer(world, source, HUGO.tag, flag)
    refused(world, outer(source, OWN[version], GOOD), "unencrypted")


@UNDERLAYS
def test_not_for_this_host_is_the_kernels(world: World, version: int) -> None:
    """This host may be a router of the underlay."""
    connect(world)
    ends = (HUGO.ipv4, IDA.ipv4) if version == 4 else (HUGO.ipv6, IDA.ipv6)
    passed(world, outer(*ends, GOOD))


BROADCAST, ALL_HOSTS, OTHER_CARD = "192.0.2.255", "224.0.0.1", "198.51.100.1"
ALL_NODES, OTHER_CARD6 = "ff02::1", "2001:db8:2::1"


@pytest.mark.parametrize("address", [BROADCAST, "255.255.255.255", ALL_HOSTS, OTHER_CARD])
def test_another_address_of_this_host_is_not_the_overlays(world: World, address: str) -> None:
    """The VXLAN device takes it all the same; from_overlay sees that nobody has looked at it."""
    connect(world)
    passed(world, outer(HUGO.ipv4, address, GOOD))
    passed(world, outer(HUGO.ipv4, address, GOOD, fragment=0x2000))


@pytest.mark.parametrize("address", [ALL_NODES, OTHER_CARD6])
def test_another_ipv6_address_of_this_host_is_not_the_overlays(world: World, address: str) -> None:
    connect(world)
    passed(world, outer(HUGO.ipv6, address, GOOD))
    passed(world, with_extensions(outer(HUGO.ipv6, address, GOOD), 44))


@UNDERLAYS
def test_what_is_left_to_the_vxlan_device_is_marked(world: World, version: int) -> None:
    """A row of datagrams, which from_wire cannot open."""
    connect(world, version)
    packet = coming(HUGO, version, vxlan(RED, udp4(FAR, ANN) + bytes(2000)))
    length = len(packet) - 14 - (20 if version == 4 else 40)
    struct.pack_into(">H", row := bytearray(packet), 38 if version == 4 else 58, length)
    assert world.arrive(bytes(row), gso_size=1000).target == "kernel"
    assert world.mark == Mark.MARK_ARRIVED


@UNDERLAYS
def test_host_that_knows_no_tag_of_its_own_takes_nothing(world: World, version: int) -> None:
    connect(world)
    for own in OWN.values():
        add_peer(world, own, HOST_TAG + 1)
    passed(world, coming(HUGO, version, GOOD))


@UNDERLAYS
@pytest.mark.parametrize("flags", [0x00, 0x88, 0x0C, 0x48, 0xFF])
def test_flags_that_are_not_vxlans(world: World, version: int, flags: int) -> None:
    connect(world)
    refused(world, coming(HUGO, version, vxlan(RED, INNER, flags=flags)), "malformed")


@UNDERLAYS
def test_cut_anywhere_inside_of_the_headers(world: World, version: int) -> None:
    """Behind UDP: what is shorter is not known to be ours."""
    connect(world)
    start = 14 + (20 if version == 4 else 40)
    whole = coming(HUGO, version, GOOD)
    for size in range(start + 8, len(whole)):
        refused(world, whole[:size], "malformed")
    for size in range(start, start + 8):
        passed(world, whole[:size])


@UNDERLAYS
@pytest.mark.parametrize("length", [0, 1, 8, 16, 29, 2000, 65535])
def test_length_of_udp_that_does_not_fit(world: World, version: int, length: int) -> None:
    connect(world)
    packet = bytearray(coming(HUGO, version, GOOD))
    struct.pack_into(">H", packet, 38 if version == 4 else 58, length)
    refused(world, bytes(packet), "malformed")


@UNDERLAYS
@pytest.mark.parametrize("length", [0, 1, 20, 49, 5000, 65535])
def test_length_of_ip_that_does_not_fit(world: World, version: int, length: int) -> None:
    connect(world)
    packet = bytearray(coming(HUGO, version, GOOD))
    struct.pack_into(">H", packet, 16 if version == 4 else 18, length)
    refused(world, bytes(packet), "malformed")


@pytest.mark.parametrize("fragment", [0x2000, 0x6000, 0x8000 | 0x2000])
def test_first_fragment(world: World, fragment: int) -> None:
    connect(world)
    refused(world, coming(HUGO, 4, GOOD, fragment=fragment), "fragment")


def test_later_fragment_is_nothing_without_the_first(world: World) -> None:
    connect(world)
    passed(world, coming(HUGO, 4, GOOD, fragment=0x2001))
    passed(world, coming(HUGO, 4, GOOD, fragment=0x0001))


def with_options(packet: bytes) -> bytes:
    total = struct.unpack_from(">H", packet, 16)[0] + 4
    head = bytearray(packet[14:34])
    head[0] = 0x46
    struct.pack_into(">H", head, 2, total)
    head[10:12] = bytes(2)
    head[10:12] = struct.pack(">H", wire.checksum(bytes(head) + b"\x01\x01\x01\x00"))
    return packet[:14] + bytes(head) + b"\x01\x01\x01\x00" + packet[34:]


def test_ip_options(world: World) -> None:
    connect(world)
    refused(world, with_options(coming(HUGO, 4, GOOD)), "fragment")
    passed(world, with_options(coming(HUGO, 4, GOOD, port=53)))
    passed(world, with_options(outer(HUGO.ipv4, IDA.ipv4, GOOD)))


def with_extensions(packet: bytes, *kinds: int, fragment: int = 1) -> bytes:
    """IPv6 extension headers in front of UDP; `fragment` is the field of each fragment header."""
    body, following = packet[54:], wire.UDP
    for kind in reversed(kinds):
        field = fragment if kind == wire.FRAGMENT else 0x0104
        body = struct.pack(">BBHI", following, 0, field, 0) + body
        following = kind
    head = packet[14:18] + struct.pack(">HB", len(body), following) + packet[21:54]
    return packet[:14] + head + body


@pytest.mark.parametrize("kinds", [(0,), (60,), (44,), (43, 60), (0, 60, 44), (0, 60, 60, 60, 44)])
def test_extension_headers(world: World, kinds: tuple[int, ...]) -> None:
    connect(world)
    refused(world, with_extensions(coming(HUGO, 6, GOOD), *kinds), "fragment")
    passed(world, with_extensions(coming(HUGO, 6, GOOD, port=53), *kinds))
    passed(world, with_extensions(outer(HUGO.ipv6, IDA.ipv6, GOOD), *kinds))


def test_later_fragment_of_ipv6(world: World) -> None:
    connect(world)
    passed(world, with_extensions(coming(HUGO, 6, GOOD), 44, fragment=0x0009))


def test_other_ports_protocols_and_ethertypes_are_the_kernels(world: World) -> None:
    connect(world)
    segment = wire.tcp(HUGO.ipv4, OWN4, (50000, PORT))
    datagram = wire.udp(HUGO.ipv4, OWN4, (PORT, 53))
    for version in (4, 6):
        passed(world, coming(HUGO, version, GOOD, port=8472))
    for protocol, body in ((wire.TCP, segment), (wire.UDP, datagram)):
        packet = wire.ipv4(HUGO.ipv4, OWN4, protocol, body)
        passed(world, wire.ether(UPLINK_MAC, NEXT_HOP_MAC, wire.IPV4, packet))
    passed(world, wire.arp(1, NEXT_HOP_MAC, HUGO.ipv4, OWN4))
    passed(world, wire.ether(UPLINK_MAC, NEXT_HOP_MAC, wire.VLAN, b"\x00\x05\x08\x00" + bytes(50)))


@UNDERLAYS
def test_vxlan_in_vxlan_is_opened_once(world: World, version: int) -> None:
    """A workload may have an overlay of its own."""
    connect(world, version)
    nested = wire.udp(FAR.ipv4, ANN.ipv4, (50000, PORT), GOOD)
    inner = wire.ether(ANN.mac, FAR.mac, wire.IPV4, wire.ipv4(FAR.ipv4, ANN.ipv4, wire.UDP, nested))
    packet = coming(HUGO, version, vxlan(RED, inner))
    assert world.arrive(packet) == (ANN.device, "", inner)
    hidden = vxlan(RED, coming(HUGO, 4, GOOD))
    refused(world, coming(HUGO, version, hidden), "unknown_mac")


def test_inner_vlan_and_reserved_macs(world: World) -> None:
    connect(world)
    tagged = wire.ether(ANN.mac, FAR.mac, wire.VLAN, b"\x00\x05" + INNER[12:])
    refused(world, coming(HUGO, 4, vxlan(RED, tagged)), "reserved")
    control = wire.ether("01:80:c2:00:00:00", FAR.mac, 0x88B5, bytes(46))
    refused(world, coming(HUGO, 4, vxlan(RED, control)), "reserved")


def test_ipv4_in_the_clothes_of_ipv6(world: World) -> None:
    """Otherwise ::ffff:192.0.2.2 would be Hugo."""
    connect(world)
    passed(world, outer(f"::ffff:{HUGO.ipv4}", OWN6, GOOD))
    passed(world, outer(HUGO.ipv6, f"::ffff:{OWN4}", GOOD))
