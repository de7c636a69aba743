"""Frames between the ports of one network: by MAC, and to nobody else."""

from __future__ import annotations

import struct

import pytest

from tests.bpf import wire
from tests.bpf.world import (
    ANN,
    BOB,
    CYD,
    DAN,
    EVE,
    HOST4,
    HOST6,
    HOST_MAC,
    WEFT0_MAC,
    Workload,
    World,
)


def udp4(sender: Workload, target: Workload, *, data: bytes = b"data") -> bytes:
    segment = wire.udp(sender.ipv4, target.ipv4, (4000, 5000), data)
    packet = wire.ipv4(sender.ipv4, target.ipv4, wire.UDP, segment)
    return wire.ether(target.mac, sender.mac, wire.IPV4, packet)


def udp6(sender: Workload, target: Workload) -> bytes:
    segment = wire.udp(sender.ipv6, target.ipv6, (4000, 5000))
    packet = wire.ipv6(sender.ipv6, target.ipv6, wire.UDP, segment)
    return wire.ether(target.mac, sender.mac, wire.IPV6, packet)


@pytest.mark.parametrize("make", [udp4, udp6])
def test_goes_to_the_port_with_the_mac_and_is_not_changed(world: World, make) -> None:  # type: ignore[no-untyped-def]
    packet = make(ANN, BOB)
    assert world.send(ANN, packet) == (BOB.device, "", packet)


def test_tcp_goes_to_the_port(world: World) -> None:
    segment = wire.tcp(ANN.ipv4, BOB.ipv4, (4000, 80), b"GET /")
    packet = wire.ether(
        BOB.mac, ANN.mac, wire.IPV4, wire.ipv4(ANN.ipv4, BOB.ipv4, wire.TCP, segment)
    )
    assert world.send(ANN, packet) == (BOB.device, "", packet)


def test_counts_packets_and_bytes_of_both_ends(world: World) -> None:
    packet = udp4(ANN, BOB)
    for _ in range(3):
        world.send(ANN, packet)
    size = 3 * len(packet)
    assert world.counters(ANN.device) == (0, 0, 3, size, {})
    assert world.counters(BOB.device) == (3, size, 0, 0, {})


def test_unknown_mac_is_not_flooded(world: World) -> None:
    nobody = Workload("", ANN.vni, "02:00:00:00:00:77", "10.1.0.200", "fd00:1::200")
    assert world.send(ANN, udp4(ANN, nobody))[:2] == ("", "unknown_mac")
    assert world.counters(BOB.device).rx_packets == 0


def test_mac_of_another_network_is_unknown(world: World) -> None:
    assert world.send(ANN, udp4(ANN, DAN))[:2] == ("", "unknown_mac")
    assert world.counters(ANN.device).drops == {"unknown_mac": 1}


def test_own_mac_is_no_destination(world: World) -> None:
    assert world.send(ANN, udp4(ANN, ANN))[:2] == ("", "unknown_mac")


def test_other_protocols_go_by_mac(world: World) -> None:
    packet = wire.ether(BOB.mac, ANN.mac, 0x88B5, b"an experiment".ljust(50))
    assert world.send(ANN, packet) == (BOB.device, "", packet)


@pytest.mark.parametrize("kind", [wire.VLAN, 0x88A8, 0x9100])
def test_vlan_tags_are_refused(world: World, kind: int) -> None:
    inner = udp4(ANN, BOB)
    packet = inner[:12] + struct.pack(">HH", kind, 20) + inner[12:]
    assert world.send(ANN, packet)[:2] == ("", "reserved")
    # With the check off, too: isolation is not a question of trust in the sender.
    inner = udp4(EVE, BOB)
    packet = inner[:12] + struct.pack(">HH", kind, 20) + inner[12:]
    assert world.send(EVE, packet)[:2] == ("", "reserved")


@pytest.mark.parametrize("mac", ["01:80:c2:00:00:00", "01:80:c2:00:00:03", "01:80:c2:00:00:0e"])
def test_protocols_between_switches_are_refused(world: World, mac: str) -> None:
    packet = wire.ether(mac, ANN.mac, 39, b"\x42\x42\x03".ljust(46))
    assert world.send(ANN, packet)[:2] == ("", "reserved")


def test_source_mac_is_never_multicast(world: World) -> None:
    packet = wire.ether(BOB.mac, "03:00:00:00:00:05", wire.IPV4, udp4(EVE, BOB)[14:])
    assert world.send(EVE, packet)[:2] == ("", "spoofed_mac")


@pytest.mark.parametrize("workload", [ANN, CYD], ids=["berth", "other"])
def test_device_that_is_no_port(world: World, workload: Workload) -> None:
    world.remove_port(workload)
    assert world.send(workload, udp4(workload, BOB))[:2] == ("", "no_port")
    assert world.counters(workload.device).drops == {"no_port": 1}


def test_a_port_that_is_just_being_zeroed_may_nothing_more(world: World) -> None:
    """The entry changes where it is, under packets that have seen its network already."""
    world.set_port(EVE, flags=0, mac=bytes(6), ipv4=bytes(16), ipv6=bytes(16))
    assert world.send(EVE, udp4(EVE, BOB))[:2] == ("", "spoofed_mac")


@pytest.mark.parametrize("address", [HOST4, HOST6])
def test_the_hosts_own_place(world: World, address: str) -> None:
    if ":" in address:
        segment = wire.tcp(ANN.ipv6, address, (4000, 80))
        packet = wire.ipv6(ANN.ipv6, address, wire.TCP, segment)
        frame = wire.ether(HOST_MAC, ANN.mac, wire.IPV6, packet)
    else:
        segment = wire.tcp(ANN.ipv4, address, (4000, 80))
        packet = wire.ipv4(ANN.ipv4, address, wire.TCP, segment)
        frame = wire.ether(HOST_MAC, ANN.mac, wire.IPV4, packet)
    expected = wire.mac_bytes(WEFT0_MAC) + frame[6:]
    assert world.send(ANN, frame) == ("weft0", "", expected)
    assert world.counters("weft1").rx_packets == 1


def test_the_host_does_not_meet_forged_sources(world: World) -> None:
    """Not even from a port that may forge: route_localnet trusts 127.0.0.1."""
    for source in ("127.0.0.1", "240.0.0.5", DAN.ipv4):
        segment = wire.tcp(source, HOST4, (4000, 80))
        packet = wire.ipv4(source, HOST4, wire.TCP, segment)
        frame = wire.ether(HOST_MAC, EVE.mac, wire.IPV4, packet)
        assert world.send(EVE, frame)[:2] == ("", "spoofed_address")


@pytest.mark.parametrize(
    ("destination", "reason"),
    [("127.0.0.1", "reserved"), (DAN.ipv4, "isolated"), ("10.1.0.200", "unknown_address")],
)
def test_the_hosts_own_place_is_no_way_around_the_gateway(
    world: World, destination: str, reason: str
) -> None:
    """The host would take 127.0.0.1 for its own and route the others."""
    segment = wire.tcp(ANN.ipv4, destination, (4000, 80))
    packet = wire.ipv4(ANN.ipv4, destination, wire.TCP, segment)
    frame = wire.ether(HOST_MAC, ANN.mac, wire.IPV4, packet)
    assert world.send(ANN, frame)[:2] == ("", reason)
