"""Packets whose headers do not lie in one piece, as network cards and large segments make them and
BPF_PROG_TEST_RUN does not: sent for real, they fare as the specification says."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.bpf import fuzzing, wire
from tests.bpf.enforced import HERE
from tests.bpf.estate import Chance
from tests.bpf.namespaces import Namespace
from tests.bpf.readings import read
from tests.bpf.test_fuzz_estate import Siege
from tests.bpf.world import WORKLOADS, Workload, World
from weft.model.choices import Direction
from weft.model.ids import MacAddress
from weft.model.records import Network, Port
from weft.model.records.security import TCP, UDP
from weft.model.service_addresses import GATEWAY_MAC
from weft.semantics.policy import Remote, is_let_through
from weft.semantics.routers import port_at
from weft.semantics.routing import End, Way

PACKETS = 60
"""At one estate."""
MTU = 9000
SIZE = 5000
"""More than a page, or the kernel keeps a packet in one piece."""
LINEAR = (14, 18, 24, 34, 35, 40, 54, 56, 62, 74)
"""How many bytes come first: the cut is amidst each header, and between them."""
_PACKET_VNET_HDR = 15
DEADLINE_S = 10.0


@pytest.fixture
def wired(loaded: World, host: Namespace, bpffs: Path) -> Iterator[dict[str, socket.socket]]:
    """The ports' program on all their devices, and a socket at the other end of each."""
    sockets: dict[str, socket.socket] = {}
    with host.entered():
        try:
            for workload in WORKLOADS:
                device = workload.device
                for end in (device, f"{device}c"):
                    host.run(f"ip link set {end} mtu {MTU}")
                host.run(f"tc qdisc add dev {device} clsact")
                host.run(
                    f"env TC_BPF_MNT={bpffs} tc filter add dev {device} ingress prio 1 handle 1 "
                    f"bpf direct-action object-pinned {bpffs}/programs/from_port"
                )
                made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
                sockets[device] = made
                made.setsockopt(263, _PACKET_VNET_HDR, 1)  # SOL_PACKET
                made.bind((f"{device}c", 0))
            yield sockets
        finally:
            for each in sockets.values():
                each.close()
            for workload in WORKLOADS:
                host.run(f"tc qdisc del dev {workload.device} clsact", check=False)
                for end in (workload.device, f"{workload.device}c"):
                    host.run(f"ip link set {end} mtu 1500")


def sent_by(world: World, workload: Workload) -> int:
    return world.counters(workload.device).tx_packets


def packet(chance: Chance, sender: Port, there: Port, version: int, number: int) -> bytes:
    """The first of a flow, larger than a page."""
    source, target = (
        str(next(each for each in port.addresses if each.version == version))
        for port in (sender, there)
    )
    ports = (number, chance.choice([22, 80, 300]))
    protocol = chance.choice([TCP, UDP])
    payload = (
        wire.tcp(source, target, ports, bytes(SIZE), 2)
        if protocol == TCP
        else wire.udp(source, target, ports, bytes(SIZE))
    )
    if version == 4:
        return wire.ipv4(source, target, protocol, payload)
    if chance.random() < 0.5:
        payload = bytes([protocol, 0, 1, 4, 0, 0, 0, 0]) + payload
        protocol = 60
    return wire.ipv6(source, target, protocol, payload)


def fate(siege: Siege, sender: Port, frame: bytes) -> tuple[set[str], bool]:
    """Devices of which one may get it, and whether one does, whichever way it takes."""
    view, found = siege.estate.store, read(frame)
    assert found is not None
    flow = found.flow
    there = port_at(view, sender.network_id, flow.destination)
    if there is not None:
        led = [Way(End.PORT, (), sender.network_id, there)]
    else:
        led = list(siege.permission.ways(sender, found, MacAddress(GATEWAY_MAC)))
    devices, count = set(), 0
    for way in led:
        receiver, id = way.port, way.network_id
        if way.end is not End.PORT or receiver is None or id is None:
            continue
        remote = Remote(flow.destination, id, port_at(view, id, flow.destination))
        back = Remote(flow.source, sender.network_id, sender)
        if (
            receiver != sender
            and receiver.host_id == HERE
            and is_let_through(view, sender, Direction.EGRESS, remote, flow.packet())
            and is_let_through(view, receiver, Direction.INGRESS, back, flow.packet())
        ):
            assert receiver.ifname is not None
            devices.add(receiver.ifname)
            count += 1
    return devices, 0 < count == len(led)


def test_scattered_packets_fare_as_whole_ones(
    loaded: World, wired: dict[str, socket.socket]
) -> None:
    delivered = 0
    for seed in fuzzing.seeds(2):
        siege, chance = Siege(loaded, seed), Chance(f"scattered {seed}")
        for network in list(siege.estate.store.list(Network)):
            siege.estate.put(replace(network, mtu_bytes=MTU))
        siege.permission.changed()
        for number in range(PACKETS):
            delivered += try_one(siege, chance, wired, 30000 + number, seed)
    assert delivered > 10


def try_one(
    siege: Siege, chance: Chance, wired: dict[str, socket.socket], number: int, seed: int
) -> int:
    world = siege.world
    workload, sender = chance.choice(list(siege.here.items()))
    there = chance.choice([each for each in siege.here.values() if each != sender])
    near = there.network_id == sender.network_id
    body = packet(chance, sender, there, chance.choice([4, 6]), number)
    kind = wire.IPV4 if body[0] >> 4 == 4 else wire.IPV6
    frame = wire.ether(there.mac if near else GATEWAY_MAC, sender.mac, kind, body)
    linear = chance.choice(LINEAR)
    header = struct.pack("<BBHHHH", 0, 0, linear, 0, 0, 0)
    wanted, is_sure = fate(siege, sender, frame)
    before, count = siege._received(), sent_by(world, workload)
    wired[workload.device].send(header + frame)
    what = f"seed {seed}: {workload.device}, {linear} bytes first, {frame[:120].hex()} > {wanted}"
    end = time.monotonic() + DEADLINE_S

    def gainers() -> set[str]:
        after = siege._received()
        return {each for each in after if after[each] > before[each] and each != workload.device}

    while sent_by(world, workload) == count or (is_sure and not gainers()):
        assert time.monotonic() < end, what
    found = gainers()
    assert found <= wanted, (what, found)
    return len(found)
