"""Multicast on networks that snoop: to members alone, and what ports report goes to weftd alone."""

from __future__ import annotations

import select
import struct
from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.bpf import wire
from tests.bpf.namespaces import Namespace
from tests.bpf.overlay import (
    HUGO,
    IDA,
    coming,
    connect,
    encode,
    leaving,
    set_replicas,
    vxlan,
)
from tests.bpf.test_replicas import hearing
from tests.bpf.world import ANN, BLUE, BOB, CYD, DAN, EVE, RED, WEFT0_MAC, Workload, World
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import MulticastFlag, NetworkFlag
from weft.kernel.group_wire import GroupWire
from weft.model.service_addresses import GATEWAY_MAC

GROUP4, GROUP6 = "239.1.2.3", "ff05::1234"
GROUPS = pytest.mark.parametrize("group", [GROUP4, GROUP6, "224.0.1.1", "ff02::1234", "ff3e::8"])
FLOODED = ["224.0.0.251", "224.0.0.1", "ff02::1", "ff02::1:ff00:12", "ff02::1:ffab:cdef"]
IGMP, MLD = 2, wire.ICMPV6
ALERT = bytes.fromhex("94040000")
BURST = 256


def shout(group: str, sender: Workload = ANN) -> bytes:
    """A datagram to a group."""
    source = sender.ipv6 if ":" in group else sender.ipv4
    body = wire.udp(source, group, (4000, 5000))
    packet = (wire.ipv6 if ":" in group else wire.ipv4)(source, group, wire.UDP, body)
    kind = wire.IPV6 if ":" in group else wire.IPV4
    return wire.ether(wire.multicast_mac(group), sender.mac, kind, packet)


def snoop(world: World, tags: tuple[int, ...] = (), vni: int = RED) -> None:
    """The network snoops; these hosts have ports on it."""
    set_replicas(world, vni, list(tags))
    value = layouts.Network(NetworkFlag.NETWORK_SNOOPS, 6).encode()
    world.put("networks_v1", struct.pack("<I", vni), value)


def set_group(
    world: World, group: str, *members: Workload, tags: tuple[int, ...] = (), flags: int = 0
) -> None:
    """These ports and hosts are members."""
    key = layouts.MulticastKey(RED, encode(group)).encode()
    world.put("multicast_groups_v1", key, layouts.MulticastGroup(flags).encode())
    for tag in tags:
        at = layouts.MemberKey(RED, encode(group), tag).encode()
        world.put("multicast_hosts_v1", at, layouts.Replica(tag).encode())
    for workload in members:
        slot = int(workload.device[1:]) - 1
        at = layouts.MemberKey(RED, encode(group), slot).encode()
        value = layouts.Flood(world.ifindexes[workload.device]).encode()
        world.put("multicast_ports_v1", at, value)


def received(world: World) -> set[str]:
    """Devices of the ports that got something."""
    return {
        each.device for each in (ANN, BOB, CYD, DAN, EVE) if world.counters(each.device).rx_packets
    }


@GROUPS
def test_a_group_reaches_its_members_and_nobody_else(world: World, group: str) -> None:
    snoop(world)
    set_group(world, group, BOB, CYD)
    assert world.send(ANN, shout(group))[:2] == ("", "")
    assert received(world) == {BOB.device, CYD.device}


@GROUPS
def test_a_group_that_nobody_joined_goes_nowhere(world: World, group: str) -> None:
    connect(world)
    snoop(world, (HUGO.tag,))
    set_group(world, "239.9.9.9", BOB)
    with hearing() as heard:
        assert world.send(ANN, shout(group)).reason == "no_member"
    assert heard == []
    assert received(world) == set()


def test_a_workload_that_looks_for_a_router_loses_nothing(world: World) -> None:
    snoop(world)
    message = wire.icmpv6(ANN.link_local, "ff02::2", wire.RS, bytes(4))
    packet = wire.ipv6(ANN.link_local, "ff02::2", wire.ICMPV6, message, hop_limit=255)
    frame = wire.ether(wire.multicast_mac("ff02::2"), ANN.mac, wire.IPV6, packet)
    assert world.send(ANN, frame)[:2] == ("", "")
    assert received(world) == set()
    set_group(world, "ff02::2", EVE)
    world.send(ANN, frame)
    assert received(world) == {EVE.device}


def test_a_member_does_not_hear_itself(world: World) -> None:
    snoop(world)
    set_group(world, GROUP4, ANN, BOB)
    world.send(ANN, shout(GROUP4))
    assert received(world) == {BOB.device}


def test_members_of_the_same_group_on_another_network_hear_nothing(world: World) -> None:
    snoop(world)
    snoop(world, vni=BLUE)
    set_group(world, GROUP4, BOB)
    assert world.send(DAN, shout(GROUP4, DAN)).reason == "no_member"
    assert received(world) == set()


@pytest.mark.parametrize("group", FLOODED)
def test_what_hosts_need_not_join_reaches_everybody(world: World, group: str) -> None:
    connect(world)
    snoop(world, (HUGO.tag,))
    frame = shout(group)
    with hearing() as heard:
        assert world.send(ANN, frame)[:2] == ("", "")
    assert heard == [leaving(HUGO, 4, heard[0], vxlan(RED, frame))]
    assert received(world) == {BOB.device, CYD.device, EVE.device}
    assert world.arrive(coming(HUGO, 4, vxlan(RED, frame)))[:2] == ("", "")


@pytest.mark.parametrize(
    "frame",
    [
        wire.arp(2, ANN.mac, ANN.ipv4, ANN.ipv4, ANN.mac),
        wire.ether(wire.BROADCAST, ANN.mac, 0x88CC, b"no IP"),
        wire.ether("01:00:5e:01:02:03", ANN.mac, 0x88CC, b"no IP"),
    ],
    ids=["ARP", "broadcast", "no IP"],
)
def test_what_is_no_ip_multicast_reaches_everybody(world: World, frame: bytes) -> None:
    snoop(world)
    assert world.send(ANN, frame.ljust(60, b"\0"))[:2] == ("", "")
    assert received(world) == {BOB.device, CYD.device, EVE.device}


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
@pytest.mark.parametrize("version", [4, 6])
def test_only_hosts_with_members_get_a_copy(world: World, group: str, version: int) -> None:
    connect(world, version)
    snoop(world, (HUGO.tag, IDA.tag))
    set_group(world, group, tags=(IDA.tag,))
    with hearing() as heard:
        assert world.send(ANN, shout(group))[:2] == ("", "")
    assert heard == [leaving(IDA, version, heard[0], vxlan(RED, shout(group)))]
    assert received(world) == set()


def test_of_a_group_that_somebody_gave_to_all_everybody_is_a_member(world: World) -> None:
    connect(world)
    snoop(world, (HUGO.tag, IDA.tag))
    set_group(world, GROUP4, flags=MulticastFlag.MULTICAST_FLOODED)
    with hearing() as heard:
        world.send(ANN, shout(GROUP4))
    assert len(heard) == 2
    assert received(world) == {BOB.device, CYD.device, EVE.device}
    world.arrive(coming(HUGO, 4, vxlan(RED, shout(GROUP4))))
    assert world.counters(ANN.device).rx_packets == 1


@GROUPS
@pytest.mark.parametrize("version", [4, 6])
def test_what_arrives_reaches_members_and_nobody_else(
    world: World, group: str, version: int
) -> None:
    connect(world, version)
    snoop(world, (HUGO.tag, IDA.tag))
    set_group(world, group, EVE, tags=(IDA.tag,))
    with hearing() as heard:
        assert world.arrive(coming(HUGO, version, vxlan(RED, shout(group))))[:2] == ("", "")
    assert heard == []
    assert received(world) == {EVE.device}


def test_what_arrives_and_has_no_member_here_is_dropped(world: World) -> None:
    connect(world)
    snoop(world, (HUGO.tag,))
    outcome = world.arrive(coming(HUGO, 4, vxlan(RED, shout(GROUP6))))
    assert outcome.reason == "no_member"
    assert world.counters("uplink").drops == {"no_member": 1}


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
def test_a_network_that_floods_knows_no_members(world: World, group: str) -> None:
    set_group(world, group, BOB)
    world.send(ANN, shout(group))
    assert received(world) == {BOB.device, CYD.device, EVE.device}


def igmp(kind: int, group: str = GROUP4, *, to: str = "", source: str = ANN.ipv4) -> bytes:
    """IGMPv1 or v2."""
    return _igmp(struct.pack(">BBH", kind, 0, 0) + IPv4Address(group).packed, to or group, source)


def igmp3(*records: tuple[int, str]) -> bytes:
    """IGMPv3, without sources."""
    body = struct.pack(">BBHHH", 0x22, 0, 0, 0, len(records))
    for kind, group in records:
        body += struct.pack(">BBH", kind, 0, 0) + IPv4Address(group).packed
    return _igmp(body, "224.0.0.22", ANN.ipv4)


def _igmp(body: bytes, to: str, source: str) -> bytes:
    body = body[:2] + struct.pack(">H", wire.checksum(body)) + body[4:]
    packet = wire.ipv4(source, to, IGMP, body, ttl=1, options=ALERT)
    return wire.ether(wire.multicast_mac(to), ANN.mac, wire.IPV4, packet)


def mld(kind: int, to: str, body: bytes, source: str = ANN.link_local) -> bytes:
    """With the router alert that MLD has."""
    message = wire.icmpv6(source, to, kind, body)
    options = bytes([MLD, 0, 5, 2, 0, 0, 1, 0])
    packet = wire.ipv6(source, to, wire.HOP_BY_HOP, options + message, hop_limit=1)
    return wire.ether(wire.multicast_mac(to), ANN.mac, wire.IPV6, packet)


def _asked6(group: str) -> bytes:
    return bytes(4) + IPv6Address(group).packed


V2_RECORD = struct.pack(">HHBBH", 0, 1, 4, 0, 0) + IPv6Address(GROUP6).packed
REPORTS = {
    "IGMPv1 report": igmp(0x12),
    "IGMPv2 report": igmp(0x16),
    "IGMPv2 report before there is an address": igmp(0x16, source="0.0.0.0"),
    "IGMPv2 leave": igmp(0x17, to="224.0.0.2"),
    "IGMPv3 report": igmp3((4, GROUP4), (4, "239.7.7.7")),
    "MLDv1 report": mld(131, GROUP6, _asked6(GROUP6)),
    "MLDv1 done": mld(132, "ff02::2", _asked6(GROUP6)),
    "MLDv2 report": mld(143, "ff02::16", V2_RECORD),
    "MLDv2 report before there is an address": mld(143, "ff02::16", V2_RECORD, "::"),
}


@pytest.mark.parametrize("what", REPORTS)
def test_a_report_goes_to_weftd_alone(world: World, what: str) -> None:
    connect(world)
    snoop(world, (HUGO.tag,))
    set_group(world, GROUP4, BOB)
    with hearing() as heard:
        outcome = world.send(ANN, REPORTS[what])
    header = bytes.fromhex(WEFT0_MAC.replace(":", ""))
    header += struct.pack(">HIH", 0x0257, world.ifindexes[ANN.device], 0x88B6)
    assert outcome == ("weft0", "", header + REPORTS[what][14:])
    assert heard == []
    assert received(world) == set()


@pytest.mark.parametrize("what", REPORTS)
def test_on_a_network_that_floods_a_report_is_a_packet_like_any_other(
    world: World, what: str
) -> None:
    assert world.send(ANN, REPORTS[what])[:2] == ("", "")
    assert received(world) == {BOB.device, CYD.device, EVE.device}


def fragmented() -> bytes:
    packet = wire.ipv4(ANN.ipv4, "224.0.0.22", IGMP, bytes(24), fragment=0x2000)
    return wire.ether(wire.multicast_mac("224.0.0.22"), ANN.mac, wire.IPV4, packet)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (igmp(0x11, "0.0.0.0", to="224.0.0.1"), "reserved"),
        (mld(130, "ff02::1", bytes(24)), "reserved"),
        (_igmp(b"\x16\0\0\0", GROUP4, ANN.ipv4), "malformed"),
        (fragmented(), "malformed"),
        (igmp(0x16, source=BOB.ipv4), "spoofed_address"),
        (mld(143, "ff02::16", V2_RECORD, BOB.link_local), "spoofed_address"),
    ],
    ids=["IGMP query", "MLD query", "short", "fragment", "other's IGMP", "other's MLD"],
)
def test_queries_are_the_networks_own_and_reports_are_whole(
    world: World, frame: bytes, reason: str
) -> None:
    snoop(world)
    outcome = world.send(ANN, frame)
    assert (outcome.target, outcome.reason) == ("", reason)
    assert received(world) == set()


def at(mac: str, frame: bytes) -> bytes:
    """The frame, sent to this MAC instead."""
    return wire.mac_bytes(mac) + frame[6:]


QUERIES = {
    "IGMP query": igmp(0x11, "0.0.0.0", to="224.0.0.1"),
    "IGMP query by unicast": igmp(0x11, "0.0.0.0", to=BOB.ipv4),
    "MLD query": mld(130, "ff02::1", bytes(24)),
    "MLD query by unicast": mld(130, BOB.link_local, bytes(24)),
}


@pytest.mark.parametrize("mac", [BOB.mac, CYD.mac, GATEWAY_MAC, EVE.mac])
@pytest.mark.parametrize("what", QUERIES)
def test_a_query_at_a_neighbours_mac_is_a_query_all_the_same(
    world: World, what: str, mac: str
) -> None:
    """A neighbour would answer to it, and then not to weftd's."""
    snoop(world)
    assert world.send(ANN, at(mac, QUERIES[what]))[:2] == ("", "reserved")
    assert received(world) == set()


@pytest.mark.parametrize("what", REPORTS)
def test_a_report_at_a_neighbours_mac_does_not_silence_the_neighbour(
    world: World, what: str
) -> None:
    snoop(world)
    assert world.send(ANN, at(BOB.mac, REPORTS[what])).target == "weft0"
    assert received(world) == set()


def test_on_a_network_that_floods_a_workload_may_ask_by_unicast(world: World) -> None:
    frame = at(BOB.mac, QUERIES["IGMP query"])
    assert world.send(ANN, frame) == (BOB.device, "", frame)


def test_igmp_that_is_about_no_membership_is_a_packet_like_any_other(world: World) -> None:
    snoop(world)
    world.send(ANN, igmp(0x14, to="224.0.0.13"))
    assert received(world) == {BOB.device, CYD.device, EVE.device}


def test_a_port_that_reports_too_fast_is_kept_from_weftd(world: World) -> None:
    snoop(world)
    outcomes = [world.send(ANN, igmp(0x16)).reason for _ in range(2 * BURST)]
    passed = outcomes.count("")
    assert outcomes[:BURST] == [""] * BURST
    assert passed < 2 * BURST
    assert world.counters(ANN.device).drops == {"too_many": 2 * BURST - passed}
    other = wire.ether(
        wire.multicast_mac(GROUP4),
        BOB.mac,
        wire.IPV4,
        wire.ipv4(BOB.ipv4, GROUP4, IGMP, igmp(0x16)[38:], ttl=1),
    )
    assert world.send(BOB, other).target == "weft0"


def test_what_is_reported_is_heard_on_weft0(world: World, host: Namespace) -> None:
    snoop(world)
    report = world.send(ANN, igmp(0x16)).packet
    ear = GroupWire("weft0")
    for end in ("weft0", "weft1"):
        host.run(f"ip link set {end} up")
    try:
        ear.open()
        assert ear.receive() is None
        assert ear.send("weft1", report)
        assert select.select([ear.fileno()], [], [], 5)[0]
        heard = ear.receive()
    finally:
        ear.close()
        for end in ("weft0", "weft1"):
            host.run(f"ip link set {end} down")
    assert heard == (world.ifindexes[ANN.device], igmp(0x16)[14:])
