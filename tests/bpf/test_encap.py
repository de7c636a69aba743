"""Packets to ports on other hosts: every byte of the outer header."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bpf import wire
from tests.bpf.overlay import (
    FAR,
    FAR_ROUTED,
    HUGO,
    IDA,
    WAYS,
    connect,
    encode,
    endpoint_at,
    leaving,
    remove_tunnel,
    set_tunnel,
    source_port_of,
    vxlan,
)
from tests.bpf.routers import error
from tests.bpf.test_routing import frame
from tests.bpf.test_switching import udp4, udp6
from tests.bpf.world import ANN, BOB, MTU, RED, WEFT0_MAC, Workload, World
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import EndpointFlag, TunnelFlag
from weft.model.service_addresses import GATEWAY_MAC

UNDERLAYS = pytest.mark.parametrize("version", [4, 6])
Make = Callable[..., bytes]
INNERS = pytest.mark.parametrize("make", [udp4, udp6])


@UNDERLAYS
@INNERS
def test_switched_packet_gets_the_outer_header(world: World, version: int, make: Make) -> None:
    connect(world, version)
    inner = make(ANN, FAR)
    outcome = world.send(ANN, inner)
    expected = leaving(HUGO, version, outcome.packet, vxlan(RED, inner))
    assert outcome == ("uplink", "", expected)


@UNDERLAYS
@pytest.mark.parametrize("destination", [FAR_ROUTED.ipv4, FAR_ROUTED.ipv6])
def test_routed_packet_has_the_gateways_mac_and_one_hop_less(
    world: World, version: int, destination: str
) -> None:
    connect(world, version)
    outcome = world.send(ANN, frame(GATEWAY_MAC, ANN.mac, ANN, destination, 64))
    inner = frame(FAR_ROUTED.mac, GATEWAY_MAC, ANN, destination, 63)
    expected = leaving(HUGO, version, outcome.packet, vxlan(RED, inner))
    assert outcome == ("uplink", "", expected)


@pytest.mark.parametrize(
    ("destination", "gateway"),
    [(FAR_ROUTED.ipv4, "10.1.0.1"), (FAR_ROUTED.ipv6, "fd00:1::1")],
)
def test_routed_packet_at_its_last_hop_is_answered_here(
    world: World, destination: str, gateway: str
) -> None:
    """The gateway is where the hop limit runs out (RFC 1812, section 5.3.1): nothing leaves."""
    connect(world)
    packet = frame(GATEWAY_MAC, ANN.mac, ANN, destination, 1)
    told = error(ANN.mac, packet, (11, 3), 0, gateway)
    assert world.send(ANN, packet) == (ANN.device, "ttl", told)


@UNDERLAYS
@pytest.mark.parametrize("destination", [FAR.ipv4, FAR.ipv6])
def test_the_host_reaches_ports_of_other_hosts(
    world: World, version: int, destination: str
) -> None:
    connect(world, version)
    source = "2001:db8::7" if ":" in destination else "198.51.100.7"
    from_host = frame("02:02:02:02:02:02", WEFT0_MAC, ANN, destination, 64, source)
    outcome = world.send_from_host(from_host)
    inner = frame(FAR.mac, GATEWAY_MAC, ANN, destination, 64, source)
    expected = leaving(HUGO, version, outcome.packet, vxlan(RED, inner))
    assert outcome == ("uplink", "", expected)


@UNDERLAYS
def test_other_protocols_are_carried_too(world: World, version: int) -> None:
    """A question whether a neighbour is there, and an ethertype that the kernel does not know."""
    connect(world, version)
    probe = wire.arp(1, ANN.mac, ANN.ipv4, FAR.ipv4, destination=FAR.mac)
    unknown = wire.ether(FAR.mac, ANN.mac, 0x88B5, b"anything")
    for inner in (probe, unknown):
        outcome = world.send(ANN, inner)
        expected = leaving(HUGO, version, outcome.packet, vxlan(RED, inner))
        assert outcome == ("uplink", "", expected)


@UNDERLAYS
@INNERS
def test_another_hosts_own_place(world: World, version: int, make: Make) -> None:
    connect(world, version)
    flags = EndpointFlag.ENDPOINT_HOST
    endpoint = endpoint_at(HUGO.tag, FAR.mac)._replace(flags=flags)
    key = layouts.MacKey(RED, wire.mac_bytes(FAR.mac)).encode()
    world.put("macs_v1", key, endpoint.encode())
    for address in (FAR.ipv4, FAR.ipv6):
        world.add_address(RED, address, endpoint)
    inner = make(ANN, FAR)
    switched = world.send(ANN, inner)
    assert switched.packet == leaving(HUGO, version, switched.packet, vxlan(RED, inner))
    destination = FAR.ipv4 if make is udp4 else FAR.ipv6
    routed = world.send(ANN, frame(GATEWAY_MAC, ANN.mac, ANN, destination, 64))
    inner = frame(FAR.mac, GATEWAY_MAC, ANN, destination, 63)
    assert routed.packet == leaving(HUGO, version, routed.packet, vxlan(RED, inner))


@UNDERLAYS
@pytest.mark.parametrize("value", [0x01, 0x02, 0x03, 0xB8, 0xFF])
def test_dscp_and_ecn_are_copied(world: World, version: int, value: int) -> None:
    connect(world, version)
    six = bytearray(udp6(ANN, FAR))
    six[14:16] = (6 << 12 | value << 4 | (six[15] & 0xF)).to_bytes(2, "big")
    four = bytearray(udp4(ANN, FAR))
    four[15] = value
    four[24:26] = bytes(2)
    four[24:26] = wire.checksum(bytes(four[14:34])).to_bytes(2, "big")
    for inner in (bytes(four), bytes(six)):
        outcome = world.send(ANN, inner)
        payload = vxlan(RED, inner)
        expected = leaving(HUGO, version, outcome.packet, payload, traffic_class=value)
        assert outcome == ("uplink", "", expected)


def segment(sender: Workload, target: Workload, port: int) -> bytes:
    body = wire.tcp(sender.ipv4, target.ipv4, (port, 80))
    packet = wire.ipv4(sender.ipv4, target.ipv4, wire.TCP, body)
    return wire.ether(target.mac, sender.mac, wire.IPV4, packet)


@UNDERLAYS
def test_a_flow_keeps_its_source_port_and_flows_differ(world: World, version: int) -> None:
    connect(world, version)
    ports = [source_port_of(world.send(ANN, segment(ANN, FAR, port)).packet) for port in range(64)]
    again = [source_port_of(world.send(ANN, segment(ANN, FAR, port)).packet) for port in range(64)]
    assert ports == again
    assert len(set(ports)) > 48


@UNDERLAYS
@INNERS
def test_way_by_a_relay_carries_the_tag(world: World, version: int, make: Make) -> None:
    connect(world, version)
    way = TunnelFlag.TUNNEL_RELAY | (TunnelFlag.TUNNEL_IPV6 if version == 6 else 0)
    remote = IDA.ipv4 if version == 4 else IDA.ipv6
    set_tunnel(world, HUGO, version, flags=way, remote=encode(remote), destination_tag=HUGO.tag)
    inner = make(ANN, FAR)
    outcome = world.send(ANN, inner)
    expected = leaving(IDA, version, outcome.packet, vxlan(RED, inner, tag=HUGO.tag))
    assert outcome == ("uplink", "", expected)


@UNDERLAYS
@INNERS
def test_way_of_the_device_leaves_the_frame_whole(world: World, version: int, make: Make) -> None:
    connect(world, version)
    way = TunnelFlag.TUNNEL_DEVICE | (TunnelFlag.TUNNEL_IPV6 if version == 6 else 0)
    set_tunnel(world, HUGO, version, flags=way, ifindex=0)
    inner = make(ANN, FAR)
    assert world.send(ANN, inner) == ("weftx", "", inner)
    destination = FAR_ROUTED.ipv4 if make is udp4 else FAR_ROUTED.ipv6
    routed = world.send(ANN, frame(GATEWAY_MAC, ANN.mac, ANN, destination, 64))
    expected = frame(FAR_ROUTED.mac, GATEWAY_MAC, ANN, destination, 63)
    assert routed == ("weftx", "", expected)


def test_host_without_a_way(world: World) -> None:
    connect(world)
    set_tunnel(world, HUGO, ifindex=0)
    assert world.send(ANN, udp4(ANN, FAR))[:2] == ("", "no_tunnel")
    remove_tunnel(world.plane.maps, HUGO.tag)
    assert world.send(ANN, udp4(ANN, FAR))[:2] == ("", "no_tunnel")
    assert world.counters(ANN.device).drops == {"no_tunnel": 2}


def test_a_way_that_is_another_hosts_by_now_is_not_taken(world: World) -> None:
    connect(world)
    endpoint = endpoint_at(HUGO.tag, FAR.mac)
    for way in (WAYS.of(IDA.tag), 0, 2**14, 2**32 - 1):
        wrong = endpoint._replace(way=way)
        world.put("macs_v1", layouts.MacKey(RED, wire.mac_bytes(FAR.mac)).encode(), wrong.encode())
        assert world.send(ANN, udp4(ANN, FAR))[:2] == ("", "no_tunnel")


def test_arp_and_nd_know_the_ports_of_other_hosts(world: World) -> None:
    connect(world)
    question = wire.arp(1, ANN.mac, ANN.ipv4, FAR.ipv4)
    answer = wire.arp(2, FAR.mac, FAR.ipv4, ANN.ipv4, ANN.mac, destination=ANN.mac)
    assert world.send(ANN, question) == (ANN.device, "", answer)
    assert world.send(ANN, wire.ns(ANN.mac, ANN.ipv6, FAR.ipv6)).target == ANN.device
    assert world.send(ANN, wire.ns(ANN.mac, ANN.ipv6, FAR.link_local)).target == ANN.device


def test_ports_of_this_host_are_reached_as_before(world: World) -> None:
    connect(world)
    packet = udp4(ANN, BOB, data=bytes(MTU - 28))
    assert world.send(ANN, packet) == (BOB.device, "", packet)
