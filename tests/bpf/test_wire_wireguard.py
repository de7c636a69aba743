"""A device without Ethernet between hosts that encrypt, played by a tun device.

What goes in and out of it is what WireGuard would carry.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bpf import wire
from tests.bpf.fabric import VNI, Fabric, Link, Place, WireHost, encode, made_beside, tag
from tests.bpf.lan import DEADLINE_S, wait_for
from tests.bpf.namespaces import Namespace
from tests.bpf.overlay import outer, put_tunnel, vxlan
from tests.bpf.test_probes import message
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import PeerFlag, TunnelFlag
from weft.kernel.bpf.programs import DataPlane

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
ANN, FAR = Place(1, 0), Place(2, 0)
THIRD = 3
OWN, PEER, OTHER = "fd99::1", "fd99::2", "fd99::3"
"""Addresses inside WireGuard: this host's, that of the host with `FAR`, and a third one's."""


class Tun:
    """The far end is this object."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        with namespace.entered():
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
        namespace.run(f"ip link set {name} addrgenmode none mtu 1500 up")

    def send(self, frame: bytes) -> None:
        """The IP packet of a frame."""
        os.write(self.fd, frame[14:])

    def receive(self, start: bytes) -> bytes:
        """The next packet whose UDP payload starts so, as in a frame without MACs. The workloads
        speak of themselves, too."""
        while select.select([self.fd], [], [], DEADLINE_S)[0]:
            packet = os.read(self.fd, 65536)
            if packet[0] >> 4 == 6 and packet[6] == wire.UDP and packet[48:].startswith(start):
                return bytes(12) + b"\x86\xdd" + packet
        raise AssertionError("nothing came out")

    def datagrams(self) -> list[bytes]:
        """What has come out by now, of UDP in IPv6; the kernel speaks of the device, too."""
        found = []
        while select.select([self.fd], [], [], 0)[0]:
            packet = os.read(self.fd, 65536)
            if packet[0] >> 4 == 6 and packet[6] == wire.UDP:
                found.append(packet)
        return found

    def close(self) -> None:
        os.close(self.fd)


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory, objects: Path) -> Iterator[Fabric]:
    folder = tmp_path_factory.mktemp("fabric")
    with Namespace() as other, made_beside(folder, objects, 4, other, FAR) as fabric:
        yield fabric


@pytest.fixture(scope="module")
def tuns(fabric: Fabric, objects: Path) -> Iterator[tuple[Tun, Tun]]:
    """WireGuard's device, and another that no program guards."""
    host = fabric.hosts[1]
    guarded, open_door = Tun(host.namespace, "wg"), Tun(host.namespace, "door")
    host.namespace.run(f"ip -6 address add {OWN}/64 dev wg nodad")
    ifindex = int(host.namespace.run("ip -o link show wg").split(":")[0])
    host.ifindexes["wg"] = ifindex
    devices = host.devices._replace(wireguard_ifindex=ifindex)
    with DataPlane.load(host.folder, devices, objects):
        host.attach([Link(0, 1, 2).device, "wg"])
    host.add_peer(1, OWN, PeerFlag.PEER_ENCRYPTED)
    host.add_peer(2, PEER, PeerFlag.PEER_ENCRYPTED)
    for address in ("172.31.0.2", "fd31:0::2"):
        host.add_peer(2, address, PeerFlag.PEER_REFUSED)
    set_way(host, 2, PEER)
    set_way(host, THIRD, OTHER)
    yield guarded, open_door
    guarded.close()
    open_door.close()


def set_way(
    host: WireHost,
    number: int,
    remote: str,
    relay_for: int = 0,
    mtu: int = 1400,
    device: str = "wg",
) -> None:
    ifindex = int(host.namespace.run(f"ip -o link show {device}").split(":")[0])
    flags = TunnelFlag.TUNNEL_ENCRYPTED | TunnelFlag.TUNNEL_IPV6
    if relay_for:
        flags |= TunnelFlag.TUNNEL_RELAY
    tunnel = layouts.Tunnel(
        ifindex=ifindex,
        flags=flags,
        local=encode(OWN),
        remote=encode(remote),
        destination_tag=relay_for,
        mtu=mtu,
    )
    put_tunnel(host.plane.maps, tag(number), tunnel)


def ping(sender: Place, target: Place, kind: int = 8) -> bytes:
    packet = wire.ipv4(sender.ipv4, target.ipv4, wire.ICMP, wire.icmp(kind))
    return wire.ether(target.mac, sender.mac, wire.IPV4, packet)


@pytest.fixture
def without_weftx(fabric: Fabric) -> Iterator[None]:
    run = fabric.hosts[1].namespace.run
    run("ip link set weftx down")
    yield
    run("ip link set weftx up")


def asks_and_is_answered(tun: Tun) -> None:
    tun.send(outer(PEER, OWN, vxlan(VNI, ping(FAR, ANN))))
    macs = wire.mac_bytes(FAR.mac) + wire.mac_bytes(ANN.mac)
    answer = tun.receive(vxlan(VNI, macs))
    assert answer[22:54] == encode(OWN) + encode(PEER)
    assert answer[104] == 0


@pytest.mark.usefixtures("without_weftx")
def test_question_and_answer(fabric: Fabric, tuns: tuple[Tun, Tun]) -> None:
    """Neither needs the VXLAN device."""
    asks_and_is_answered(tuns[0])


def test_what_is_to_be_encrypted_goes_by_no_other_device(
    fabric: Fabric, tuns: tuple[Tun, Tun]
) -> None:
    """Wherever the way leads, the kernel is asked, whose filters know WireGuard's addresses."""
    tun, door = tuns
    host = fabric.hosts[1]
    set_way(host, 2, PEER, device="door")
    try:
        asks_and_is_answered(tun)
        set_way(host, 2, PEER, relay_for=tag(2), device="door")
        before = host.counters(ANN.device).drops.get("no_tunnel", 0)
        fabric.at(ANN, f"ping -c 1 -W 0.1 {FAR.ipv4}", check=False)
        assert host.counters(ANN.device).drops["no_tunnel"] == before + 1
        set_way(host, THIRD, OTHER, device="door")
        before = host.counters("wg").drops.get("no_tunnel", 0)
        tun.send(outer(PEER, OWN, vxlan(4711, ping(FAR, ANN), tag=tag(THIRD)), hop_limit=60))
        wait_for(lambda: host.counters("wg").drops.get("no_tunnel", 0) == before + 1)
        assert door.datagrams() == []
    finally:
        set_way(host, 2, PEER)
        set_way(host, THIRD, OTHER)


def test_what_is_no_ip_goes_by_way_of_the_vxlan_device(
    fabric: Fabric, tuns: tuple[Tun, Tun]
) -> None:
    """WireGuard takes no packet whose protocol the kernel calls something else than IP."""
    tun, _ = tuns
    macs = wire.mac_bytes(FAR.mac) + wire.mac_bytes(ANN.mac)
    with (
        fabric.insides[ANN].entered(),
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw,
    ):
        raw.bind(("eth0", 0))
        raw.send(macs + b"\x88\xb5" + bytes(50))
    assert tun.receive(vxlan(VNI, macs + b"\x88\xb5"))[22:54] == encode(OWN) + encode(PEER)


@pytest.mark.parametrize("source", [OTHER, OWN])
def test_what_comes_out_of_wireguard_from_no_host_that_encrypts(
    fabric: Fabric, tuns: tuple[Tun, Tun], source: str
) -> None:
    tun, _ = tuns
    host = fabric.hosts[1]
    before, delivered = host.counters("wg").drops.get("unknown_peer", 0), pings_heard(fabric)
    tun.send(outer(source, OWN, vxlan(VNI, ping(FAR, ANN))))
    wait_for(lambda: host.counters("wg").drops.get("unknown_peer", 0) == before + 1)
    assert pings_heard(fabric) == delivered


def refusals(host: WireHost, device: str) -> int:
    return host.counters(device).drops.get("unencrypted", 0)


def pings_heard(fabric: Fabric) -> int:
    """By Ann. Packets would not do, for other workloads speak of themselves, too."""
    lines = fabric.insides[ANN].run("cat /proc/net/snmp").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(values[names.index("InEchos")])


def test_same_packet_by_a_device_that_is_not_wireguards(
    fabric: Fabric, tuns: tuple[Tun, Tun]
) -> None:
    """No program guards that device; the VXLAN device takes it, and from_overlay does not."""
    _, door = tuns
    host = fabric.hosts[1]
    before, delivered = refusals(host, "weftx"), pings_heard(fabric)
    door.send(outer(PEER, OWN, vxlan(VNI, ping(FAR, ANN))))
    wait_for(lambda: refusals(host, "weftx") == before + 1)
    assert pings_heard(fabric) == delivered


@pytest.mark.parametrize(("source", "target"), [("172.31.0.2", "172.31.0.1"), (PEER, OWN)])
def test_plain_packet_on_the_underlay(
    fabric: Fabric, tuns: tuple[Tun, Tun], source: str, target: str
) -> None:
    host, link = fabric.hosts[1], Link(0, 1, 2)
    before = refusals(host, link.device)
    macs = (link.mac(1), link.mac(2))
    packet = outer(source, target, vxlan(VNI, ping(FAR, ANN)), macs=macs)
    with (
        fabric.insides[FAR].entered(),
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw,
    ):
        raw.bind((link.device, 0))
        raw.send(packet)
    wait_for(lambda: refusals(host, link.device) == before + 1)


@pytest.mark.parametrize("relay_for", [0, tag(4)])
def test_relayed_from_and_to_wireguard(
    fabric: Fabric, tuns: tuple[Tun, Tun], relay_for: int
) -> None:
    tun, _ = tuns
    host = fabric.hosts[1]
    set_way(host, THIRD, OTHER, relay_for)
    frame = ping(FAR, Place(THIRD, 0))
    tun.send(outer(PEER, OWN, vxlan(4711, frame, tag=tag(THIRD)), hop_limit=60))
    expected = outer(OWN, OTHER, vxlan(4711, frame, tag=relay_for), hop_limit=59)
    assert tun.receive(vxlan(4711, b"", tag=relay_for))[14:] == expected[14:]


def test_relayed_way_begins_here(fabric: Fabric, tuns: tuple[Tun, Tun]) -> None:
    """The device cannot write tags, so the header is pushed."""
    tun, _ = tuns
    host = fabric.hosts[1]
    set_way(host, 2, OTHER, relay_for=tag(2))
    try:
        fabric.at(ANN, f"ping -c 1 -W 0.1 {FAR.ipv4}", check=False)
        packet = tun.receive(vxlan(VNI, wire.mac_bytes(FAR.mac), tag=tag(2)))
        assert packet[14 + 8 : 14 + 40] == encode(OWN) + encode(OTHER)
    finally:
        set_way(host, 2, PEER)


def probe(kind: int, sender: int) -> bytes:
    return message(kind, sender, size=600)


def test_probe_by_wireguard(fabric: Fabric, tuns: tuple[Tun, Tun]) -> None:
    tun, _ = tuns
    host = fabric.hosts[1]
    tun.send(outer(PEER, OWN, probe(1, tag(2))))
    expected = probe(2, tag(2))
    answer = tun.receive(expected)
    assert len(answer) == 62 + len(expected)
    tun.send(outer(PEER, OWN, probe(2, tag(1))))
    key = layouts.ProbeKey(tag(2), 3).encode()
    probes = host.plane.maps["probes_v1"]
    wait_for(lambda: probes.lookup(key) is not None)
    raw = probes.lookup(key)
    assert raw is not None
    assert layouts.Probe.decode(raw).size == len(answer) - 14


def test_too_big_to_be_relayed(fabric: Fabric, tuns: tuple[Tun, Tun]) -> None:
    tun, _ = tuns
    host = fabric.hosts[1]
    set_way(host, THIRD, OTHER, mtu=600)
    target = Place(THIRD, 0)
    body = wire.udp(FAR.ipv6, target.ipv6, (1, 2), bytes(700))
    packet = wire.ipv6(FAR.ipv6, target.ipv6, wire.UDP, body)
    frame = wire.ether(target.mac, FAR.mac, wire.IPV6, packet)
    tun.send(outer(PEER, OWN, vxlan(4711, frame, tag=tag(THIRD))))
    answer = tun.receive(vxlan(4711, wire.mac_bytes(FAR.mac)))
    assert answer[22:54] == encode(OWN) + encode(PEER)
    assert answer[84:].endswith(packet[:128])
    assert answer[124:132] == b"\x02\0" + answer[126:128] + struct.pack(">I", 600)
