"""ARP and neighbour discovery: answered from the records, flooded only when told to."""

from __future__ import annotations

import pytest

from tests.bpf import wire
from tests.bpf.world import (
    ANN,
    BOB,
    CYD,
    DAN,
    EXTRA4,
    EXTRA6,
    HOST4,
    HOST6,
    HOST_MAC,
    INA,
    RED,
    World,
)
from weft.kernel.bpf.layouts import NetworkFlag
from weft.model.addresses import link_local_from_mac
from weft.model.service_addresses import GATEWAY_MAC

GATEWAY_LINK_LOCAL = str(link_local_from_mac(GATEWAY_MAC))
ROUTER, SOLICITED, OVERRIDE = 0x80, 0x40, 0x20


@pytest.mark.parametrize(
    ("target", "mac"),
    [
        (BOB.ipv4, BOB.mac),
        (CYD.ipv4, CYD.mac),
        ("10.1.0.1", GATEWAY_MAC),
        ("10.1.1.1", GATEWAY_MAC),
        (HOST4, HOST_MAC),
    ],
)
def test_arp_is_answered(world: World, target: str, mac: str) -> None:
    reply = wire.arp(2, mac, target, ANN.ipv4, ANN.mac, destination=ANN.mac)
    assert world.send(ANN, wire.arp(1, ANN.mac, ANN.ipv4, target)) == (ANN.device, "", reply)
    assert world.counters(ANN.device)[:4] == (1, 42, 1, 42)


def test_arp_answer_keeps_the_padding_of_short_frames(world: World) -> None:
    request = wire.arp(1, ANN.mac, ANN.ipv4, BOB.ipv4).ljust(60, b"\0")
    reply = wire.arp(2, BOB.mac, BOB.ipv4, ANN.ipv4, ANN.mac, destination=ANN.mac)
    assert world.send(ANN, request).packet == reply.ljust(60, b"\0")


def test_arp_answers_differ_by_network(world: World) -> None:
    """Bob's address is Ina's in her own network."""
    outcome = world.send(ANN, wire.arp(1, ANN.mac, ANN.ipv4, INA.ipv4))
    assert outcome.packet[22:28] == wire.mac_bytes(BOB.mac)
    outcome = world.send(DAN, wire.arp(1, DAN.mac, DAN.ipv4, BOB.ipv4))
    assert outcome[:2] == ("", "unknown_neighbour")


def test_arp_probe_for_a_duplicate(world: World) -> None:
    """Somebody else's address is answered for, one's own is not (RFC 5227)."""
    reply = wire.arp(2, BOB.mac, BOB.ipv4, "0.0.0.0", ANN.mac, destination=ANN.mac)
    probe = wire.arp(1, ANN.mac, "0.0.0.0", BOB.ipv4)
    assert world.send(ANN, probe) == (ANN.device, "", reply)
    for own in (ANN.ipv4, EXTRA4):
        assert world.send(ANN, wire.arp(1, ANN.mac, "0.0.0.0", own))[:2] == ("", "")
    assert world.counters(ANN.device).drops == {}


def test_arp_for_nobody(world: World) -> None:
    request = wire.arp(1, ANN.mac, ANN.ipv4, "10.1.0.200")
    assert world.send(ANN, request)[:2] == ("", "unknown_neighbour")
    world.set_network(RED, NetworkFlag.NETWORK_HAS_UNKNOWN)
    assert world.send(ANN, request)[:2] == ("", "")
    assert world.counters(ANN.device).drops == {"unknown_neighbour": 1}


@pytest.mark.parametrize("operation", [1, 2])
def test_arp_announcement_goes_to_all(world: World, operation: int) -> None:
    announcement = wire.arp(operation, ANN.mac, ANN.ipv4, ANN.ipv4)
    assert world.send(ANN, announcement)[:2] == ("", "")
    assert world.counters(BOB.device).rx_packets == 1
    assert world.counters(DAN.device).rx_packets == 0


def test_arp_probe_of_a_neighbour_reaches_it(world: World) -> None:
    """Whether it is still alive only it can say."""
    request = wire.arp(1, ANN.mac, ANN.ipv4, BOB.ipv4, destination=BOB.mac)
    assert world.send(ANN, request) == (BOB.device, "", request)


def test_arp_probe_of_the_gateway_is_answered(world: World) -> None:
    request = wire.arp(1, ANN.mac, ANN.ipv4, "10.1.0.1", destination=GATEWAY_MAC)
    reply = wire.arp(2, GATEWAY_MAC, "10.1.0.1", ANN.ipv4, ANN.mac, destination=ANN.mac)
    assert world.send(ANN, request) == (ANN.device, "", reply)


@pytest.mark.parametrize(
    ("offset", "value"),
    [(14, b"\0\x02"), (16, b"\x86\xdd"), (18, b"\x08"), (19, b"\x10"), (20, b"\0\x09")],
)
def test_malformed_arp(world: World, offset: int, value: bytes) -> None:
    request = wire.arp(1, ANN.mac, ANN.ipv4, BOB.ipv4)
    request = request[:offset] + value + request[offset + len(value) :]
    assert world.send(ANN, request).reason == "malformed"


@pytest.mark.parametrize(
    ("source", "target", "mac", "flags"),
    [
        (ANN.ipv6, BOB.ipv6, BOB.mac, SOLICITED | OVERRIDE),
        (ANN.link_local, BOB.ipv6, BOB.mac, SOLICITED | OVERRIDE),
        (ANN.ipv6, BOB.link_local, BOB.mac, SOLICITED | OVERRIDE),
        (ANN.link_local, BOB.link_local, BOB.mac, SOLICITED | OVERRIDE),
        (ANN.ipv6, "fd00:1::1", GATEWAY_MAC, ROUTER | SOLICITED | OVERRIDE),
        (ANN.ipv6, GATEWAY_LINK_LOCAL, GATEWAY_MAC, ROUTER | SOLICITED | OVERRIDE),
        (ANN.ipv6, HOST6, HOST_MAC, SOLICITED | OVERRIDE),
    ],
)
def test_solicitation_is_answered(
    world: World, source: str, target: str, mac: str, flags: int
) -> None:
    answer = wire.na(ANN.mac, mac, target, source, target, flags)
    assert world.send(ANN, wire.ns(ANN.mac, source, target)) == (ANN.device, "", answer)


def test_solicitation_without_and_with_more_options(world: World) -> None:
    """The answer has its own length."""
    answer = wire.na(ANN.mac, BOB.mac, BOB.ipv6, ANN.ipv6, BOB.ipv6, SOLICITED | OVERRIDE)
    for options in (b"", bytes([14, 1]) + b"nonce!" + wire.mac_option(1, ANN.mac)):
        question = wire.ns(ANN.mac, ANN.ipv6, BOB.ipv6, options=options)
        assert world.send(ANN, question) == (ANN.device, "", answer)


@pytest.mark.parametrize(
    ("target", "mac", "flags"),
    [
        (BOB.ipv6, BOB.mac, OVERRIDE),
        (BOB.link_local, BOB.mac, OVERRIDE),
        ("fd00:1::1", GATEWAY_MAC, ROUTER | OVERRIDE),
    ],
)
def test_duplicate_address_detection(world: World, target: str, mac: str, flags: int) -> None:
    answer = wire.na("33:33:00:00:00:01", mac, target, "ff02::1", target, flags)
    assert world.send(ANN, wire.ns(ANN.mac, "::", target)) == (ANN.device, "", answer)
    nonce = wire.ns(ANN.mac, "::", target, options=bytes([14, 1]) + b"nonce!")
    assert world.send(ANN, nonce) == (ANN.device, "", answer)


@pytest.mark.parametrize("own", [ANN.ipv6, EXTRA6, ANN.link_local])
def test_own_address_is_no_duplicate(world: World, own: str) -> None:
    assert world.send(ANN, wire.ns(ANN.mac, "::", own))[:2] == ("", "")
    assert world.counters(ANN.device).drops == {}


@pytest.mark.parametrize("target", ["fd00:1::200", "fe80::1:2:3:4", DAN.link_local, DAN.ipv6])
def test_solicitation_for_nobody(world: World, target: str) -> None:
    question = wire.ns(ANN.mac, ANN.ipv6, target)
    assert world.send(ANN, question)[:2] == ("", "unknown_neighbour")
    world.set_network(RED, NetworkFlag.NETWORK_HAS_UNKNOWN)
    assert world.send(ANN, question)[:2] == ("", "")
    assert world.counters(BOB.device).rx_packets == 1
    assert world.counters(DAN.device).rx_packets == 0


def test_unsolicited_advertisement_goes_to_all(world: World) -> None:
    packet = wire.na("33:33:00:00:00:01", ANN.mac, ANN.ipv6, "ff02::1", ANN.ipv6, OVERRIDE)
    assert world.send(ANN, packet)[:2] == ("", "")
    assert world.counters(BOB.device).rx_packets == 1


def test_solicitation_of_the_gateway_by_unicast(world: World) -> None:
    target = "fd00:1::1"
    body = wire.ns(ANN.mac, ANN.ipv6, target)[54:]
    body = wire.icmpv6(ANN.ipv6, target, wire.NS, body[4:])
    packet = wire.ipv6(ANN.ipv6, target, wire.ICMPV6, body, hop_limit=255)
    question = wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV6, packet)
    flags = ROUTER | SOLICITED | OVERRIDE
    answer = wire.na(ANN.mac, GATEWAY_MAC, target, ANN.ipv6, target, flags)
    assert world.send(ANN, question) == (ANN.device, "", answer)


@pytest.mark.parametrize(
    ("group", "payload"),
    [("224.0.0.251", b"mdns"), ("239.1.2.3", b"data"), ("255.255.255.255", b"all")],
)
def test_broadcast_and_multicast_reach_only_the_network(
    world: World, group: str, payload: bytes
) -> None:
    mac = wire.BROADCAST if group.startswith("255") else wire.multicast_mac(group)
    packet = wire.ipv4(ANN.ipv4, group, wire.UDP, wire.udp(ANN.ipv4, group, (1, 2), payload))
    frame = wire.ether(mac, ANN.mac, wire.IPV4, packet)
    assert world.send(ANN, frame)[:2] == ("", "")
    received = {name: world.counters(name).rx_packets for name in world.ifindexes}
    assert received == {
        name: int(name in world.ports_of(RED) - {ANN.device}) for name in world.ifindexes
    }
    assert world.counters(ANN.device).drops == {}


def test_holes_in_the_slots_are_skipped(world: World) -> None:
    """Dan's and Ina's slots are holes in RED; beyond the count nobody is looked for."""
    packet = wire.ether(wire.BROADCAST, ANN.mac, 0x88B5, bytes(50))
    assert world.send(ANN, packet)[:2] == ("", "")
    assert world.counters("p5").rx_packets == 1
