"""Packets that are not what they say: dropped and counted, never guessed at."""

from __future__ import annotations

import struct

import pytest

from tests.bpf import wire
from tests.bpf.world import ANN, BOB, World
from weft.model.service_addresses import GATEWAY_MAC


def good4(*, options: bytes = b"") -> bytes:
    segment = wire.udp(ANN.ipv4, BOB.ipv4, (4000, 5000))
    packet = wire.ipv4(ANN.ipv4, BOB.ipv4, wire.UDP, segment, options=options)
    return wire.ether(BOB.mac, ANN.mac, wire.IPV4, packet)


def good6(first: int = wire.UDP, headers: bytes = b"", segment: bytes | None = None) -> bytes:
    if segment is None:
        segment = wire.udp(ANN.ipv6, BOB.ipv6, (4000, 5000))
    packet = wire.ipv6(ANN.ipv6, BOB.ipv6, first, headers + segment)
    return wire.ether(BOB.mac, ANN.mac, wire.IPV6, packet)


def changed(packet: bytes, offset: int, value: bytes) -> bytes:
    return packet[:offset] + value + packet[offset + len(value) :]


@pytest.mark.parametrize(
    "packet",
    [
        changed(good4(), 14, b"\x65"),  # version 6 in an IPv4 frame
        changed(good4(), 14, b"\x44"),  # header of 16 bytes
        changed(good4(), 14, b"\x4f"),  # header longer than the packet
        changed(good4(), 16, b"\0\x13"),  # total length shorter than the header
        changed(good4(), 16, b"\0\0"),  # as of BIG TCP, but small
        changed(good4(), 16, b"\0\xff"),  # longer than the frame
        changed(good4(), 23, b"\x3a"),  # ICMPv6 in IPv4
        good4()[:40],  # truncated UDP header
        changed(changed(good4()[:40], 16, b"\0\x1a"), 24, b"\0\0"),
        changed(good6(), 14, b"\x40"),  # version 4 in an IPv6 frame
        changed(good6(), 18, b"\0\xff"),  # longer than the frame
        changed(good6(), 18, b"\0\0"),  # as of BIG TCP, but small
        changed(good6(), 18, b"\0\x04"),  # payload shorter than a UDP header
        good6(0, b"\x11\x20" + bytes(6)),  # hop-by-hop longer than the packet
        good6(60, b"\x11\0", b""),  # truncated options
        good6(58, b"", b"\x80"),  # ICMPv6 of one byte
        wire.arp(1, ANN.mac, ANN.ipv4, BOB.ipv4)[:41],
        wire.arp(1, ANN.mac, ANN.ipv4, BOB.ipv4)[:14],
        wire.ns(ANN.mac, ANN.ipv6, BOB.ipv6)[:70],
        changed(wire.ns(ANN.mac, ANN.ipv6, BOB.ipv6), 18, b"\0\x10"),  # no room for the target
    ],
    ids=wire.label,
)
def test_malformed(world: World, packet: bytes) -> None:
    assert world.send(ANN, packet) == ("", "malformed", packet)
    assert world.counters(ANN.device).drops == {"malformed": 1}


def test_padding_behind_a_short_packet_is_no_fault(world: World) -> None:
    packet = good4().ljust(60, b"\0")
    assert world.send(ANN, packet) == (BOB.device, "", packet)


def test_ipv4_options(world: World) -> None:
    packet = good4(options=b"\x94\x04\0\0")
    assert world.send(ANN, packet) == (BOB.device, "", packet)


def test_ipv4_fragments(world: World) -> None:
    """A later fragment has no ports; what is there may look like anything."""
    for flags, data in ((0x2000, wire.udp(ANN.ipv4, BOB.ipv4, (1, 2))), (0x2001, b"\0\x43\0\x44")):
        packet = wire.ipv4(ANN.ipv4, BOB.ipv4, wire.UDP, data, fragment=flags)
        frame = wire.ether(BOB.mac, ANN.mac, wire.IPV4, packet)
        assert world.send(ANN, frame) == (BOB.device, "", frame)


def fragment(offset: int, *, more: bool) -> bytes:
    return bytes([wire.UDP, 0]) + struct.pack(">HI", offset | more, 99)


@pytest.mark.parametrize(
    "packet",
    [
        good6(wire.FRAGMENT, fragment(0, more=True)),
        good6(wire.FRAGMENT, fragment(0, more=False)),
        good6(wire.FRAGMENT, fragment(1480, more=False), b"tail"),
        good6(0, bytes([wire.UDP, 0, 5, 2, 0, 0, 1, 0])),
        good6(60, bytes([43, 0, 1, 4, 0, 0, 0, 0]) + bytes([wire.UDP, 0, 4, 0, 0, 0, 0, 0])),
        good6(51, bytes([wire.UDP, 4]) + bytes(22)),
        good6(59, b"", b""),  # no next header
        good6(132, b"", bytes(12)),  # SCTP
    ],
    ids=wire.label,
)
def test_ipv6_extension_headers(world: World, packet: bytes) -> None:
    assert world.send(ANN, packet) == (BOB.device, "", packet)


def test_truncated_ping_of_the_gateway(world: World) -> None:
    packet = wire.ipv4(ANN.ipv4, "10.1.0.1", wire.ICMP, b"\x08\0\0\0")
    frame = wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, packet)
    assert world.send(ANN, frame)[:2] == ("", "malformed")


def test_every_length_of_every_kind(world: World) -> None:
    """Cut anywhere, a packet is delivered whole or dropped with a reason.

    BPF_PROG_TEST_RUN takes no shorter IP packets; test_delivery sends some.
    """
    arp = wire.arp(1, ANN.mac, ANN.ipv4, BOB.ipv4)
    for packet, shortest in ((good4(), 34), (good6(), 54), (arp, 14)):
        for length in range(shortest, len(packet) + 1):
            outcome = world.send(ANN, packet[:length])
            assert bool(outcome.target) != bool(outcome.reason), length
