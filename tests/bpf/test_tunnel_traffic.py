"""Which tunnels carry packets, as programs note it and weftd reads it."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from tests.bpf.overlay import (
    FAR,
    HUGO,
    IDA,
    TUNNEL_MTU,
    Peer,
    coming,
    connect,
    encode,
    set_replicas,
    set_tunnel,
    vxlan,
)
from tests.bpf.test_probes import REQUEST, message
from tests.bpf.test_replicas import shout
from tests.bpf.test_switching import udp4, udp6
from tests.bpf.world import ANN, RED, World
from weft.engine.ebpf.drivers import tunnels
from weft.kernel.bpf.layouts import Tunnel, TunnelFlag
from weft.kernel.tunnel_traffic import MAP, TunnelTraffic


@pytest.fixture
def traffic(world: World, bpffs: Path) -> TunnelTraffic:
    connect(world)
    return TunnelTraffic(bpffs)


def carrying(traffic: TunnelTraffic) -> set[int]:
    return {tag for tag, used in traffic.used().items() if used.mark}


def test_nothing_is_noted_before_a_packet_goes(traffic: TunnelTraffic) -> None:
    assert traffic.used().keys() == {HUGO.tag, IDA.tag}
    assert carrying(traffic) == set()


@pytest.mark.parametrize("packet", [udp4(ANN, FAR), udp6(ANN, FAR)], ids=["IPv4", "IPv6"])
def test_a_packet_is_noted_for_its_tunnel_alone(
    world: World, traffic: TunnelTraffic, packet: bytes
) -> None:
    world.send(ANN, packet)
    assert carrying(traffic) == {HUGO.tag}


def test_a_packet_by_the_vxlan_device_is_noted(world: World, traffic: TunnelTraffic) -> None:
    set_tunnel(world, HUGO, flags=TunnelFlag.TUNNEL_DEVICE)
    world.send(ANN, udp4(ANN, FAR))
    assert carrying(traffic) == {HUGO.tag}


def test_a_packet_that_is_too_big_for_the_way_is_noted(
    world: World, traffic: TunnelTraffic
) -> None:
    """The way may carry more by now: it is to be looked at."""
    set_tunnel(world, HUGO, mtu=600)
    world.send(ANN, udp4(ANN, FAR, data=bytes(TUNNEL_MTU - 200)))
    assert carrying(traffic) == {HUGO.tag}


@pytest.mark.parametrize("flags", [TunnelFlag(0), TunnelFlag.TUNNEL_DEVICE], ids=["push", "device"])
def test_what_is_flooded_is_noted_for_every_host(
    world: World, traffic: TunnelTraffic, flags: TunnelFlag
) -> None:
    set_tunnel(world, IDA, flags=flags)
    set_replicas(world, RED, [HUGO.tag, IDA.tag])
    world.send(ANN, shout(4))
    assert carrying(traffic) == {HUGO.tag, IDA.tag}


def test_a_relay_notes_where_it_passes_packets_on_to(world: World, traffic: TunnelTraffic) -> None:
    world.arrive(coming(HUGO, 4, vxlan(4711, udp4(FAR, ANN), tag=IDA.tag)))
    assert carrying(traffic) == {IDA.tag}


def test_a_tunnel_by_a_relay_says_so(world: World, traffic: TunnelTraffic) -> None:
    set_tunnel(world, HUGO, flags=TunnelFlag.TUNNEL_RELAY, remote=encode(IDA.ipv4))
    assert traffic.used()[HUGO.tag].relay == IPv4Address(IDA.ipv4)
    remote = encode(IDA.ipv6)
    flags = TunnelFlag.TUNNEL_RELAY | TunnelFlag.TUNNEL_IPV6
    set_tunnel(world, HUGO, flags=flags, remote=remote)
    assert traffic.used()[HUGO.tag].relay == ip_address(IDA.ipv6)
    assert traffic.used()[IDA.tag].relay is None


def test_probes_are_not_taken_for_traffic(world: World, traffic: TunnelTraffic) -> None:
    world.arrive(coming(HUGO, 4, message(REQUEST, HUGO.tag)))
    assert carrying(traffic) == set()


def test_more_tunnels_than_were_expected_are_read(world: World, traffic: TunnelTraffic) -> None:
    for tag in range(1, 500):
        set_tunnel(world, Peer(tag, "192.0.2.9", "2001:db8:1::9"))
    assert len(traffic.used()) == len(traffic.used()) == 499 + 2


def test_a_tunnel_that_is_used_is_still_the_one_that_was_written(
    world: World, traffic: TunnelTraffic
) -> None:
    before = _entry(world)
    world.send(ANN, udp4(ANN, FAR))
    raw = _entry(world)
    assert Tunnel.decode(raw).used and raw != before
    assert tunnels.as_written(raw) == before


def _entry(world: World) -> bytes:
    (found,) = (
        raw for raw in world.plane.maps[MAP].read().values() if Tunnel.decode(raw).tag == HUGO.tag
    )
    return found
