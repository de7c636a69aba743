"""Packets between two other hosts: a new outer header, and nothing else changes."""

from __future__ import annotations

import pytest

from tests.bpf import wire
from tests.bpf.overlay import (
    FAR,
    HUGO,
    IDA,
    OWN4,
    coming,
    connect,
    encode,
    leaving,
    outer,
    set_tunnel,
    source_port_of,
    vxlan,
)
from tests.bpf.test_switching import udp4, udp6
from tests.bpf.world import ANN, HOST_TAG, RED, World
from weft.kernel.bpf.layouts import TunnelFlag

UNKNOWN_TAG = 0xDEADBEEF
ELSEWHERE = 4711
"""A network that this host has no port on."""
UNDERLAYS = pytest.mark.parametrize("version", [4, 6])


def arriving(version: int, inner: bytes, **options: object) -> bytes:
    """From Hugo, for Ida."""
    return coming(HUGO, version, vxlan(ELSEWHERE, inner, tag=IDA.tag), **options)


@UNDERLAYS
@pytest.mark.parametrize("onward", [4, 6])
@pytest.mark.parametrize("inner", [udp4(FAR, ANN), udp6(FAR, ANN)], ids=["IPv4", "IPv6"])
def test_goes_on_without_the_tag(world: World, version: int, onward: int, inner: bytes) -> None:
    """Also between underlays of different families."""
    connect(world, version)
    set_tunnel(world, IDA, onward)
    packet = arriving(version, inner, traffic_class=0xB9, hop_limit=61, source_port=50321)
    outcome = world.arrive(packet)
    expected = leaving(
        IDA,
        onward,
        outcome.packet,
        vxlan(ELSEWHERE, inner),
        traffic_class=0xB9,
        hop_limit=60,
    )
    assert outcome == ("uplink", "", expected)
    assert source_port_of(outcome.packet) == 50321


@UNDERLAYS
def test_other_protocols(world: World, version: int) -> None:
    connect(world, version)
    inner = wire.arp(1, FAR.mac, FAR.ipv4, ANN.ipv4)
    outcome = world.arrive(arriving(version, inner))
    expected = leaving(IDA, version, outcome.packet, vxlan(ELSEWHERE, inner), hop_limit=63)
    assert outcome == ("uplink", "", expected)


def test_to_the_next_relay_with_the_tag(world: World) -> None:
    connect(world)
    further = encode("192.0.2.77")
    flags = TunnelFlag.TUNNEL_RELAY
    set_tunnel(world, IDA, flags=flags, remote=further, destination_tag=IDA.tag)
    inner = udp4(FAR, ANN)
    outcome = world.arrive(arriving(4, inner))
    payload = vxlan(ELSEWHERE, inner, tag=IDA.tag)
    relay = IDA._replace(ipv4="192.0.2.77")
    expected = leaving(relay, 4, outcome.packet, payload, hop_limit=63)
    assert outcome == ("uplink", "", expected)


def test_every_hop_counts(world: World) -> None:
    connect(world)
    assert world.arrive(arriving(4, udp4(FAR, ANN), hop_limit=2)).target == "uplink"
    for limit in (0, 1):
        outcome = world.arrive(arriving(4, udp4(FAR, ANN), hop_limit=limit))
        assert outcome[:2] == ("", "ttl")


def test_not_back_to_where_it_came_from(world: World) -> None:
    connect(world)
    packet = coming(HUGO, 4, vxlan(RED, udp4(FAR, ANN), tag=HUGO.tag))
    assert world.arrive(packet)[:2] == ("", "no_tunnel")


def test_host_that_this_one_does_not_know_either(world: World) -> None:
    connect(world)
    packet = coming(HUGO, 4, vxlan(RED, udp4(FAR, ANN), tag=UNKNOWN_TAG))
    assert world.arrive(packet)[:2] == ("", "no_tunnel")
    set_tunnel(world, IDA, ifindex=0)
    assert world.arrive(arriving(4, udp4(FAR, ANN)))[:2] == ("", "no_tunnel")


def test_strangers_are_not_relayed(world: World) -> None:
    connect(world)
    payload = vxlan(RED, udp4(FAR, ANN), tag=IDA.tag)
    for source in ("192.0.2.66", OWN4):
        assert world.arrive(outer(source, OWN4, payload))[:2] == ("", "unknown_peer")


def test_own_tag_is_no_other_host(world: World) -> None:
    connect(world)
    inner = udp4(FAR, ANN)
    packet = coming(HUGO, 4, vxlan(RED, inner, tag=HOST_TAG))
    assert world.arrive(packet) == (ANN.device, "", inner)


def test_checksum_over_what_changes(world: World) -> None:
    """No host of the cluster sends one with a tag."""
    connect(world)
    packet = arriving(4, udp4(FAR, ANN), checksum=0x1234)
    assert world.arrive(packet)[:2] == ("", "malformed")


def test_next_hop_that_only_the_kernel_knows(world: World) -> None:
    connect(world)
    set_tunnel(world, IDA, flags=TunnelFlag.TUNNEL_DEVICE, next_hop=bytes(6), source_mac=bytes(6))
    outcome = world.arrive(arriving(4, udp4(FAR, ANN)))
    assert outcome[:2] == ("uplink", "")
