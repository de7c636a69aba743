"""Random and mutated packets: no crash, no undecided verdict, and nothing leaves the network."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from tests.bpf import fuzzing, wire
from tests.bpf.hostile_packets import runnable
from tests.bpf.overlay import FAR, FAR_ROUTED, HUGO, OWN4, OWN6, connect
from tests.bpf.world import (
    ANN,
    BLUE,
    BOB,
    CYD,
    DAN,
    EVE,
    HOST4,
    HOST6,
    HOST_MAC,
    INA,
    INTERNAL,
    RED,
    RESOLVER4,
    SUBNETS,
    WORKLOADS,
    Workload,
    World,
)
from weft.kernel.bpf.layouts import NetworkFlag
from weft.model.addresses import link_local_from_mac
from weft.model.service_addresses import ALIAS4, ALIAS6, DNS4, DNS6, GATEWAY_MAC

MACS = [each.mac for each in WORKLOADS] + [
    GATEWAY_MAC,
    HOST_MAC,
    FAR.mac,
    wire.BROADCAST,
    "33:33:00:00:00:01",
    "01:00:5e:01:01:01",
    "01:80:c2:00:00:00",
    "02:00:00:00:00:66",
]
IPV4 = [each.ipv4 for each in (*WORKLOADS, FAR, FAR_ROUTED)] + [
    *("10.1.0.1", "10.2.0.1", HOST4, RESOLVER4, str(DNS4), "198.51.100.7", "127.0.0.1"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.3", "10.1.0.222", "10.2.0.222"),
    "239.1.1.1",
]
IPV6 = [each.ipv6 for each in (*WORKLOADS, FAR, FAR_ROUTED)] + [
    each.link_local for each in WORKLOADS
]
IPV6 += ["fd00:1::1", "fd00:2::1", "ff02::1", "::", "::1", "2001:db8::7", "::ffff:10.1.0.12"]
IPV6 += ["ff05::1", "fd00:1::222", "fd77:6566:7400::53", "fd77:6566:7400:1::3", "fd00:2::222"]
GATEWAY_LINK_LOCAL = str(link_local_from_mac(GATEWAY_MAC))
HOST_ADDRESSES = {
    RED: ("10.1.0.1", "10.1.1.1", HOST4, HOST6, "fd00:1::1", "fd00:1:1::1", GATEWAY_LINK_LOCAL),
    BLUE: ("10.2.0.1", "fd00:2::1", GATEWAY_LINK_LOCAL),
    INTERNAL: ("10.1.0.1", "fd00:3::1", GATEWAY_LINK_LOCAL),
}
REPORT = bytes.fromhex("88b6")
PORTS = [53, 67, 68, 546, 547, 4000]
Chance = random.Random


def segment(chance: Chance, source: str, destination: str) -> tuple[int, bytes]:
    ports = (chance.choice(PORTS), chance.choice(PORTS))
    kind = chance.randrange(7)
    if kind == 6 and "." in source:
        return 2, bytes([chance.choice([0x11, 0x12, 0x16, 0x17, 0x22])]) + chance.randbytes(11)
    if kind == 0:
        return wire.TCP, wire.tcp(source, destination, ports, chance.randbytes(8))
    if kind == 1:
        return wire.UDP, wire.udp(source, destination, ports, chance.randbytes(8))
    if kind == 2:
        return wire.ICMP, wire.icmp(chance.choice([0, 3, 5, 8, 11]))
    if kind == 3 and ":" in source:
        body = chance.randbytes(chance.choice([4, 20, 28, 36]))
        number = chance.choice([128, 129, 130, 133, 134, 135, 136, 137, 143])
        return wire.ICMPV6, wire.icmpv6(source, destination, number, body)
    return chance.randrange(256), chance.randbytes(chance.randrange(40))


def ip4(chance: Chance) -> bytes:
    source, destination = chance.choice(IPV4), chance.choice(IPV4)
    protocol, payload = segment(chance, source, destination)
    fragment = chance.choice([0, 0, 0, 0x2000, 0x2005, 0x4000])
    ttl = chance.choice([0, 1, 2, 64, 255])
    return wire.ipv4(source, destination, protocol, payload, fragment=fragment, ttl=ttl)


def ip6(chance: Chance) -> bytes:
    source, destination = chance.choice(IPV6), chance.choice(IPV6)
    following, payload = segment(chance, source, destination)
    for _ in range(chance.choice([0, 0, 0, 1, 2, 8])):
        payload = bytes([following, chance.choice([0, 0, 0, 1])]) + chance.randbytes(6) + payload
        following = chance.choice([0, 43, 44, 51, 60])
    limit = chance.choice([1, 64, 255, 255])
    return wire.ipv6(source, destination, following, payload, hop_limit=limit)


def neighbour(chance: Chance) -> bytes:
    if chance.random() < 0.5:
        body = wire.arp(
            chance.randrange(4), chance.choice(MACS), chance.choice(IPV4), chance.choice(IPV4)
        )
        return body[14:]
    return wire.ns(chance.choice(MACS), chance.choice(IPV6), chance.choice(IPV6))[14:]


def frame(chance: Chance, sender: Workload) -> bytes:
    make: Callable[[Chance], bytes] = chance.choice([ip4, ip6, neighbour, neighbour, ip4, ip6])
    body = make(chance)
    kind = {4: wire.IPV4, 6: wire.IPV6}.get(body[0] >> 4, wire.ARP)
    kind = chance.choice([kind] * 20 + [wire.VLAN, 0x88B5, wire.IPV4, wire.IPV6, wire.ARP])
    source = sender.mac if chance.random() < 0.8 else chance.choice(MACS)
    packet = bytearray(wire.ether(chance.choice(MACS), source, kind, body))
    for _ in range(chance.choice([0, 0, 0, 1, 3])):
        packet[chance.randrange(len(packet))] = chance.randrange(256)
    if chance.random() < 0.1:
        packet = packet[: chance.randrange(14, len(packet) + 1)]
    return runnable(bytes(packet))


def noise(chance: Chance, _: Workload) -> bytes:
    return runnable(chance.randbytes(chance.randrange(14, 200)))


@pytest.mark.parametrize("make", [frame, noise])
def test_nothing_leaves_the_network(
    world: World, make: Callable[[Chance, Workload], bytes]
) -> None:
    seed = fuzzing.seed()
    chance = random.Random(seed)
    for vni in (RED, BLUE, INTERNAL):
        world.set_network(vni, NetworkFlag.NETWORK_HAS_UNKNOWN | NetworkFlag.NETWORK_SNOOPS)
    sender = ANN
    outcomes: set[str] = set()
    end = time.monotonic() + fuzzing.DURATION_S
    # The generator must get everywhere, however few packets a slow machine runs in the time.
    everywhere = {"weft0", BOB.device, CYD.device, "isolated", "internal", "ttl", "no_member"}
    while time.monotonic() < end or (make is frame and not everywhere <= outcomes):
        for _ in range(500):
            sender = chance.choice([ANN, EVE, EVE, DAN, INA])
            packet = make(chance, sender)
            outcome = world.send(sender, packet)
            allowed = world.ports_of(sender.vni) | {"weft0", ""}
            assert outcome.target in allowed, f"seed {seed}: {sender.device} {packet.hex()}"
            if outcome.target == "weft0" and outcome.packet[12:14] == REPORT:
                assert outcome.packet[8:12] == struct.pack(">I", world.ifindexes[sender.device])
                assert outcome.packet[14:] == packet[14:]
            elif outcome.target == "weft0":
                check_what_the_host_gets(outcome.packet, sender)
            outcomes.add(outcome.reason or outcome.target)


@pytest.mark.parametrize("version", [4, 6])
def test_only_ports_of_other_hosts_are_reached_by_the_underlay(world: World, version: int) -> None:
    connect(world, version)
    seed = fuzzing.seed()
    chance = random.Random(seed)
    outcomes: set[str] = set()
    end = time.monotonic() + fuzzing.DURATION_S / 2
    while time.monotonic() < end or not {"uplink", "weft0", BOB.device} <= outcomes:
        for _ in range(500):
            sender = chance.choice([ANN, EVE, EVE, DAN, INA])
            packet = frame(chance, sender)
            outcome = world.send(sender, packet)
            if outcome.target == "uplink":
                what = f"seed {seed}: {sender.device} {packet.hex()}"
                check_what_leaves(outcome.packet, sender, version, what)
            outcomes.add(outcome.reason or outcome.target)


def check_what_leaves(packet: bytes, sender: Workload, version: int, what: str) -> None:
    """From this host to Hugo, in the sender's network, to a port that is there."""
    ends, start = (packet[26:34], 42) if version == 4 else (packet[22:54], 62)
    addresses = (OWN4, HUGO.ipv4) if version == 4 else (OWN6, HUGO.ipv6)
    assert ends == b"".join(ip_address(each).packed for each in addresses), what
    assert packet[start : start + 8] == struct.pack(">II", 8 << 24, sender.vni << 8), what
    macs = {wire.mac_bytes(each.mac) for each in (FAR, FAR_ROUTED)}
    assert sender.vni == RED, what
    assert packet[start + 8 : start + 14] in macs, what


def check_what_the_host_gets(packet: bytes, sender: Workload) -> None:
    """From the sender's subnets to the outside or to what stands for the host; or a query."""
    (kind,) = struct.unpack_from(">H", packet, 12)
    ends = packet[26:34] if kind == wire.IPV4 else packet[22:54]
    half = len(ends) // 2
    source, destination = ip_address(ends[:half]), ip_address(ends[half:])
    if destination in (DNS4, DNS6):
        assert source in ALIAS4 or source in ALIAS6, packet.hex()
        return
    own = [ip_network(cidr) for vni, cidr in SUBNETS if vni == sender.vni]
    every = [ip_network(cidr) for _, cidr in SUBNETS]
    assert any(source in subnet for subnet in own), packet.hex()
    if str(destination) not in HOST_ADDRESSES[sender.vni]:
        assert not any(destination in subnet for subnet in every), packet.hex()
        is_routed = not (destination.is_loopback or destination.is_multicast)
        assert is_routed and destination not in ip_network("fe80::/10"), packet.hex()


def test_the_host_reaches_ports_alone(world: World) -> None:
    """The host is trusted, what it forwards is not."""
    chance = random.Random(fuzzing.seed())
    targets: set[str] = set()
    end = time.monotonic() + fuzzing.DURATION_S / 2
    while time.monotonic() < end or not {BOB.device, DAN.device} <= targets:
        outcome = world.send_from_host(frame(chance, ANN))
        targets.add(outcome.target)
        assert outcome.target != "weft0"
        assert outcome.target or outcome.reason


def test_flooding_stays_in_the_network(world: World) -> None:
    """Copies have no verdict of their own; the receivers' counters tell."""
    chance = random.Random(fuzzing.seed())
    for vni in (RED, BLUE, INTERNAL):
        world.set_network(vni, NetworkFlag.NETWORK_HAS_UNKNOWN)
    for _ in range(2000):
        packet = bytearray(frame(chance, EVE))
        packet[0] |= 1
        world.send(EVE, bytes(packet))
    assert world.counters(BOB.device).rx_packets > 50
    assert world.counters(DAN.device).rx_packets == 0
    assert world.counters(INA.device).rx_packets == 0
