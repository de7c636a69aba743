"""What is flooded, on its way to other hosts: one copy each."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bpf import wire
from tests.bpf.overlay import (
    HUGO,
    IDA,
    OWN4,
    UPLINK_MAC,
    Peer,
    coming,
    connect,
    encode,
    leaving,
    set_replicas,
    set_tunnel,
    vxlan,
)
from tests.bpf.world import ANN, BOB, DAN, EVE, RED, World
from weft.kernel.bpf.layouts import TunnelFlag

JO = Peer(0x99AABBCC, "192.0.2.4", "2001:db8:1::4")
QUIET_S = 0.2
UNDERLAYS = pytest.mark.parametrize("version", [4, 6])


@contextmanager
def hearing() -> Iterator[list[bytes]]:
    """VXLAN packets that left by the underlay while it was open."""
    heard: list[bytes] = []
    everything = 3
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(everything)) as ear:
        ear.bind(("uplinkc", everything))
        yield heard
        ear.settimeout(QUIET_S)
        while True:
            try:
                packet = ear.recv(65536)
            except TimeoutError:
                return
            if packet[6:12] == wire.mac_bytes(UPLINK_MAC):
                heard.append(packet)


def shout(family: int) -> bytes:
    """A frame from Ann for everybody."""
    group = "239.1.2.3" if family == 4 else "ff05::1234"
    source = ANN.ipv4 if family == 4 else ANN.ipv6
    body = wire.udp(source, group, (4000, 5000))
    packet = (wire.ipv4 if family == 4 else wire.ipv6)(source, group, wire.UDP, body)
    kind = wire.IPV4 if family == 4 else wire.IPV6
    return wire.ether(wire.multicast_mac(group), ANN.mac, kind, packet)


ANNOUNCEMENT = wire.arp(2, ANN.mac, ANN.ipv4, ANN.ipv4, ANN.mac)


@UNDERLAYS
@pytest.mark.parametrize("frame", [shout(4), shout(6), ANNOUNCEMENT], ids=["IPv4", "IPv6", "ARP"])
def test_each_host_gets_one_copy(world: World, version: int, frame: bytes) -> None:
    connect(world, version)
    set_replicas(world, RED, [HUGO.tag, IDA.tag])
    with hearing() as heard:
        world.send(ANN, frame)
    expected = [leaving(each, version, heard[0], vxlan(RED, frame)) for each in (HUGO, IDA)]
    assert sorted(heard) == sorted(expected)
    assert world.counters(BOB.device).rx_packets == 1
    assert world.counters(EVE.device).rx_packets == 1
    assert world.counters(ANN.device).drops == {}


def test_copy_by_a_relay_carries_the_tag(world: World) -> None:
    connect(world)
    relay, flags = encode(IDA.ipv4), TunnelFlag.TUNNEL_RELAY
    set_tunnel(world, JO, flags=flags, remote=relay, destination_tag=JO.tag)
    set_replicas(world, RED, [JO.tag, IDA.tag])
    with hearing() as heard:
        world.send(ANN, shout(4))
    expected = [
        leaving(IDA, 4, heard[0], vxlan(RED, shout(4))),
        leaving(IDA, 4, heard[0], vxlan(RED, shout(4), tag=JO.tag)),
    ]
    assert sorted(heard) == sorted(expected)


def test_hosts_of_the_other_family_get_theirs_by_the_device(world: World) -> None:
    connect(world)
    set_tunnel(world, JO, 6)
    set_replicas(world, RED, [HUGO.tag, JO.tag])
    with hearing() as heard:
        world.send(ANN, shout(6))
    assert heard == [leaving(HUGO, 4, heard[0], vxlan(RED, shout(6)))]
    assert world.counters(ANN.device).drops == {}


def test_one_host_without_a_way_does_not_keep_it_from_the_others(world: World) -> None:
    connect(world)
    set_replicas(world, RED, [JO.tag, HUGO.tag])
    with hearing() as heard:
        world.send(ANN, shout(4))
    assert heard == [leaving(HUGO, 4, heard[0], vxlan(RED, shout(4)))]
    assert world.counters(ANN.device).drops == {"no_tunnel": 1}


def test_network_on_this_host_alone_sends_nothing(world: World) -> None:
    connect(world)
    set_replicas(world, RED, [HUGO.tag])
    set_replicas(world, RED, [])
    with hearing() as heard:
        world.send(ANN, shout(4))
    assert heard == []


@UNDERLAYS
@pytest.mark.parametrize("frame", [shout(4), shout(6), ANNOUNCEMENT], ids=["IPv4", "IPv6", "ARP"])
def test_copy_that_arrives_is_for_the_ports_of_this_host(
    world: World, version: int, frame: bytes
) -> None:
    """And for no other host: each sender sends to all."""
    connect(world, version)
    set_replicas(world, RED, [HUGO.tag, IDA.tag])
    with hearing() as heard:
        assert world.arrive(coming(HUGO, version, vxlan(RED, frame)))[:2] == ("", "")
    assert heard == []
    for workload in (ANN, BOB, EVE):
        assert world.counters(workload.device).rx_packets == 1
    assert world.counters(DAN.device).rx_packets == 0


def test_many_hosts(world: World) -> None:
    connect(world)
    peers = [Peer(0x1000 + number, f"192.0.2.{number + 10}", "") for number in range(200)]
    for peer in peers:
        set_tunnel(world, peer, local=encode(OWN4), remote=encode(peer.ipv4))
    set_replicas(world, RED, [peer.tag for peer in peers])
    with hearing() as heard:
        world.send(ANN, shout(4))
    expected = [leaving(peer, 4, heard[0], vxlan(RED, shout(4))) for peer in peers]
    assert sorted(heard) == sorted(expected)
