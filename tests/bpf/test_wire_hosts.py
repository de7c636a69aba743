"""Two hosts on one wire: real workloads, real programs."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bpf import wire
from tests.bpf.fabric import UNDERLAY_MTU, Fabric, Place, made, mtu_of, outside, stream
from tests.bpf.lan import wait_for
from weft.kernel.bpf.layouts import EndpointFlag, TunnelFlag

ANN, AVA = Place(1, 0), Place(1, 1)
BOB, BEA = Place(2, 0), Place(2, 1)
FAMILIES = pytest.mark.parametrize("family", [4, 6])
UDP_SEGMENT = 103


@pytest.fixture(scope="module", params=[4, 6], ids=["over IPv4", "over IPv6"])
def fabric(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, objects: Path
) -> Iterator[Fabric]:
    with made(tmp_path_factory.mktemp("fabric"), objects, request.param, [(1, 2)]) as fabric:
        yield fabric


@pytest.fixture(params=[False, True], ids=["pushed", "by the device"])
def way(request: pytest.FixtureRequest, fabric: Fabric) -> Iterator[str]:
    fabric.use_device(is_device=request.param)
    yield request.node.callspec.id
    fabric.use_device(is_device=False)


@FAMILIES
def test_ping(fabric: Fabric, way: str, family: int) -> None:
    assert fabric.pings(ANN, BOB.address(family))
    assert fabric.pings(BEA, AVA.address(family))


@FAMILIES
def test_ping_between_subnets(fabric: Fabric, way: str, family: int) -> None:
    assert fabric.pings(ANN, BEA.address(family))
    assert fabric.pings(BOB, AVA.address(family))


@FAMILIES
@pytest.mark.parametrize("size", [1000, 5000, 20000])
def test_large_ping(fabric: Fabric, way: str, family: int, size: int) -> None:
    assert fabric.pings(ANN, BOB.address(family), f"-s {size}")


@FAMILIES
def test_ping_of_exactly_the_mtu(fabric: Fabric, way: str, family: int) -> None:
    size = mtu_of(fabric.version) - (28 if family == 4 else 48)
    assert fabric.pings(ANN, BOB.address(family), f"-M do -s {size}")
    assert not fabric.pings(ANN, BOB.address(family), f"-M do -s {size + 1}")


@FAMILIES
@pytest.mark.parametrize(("sender", "target"), [(ANN, BOB), (BEA, ANN)])
def test_tcp_in_large_segments(
    fabric: Fabric, way: str, family: int, sender: Place, target: Place
) -> None:
    receiver = fabric.hosts[target.host]
    before = receiver.counters(target.device)
    stream(fabric, sender, target, family)
    after = receiver.counters(target.device)
    received = after.rx_bytes - before.rx_bytes
    assert received > 10e6
    assert received / (after.rx_packets - before.rx_packets) > 5000


@FAMILIES
def test_tcp_into_a_device_that_cannot_cut_segments(fabric: Fabric, way: str, family: int) -> None:
    """A tap: the kernel cuts what was in a tunnel before."""
    host = fabric.hosts[2]
    run = host.namespace.run
    run(f"ethtool -K {BOB.device} tso off gso off")
    host.add_place(BOB, EndpointFlag.ENDPOINT_REDIRECT)
    before = received(fabric, BOB)
    try:
        stream(fabric, ANN, BOB, family)
        after = received(fabric, BOB)
        assert (after[0] - before[0]) / (after[1] - before[1]) < UNDERLAY_MTU
    finally:
        host.add_place(BOB)
        run(f"ethtool -K {BOB.device} tso on gso on")


@FAMILIES
def test_workloads_overlay_of_their_own(fabric: Fabric, way: str, family: int) -> None:
    """VXLAN in VXLAN, in large segments."""
    ends = ((ANN, BOB, "192.168.9.1"), (BOB, ANN, "192.168.9.2"))
    for own, other, address in ends:
        local, remote = own.address(family), other.address(family)
        fabric.at(
            own,
            f"ip link add inner mtu {mtu_of(fabric.version) - 70} type vxlan id 9 dstport 4789 "
            f"local {local} remote {remote} {'udp6zerocsumrx' if family == 6 else ''}",
        )
        fabric.at(own, "ip link set inner up")
        fabric.at(own, f"ip address add {address}/24 dev inner")
    try:
        assert fabric.pings(ANN, "192.168.9.2", "-s 3000")
        stream(fabric, ANN, BOB, "192.168.9.2")
        stream(fabric, BOB, ANN, "192.168.9.1")
    finally:
        for place in (ANN, BOB):
            fabric.at(place, "ip link delete inner")


def received(fabric: Fabric, place: Place) -> tuple[int, int]:
    """Bytes and packets, as the workload's device counts them."""
    (link,) = json.loads(fabric.at(place, "ip -s -j link show eth0"))
    numbers = link["stats64"]["rx"]
    return numbers["bytes"], numbers["packets"]


@FAMILIES
def test_udp_in_large_segments(fabric: Fabric, way: str, family: int) -> None:
    """What QUIC sends: one call, many datagrams, cut at the end."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    with fabric.insides[BOB].entered():
        receiver = socket.socket(kind, socket.SOCK_DGRAM)
    with fabric.insides[ANN].entered():
        sender = socket.socket(kind, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.bind(("", 9999))
        receiver.settimeout(5)
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("i", 1200))
        data = bytes(range(256)) * 75
        assert sender.sendto(data[:18000], (BOB.address(family), 9999)) == 18000
        received = [receiver.recv(65536) for _ in range(15)]
    assert b"".join(received) == data[:18000]
    assert {len(each) for each in received} == {1200}


def hear(fabric: Fabric, place: Place, group: str) -> socket.socket:
    with fabric.insides[place].entered():
        family = socket.AF_INET6 if ":" in group else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_DGRAM)
        listening.bind(("", 9998))
        if ":" in group:
            index = socket.if_nametoindex("eth0")
            request = socket.inet_pton(family, group) + struct.pack("I", index)
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        elif group.startswith("239"):
            request = socket.inet_aton(group) + socket.inet_aton(place.ipv4)
            listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        listening.settimeout(5)
        return listening


@pytest.mark.parametrize("group", ["255.255.255.255", "239.1.2.3", "ff05::1234"])
def test_broadcast_and_multicast_reach_the_other_host_once(
    fabric: Fabric, way: str, group: str
) -> None:
    hearing = [hear(fabric, place, group) for place in (AVA, BOB, BEA)]
    with fabric.insides[ANN].entered():
        family = socket.AF_INET6 if ":" in group else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            scope = (group, 9998, 0, socket.if_nametoindex("eth0"))
            sender.sendto(b"hello", scope if ":" in group else scope[:2])
    try:
        assert [each.recv(100) for each in hearing] == [b"hello"] * 3
        for each in hearing:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(100)
    finally:
        for each in hearing:
            each.close()


def test_an_announcement_mends_caches_on_other_hosts(fabric: Fabric, way: str) -> None:
    wrong = "02:00:00:00:99:99"
    announcement = wire.arp(2, ANN.mac, ANN.ipv4, ANN.ipv4, ANN.mac)
    fabric.at(BOB, f"ip neighbour replace {ANN.ipv4} lladdr {wrong} dev eth0 nud stale")
    try:
        with fabric.insides[ANN].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as ann:
            ann.bind(("eth0", 0))
            ann.send(announcement)
        wait_for(lambda: ANN.mac in fabric.at(BOB, f"ip neighbour show {ANN.ipv4}"))
    finally:
        fabric.at(BOB, f"ip neighbour delete {ANN.ipv4} dev eth0")


@FAMILIES
def test_the_host_reaches_workloads_of_other_hosts(fabric: Fabric, way: str, family: int) -> None:
    """And they it, at the address that it has."""
    for near, target in ((fabric.hosts[1], BOB), (fabric.hosts[2], AVA)):
        ends = f"-I {outside(near.number, family)} {target.address(family)}"
        assert " 0% packet loss" in near.namespace.run(f"ping -c 2 -i 0.05 -W 1 -q {ends}")


@FAMILIES
def test_way_that_carries_less_than_the_network(fabric: Fabric, way: str, family: int) -> None:
    """The senders learn it and go on; a ping that must not be cut says so."""
    host = fabric.hosts[1]
    link = host.links[0]
    is_device = "device" in way
    flag = int(TunnelFlag.TUNNEL_DEVICE) if is_device else 0
    host.set_tunnel(2, link, fabric.version, 1300, add_flags=flag)
    try:
        said = fabric.at(ANN, f"ping -M do -c 1 -W 1 -s 1350 {BOB.address(family)}", check=False)
        assert "1300" in said
        stream(fabric, ANN, BOB, family)
        assert fabric.pings(ANN, BOB.address(family), "-s 1350")
    finally:
        fabric.use_device(is_device=is_device)
        forget_mtu(fabric)


def forget_mtu(fabric: Fabric) -> None:
    for place in (ANN, AVA, BOB, BEA):
        for version in (4, 6):
            fabric.at(place, f"ip -{version} route flush cache")


@FAMILIES
def test_nothing_that_arrives_is_dropped(fabric: Fabric, way: str, family: int) -> None:
    assert fabric.pings(ANN, BEA.address(family))
    for host in fabric.hosts.values():
        assert not {"up0", "weftx"} & host.drops().keys()
