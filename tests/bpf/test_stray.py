"""An address that comes back with another MAC: what still goes to the old one arrives."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

import pytest

from tests.bpf import wire
from tests.bpf.overlay import (
    FAR,
    HUGO,
    TUNNEL_MTU,
    coming,
    connect,
    leaving,
    vxlan,
)
from tests.bpf.test_switching import udp4, udp6
from tests.bpf.world import (
    ANN,
    BOB,
    CYD,
    DAN,
    EVE,
    HOST4,
    HOST6,
    INA,
    MTU,
    RED,
    WEFT0_MAC,
    Workload,
    World,
)
from weft.kernel.bpf.layouts import NetworkFlag
from weft.model.service_addresses import GATEWAY_MAC

Make = Callable[..., bytes]
INNERS = pytest.mark.parametrize("make", [udp4, udp6])
UNDERLAYS = pytest.mark.parametrize("version", [4, 6])
OLD = "02:00:00:00:00:77"
"""Nobody has it any more."""


def to(mac: str, packet: bytes) -> bytes:
    return wire.mac_bytes(mac) + packet[6:]


@INNERS
def test_goes_to_who_has_the_address_now(world: World, make: Make) -> None:
    """With the MAC that is right, or his kernel would drop it, and as many hops to go as before."""
    packet = make(ANN, BOB)
    assert world.send(ANN, to(OLD, packet)) == (BOB.device, "", packet)
    assert world.counters(BOB.device).rx_packets == 1
    assert world.counters(ANN.device).drops == {}


def test_large_segments_too(world: World) -> None:
    packet = udp4(ANN, BOB, data=bytes(3000))
    assert world.send(ANN, to(OLD, packet), gso_size=1000) == (BOB.device, "", packet)


@UNDERLAYS
@INNERS
def test_goes_to_the_host_where_the_address_is_now(world: World, version: int, make: Make) -> None:
    connect(world, version)
    packet = make(ANN, FAR)
    outcome = world.send(ANN, to(OLD, packet))
    expected = leaving(HUGO, version, outcome.packet, vxlan(RED, packet))
    assert outcome == ("uplink", "", expected)


def test_what_is_too_big_for_the_way_is_answered(world: World) -> None:
    connect(world, mtu=TUNNEL_MTU - 200)
    outcome = world.send(ANN, to(OLD, udp4(ANN, FAR, data=bytes(MTU - 100))))
    assert outcome[:2] == (ANN.device, "too_big")


@UNDERLAYS
@INNERS
def test_what_another_host_sends_to_the_old_mac_arrives(
    world: World, version: int, make: Make
) -> None:
    connect(world, version)
    inner = make(FAR, ANN)
    outcome = world.arrive(coming(HUGO, version, vxlan(RED, to(OLD, inner))))
    assert outcome == (ANN.device, "", inner)


@UNDERLAYS
def test_nothing_goes_on_to_a_third_host(world: World, version: int) -> None:
    connect(world, version)
    inner = to(OLD, udp4(FAR, FAR))
    assert world.arrive(coming(HUGO, version, vxlan(RED, inner)))[:2] == ("", "unknown_mac")


@pytest.mark.parametrize("address", [HOST4, HOST6])
def test_the_hosts_own_place_is_found_by_its_address(world: World, address: str) -> None:
    host = Workload("", RED, OLD, HOST4, HOST6)
    packet = (udp6 if ":" in address else udp4)(ANN, host)
    assert world.send(ANN, packet) == ("weft0", "", to(WEFT0_MAC, packet))
    connect(world)
    packet = (udp6 if ":" in address else udp4)(FAR, host)
    arrived = world.arrive(coming(HUGO, 4, vxlan(RED, packet)))
    assert arrived == ("weft0", "", to(WEFT0_MAC, packet))


def test_the_host_meets_no_forged_source_that_way(world: World) -> None:
    segment = wire.tcp("127.0.0.1", HOST4, (4000, 80))
    packet = wire.ether(OLD, EVE.mac, wire.IPV4, wire.ipv4("127.0.0.1", HOST4, wire.TCP, segment))
    assert world.send(EVE, packet)[:2] == ("", "spoofed_address")


@INNERS
def test_the_senders_source_is_checked_before(world: World, make: Make) -> None:
    forged = wire.mac_bytes(OLD) + wire.mac_bytes(ANN.mac) + make(BOB, CYD)[12:]
    assert world.send(ANN, forged)[:2] == ("", "spoofed_address")


@pytest.mark.parametrize(
    "target",
    [DAN.ipv4, DAN.ipv6, "10.1.0.1", "10.1.0.200", "198.51.100.7", "127.0.0.1", ANN.ipv4],
)
def test_nothing_else_is_reached(world: World, target: str) -> None:
    """Another network, the gateway, nobody's address, the outside, the host's own, one's own."""
    other = Workload("", RED, OLD, target, target)
    packet = (udp6 if ":" in target else udp4)(ANN, other)
    assert world.send(ANN, packet)[:2] == ("", "unknown_mac")


def test_an_address_means_that_of_the_own_network(world: World) -> None:
    """Bob's is Ina's in hers."""
    packet = udp4(INA, BOB)
    assert world.send(INA, packet)[:2] == ("", "unknown_mac")


def test_other_protocols_go_nowhere(world: World) -> None:
    packet = wire.ether(OLD, ANN.mac, 0x88B5, b"an experiment".ljust(50))
    assert world.send(ANN, packet)[:2] == ("", "unknown_mac")


def test_who_asks_the_old_mac_whether_it_is_alive_hears_the_new_one(world: World) -> None:
    """Else a neighbour cache would ask three times before it asks everybody."""
    probe = wire.arp(1, ANN.mac, ANN.ipv4, BOB.ipv4, destination=OLD)
    reply = wire.arp(2, BOB.mac, BOB.ipv4, ANN.ipv4, ANN.mac, destination=ANN.mac)
    assert world.send(ANN, probe) == (ANN.device, "", reply)


@pytest.mark.parametrize(
    "message",
    [
        wire.arp(1, ANN.mac, ANN.ipv4, "10.1.0.200", destination=OLD),
        wire.arp(1, ANN.mac, ANN.ipv4, ANN.ipv4, destination=OLD),
        wire.arp(2, ANN.mac, ANN.ipv4, BOB.ipv4, destination=OLD),
    ],
)
def test_other_arp_to_the_old_mac_goes_nowhere(world: World, message: bytes) -> None:
    """Not to everybody either, where the network floods what it does not know."""
    world.set_network(RED, NetworkFlag.NETWORK_HAS_UNKNOWN)
    assert world.send(ANN, message)[:2] == ("", "unknown_mac")
    assert world.counters(BOB.device).rx_packets == 0


def test_a_solicitation_to_the_old_mac_reaches_the_new_one(world: World) -> None:
    """It is sent to the address that it asks for, whose owner answers."""
    body = bytes(4) + IPv6Address(BOB.ipv6).packed + wire.mac_option(1, ANN.mac)
    solicitation = wire.icmpv6(ANN.ipv6, BOB.ipv6, wire.NS, body)
    packet = wire.ipv6(ANN.ipv6, BOB.ipv6, wire.ICMPV6, solicitation, hop_limit=255)
    frame = wire.ether(BOB.mac, ANN.mac, wire.IPV6, packet)
    assert world.send(ANN, to(OLD, frame)) == (BOB.device, "", frame)


def test_a_gateways_mac_is_no_stray(world: World) -> None:
    packet = to(GATEWAY_MAC, udp4(ANN, BOB))
    assert world.send(ANN, packet).packet[22] == packet[22] - 1  # routed: one hop less
