"""Real packets between real namespaces: what BPF_PROG_TEST_RUN does not show."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.bpf import wire
from tests.bpf.lan import OUTSIDE4, OUTSIDE6, Lan, made, wait_for
from tests.bpf.streams import stream
from tests.bpf.world import (
    ANN,
    BOB,
    CYD,
    DAN,
    EVE,
    INA,
    RESOLVER4,
    RESOLVER6,
    Workload,
    host_devices,
)
from weft.kernel.bpf import features, layouts, programs
from weft.kernel.bpf.layouts import EndpointFlag
from weft.kernel.bpf.programs import DataPlane
from weft.model.service_addresses import DNS4, DNS6, DNS_PORT, GATEWAY_MAC, ifindex_of_alias

GATEWAY4, GATEWAY6 = "10.1.0.1", "fd00:1::1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("bpffs-lan")
    programs.mount_bpffs(place)
    yield place
    programs.purge(place)


@pytest.fixture(scope="module")
def lan(folder: Path, objects: Path) -> Iterator[Lan]:
    with made(folder, objects) as lan:
        yield lan


@pytest.mark.parametrize("target", [BOB.ipv4, BOB.ipv6, CYD.ipv4, CYD.ipv6])
def test_ping(lan: Lan, target: str) -> None:
    assert lan.pings(ANN, target)


def test_ping_where_the_kernel_leaves_a_packets_type_as_it_was(
    tmp_path: Path, objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "peer_resets_type", lambda: False)
    programs.mount_bpffs(tmp_path / "lan")
    try:
        with made(tmp_path / "lan", objects) as lan:
            assert all(lan.pings(ANN, target) for target in (BOB.ipv4, CYD.ipv6, GATEWAY4))
    finally:
        programs.purge(tmp_path / "lan")


def test_ping_by_link_local_address(lan: Lan) -> None:
    assert lan.pings(ANN, f"{BOB.link_local}%eth0")


@pytest.mark.parametrize("target", [GATEWAY4, GATEWAY6, OUTSIDE4, OUTSIDE6])
@pytest.mark.parametrize("size", [56, 3000, 20000])
def test_ping_gateway_and_outside(lan: Lan, target: str, size: int) -> None:
    assert lan.pings(ANN, target, f"-s {size}")


@pytest.mark.parametrize("target", [BOB.ipv4, BOB.ipv6])
def test_large_ping_between_ports(lan: Lan, target: str) -> None:
    assert lan.pings(ANN, target, "-s 20000")


def test_networks_do_not_reach_each_other(lan: Lan) -> None:
    for sender, target in ((ANN, DAN), (DAN, ANN), (INA, ANN), (ANN, INA)):
        assert not lan.pings(sender, target.ipv6, "-W 1")
    assert not lan.pings(DAN, BOB.ipv4, "-W 1")
    assert not lan.pings(INA, OUTSIDE4, "-W 1")


def test_host_reaches_a_port(lan: Lan) -> None:
    for target in (BOB.ipv4, BOB.ipv6):
        source = OUTSIDE6 if ":" in target else OUTSIDE4
        assert " 0% packet loss" in lan.host.run(f"ping -c 2 -i 0.05 -q -I {source} {target}")


def test_neighbours_are_learnt_from_the_answers(lan: Lan) -> None:
    lan.pings(ANN, BOB.ipv4)
    lan.pings(ANN, GATEWAY6)
    neighbours = lan.at(ANN, "ip neighbour show")
    assert f"{BOB.ipv4} dev eth0 lladdr {BOB.mac}" in neighbours
    assert f"{GATEWAY6} dev eth0 lladdr {GATEWAY_MAC} router" in neighbours


def test_duplicate_address_is_detected(lan: Lan) -> None:
    lan.at(EVE, f"ip -6 address add {BOB.ipv6}/64 dev eth0")
    try:
        wait_for(lambda: "dadfailed" in lan.at(EVE, "ip -6 address show dev eth0"))
    finally:
        lan.at(EVE, f"ip -6 address delete {BOB.ipv6}/64 dev eth0")


@pytest.mark.parametrize("target", [BOB.ipv4, BOB.ipv6, CYD.ipv4, CYD.ipv6])
def test_tcp_stream_in_large_segments(lan: Lan, target: str) -> None:
    """Without segmentation offload the mean packet would be no larger than the MTU."""
    receiver = BOB if target in (BOB.ipv4, BOB.ipv6) else CYD
    before = lan.world.counters(receiver.device)
    stream(lan.insides[ANN], lan.insides[receiver], target)
    after = lan.world.counters(receiver.device)
    received = after.rx_bytes - before.rx_bytes
    assert received > 10e6
    assert received / (after.rx_packets - before.rx_packets) > 5000


def listener(lan: Lan, workload: Workload, group: str) -> socket.socket:
    with lan.insides[workload].entered():
        family = socket.AF_INET6 if ":" in group else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_DGRAM)
        listening.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 9999))
        if family == socket.AF_INET6:
            index = socket.if_nametoindex("eth0")
            request = socket.inet_pton(family, group) + struct.pack("I", index)
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        elif group.startswith("2") and not group.startswith("255"):
            request = socket.inet_aton(group) + socket.inet_aton(workload.ipv4)
            listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        listening.settimeout(5)
        return listening


@pytest.mark.parametrize("group", ["255.255.255.255", "10.1.0.255", "239.1.2.3", "ff05::1234"])
def test_broadcast_and_multicast(lan: Lan, group: str) -> None:
    """Bob and Eve hear Ann once each; Dan and Ina, in other networks, hear nothing of it."""
    hearing = [listener(lan, each, group) for each in (BOB, EVE)]
    deaf = [listener(lan, each, group) for each in (DAN, INA)]
    before = [lan.world.counters(each.device).rx_packets for each in (DAN, INA)]
    with lan.insides[ANN].entered():
        family = socket.AF_INET6 if ":" in group else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            scope = (group, 9999, 0, socket.if_nametoindex("eth0"))
            sender.sendto(b"hello", scope if ":" in group else scope[:2])
    try:
        assert [each.recv(100) for each in hearing] == [b"hello"] * 2
        for each in deaf:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(100)
        assert [lan.world.counters(each.device).rx_packets for each in (DAN, INA)] == before
    finally:
        for each in hearing + deaf:
            each.close()


def test_other_protocols_arrive(lan: Lan) -> None:
    kind = 0x88B5
    with lan.insides[BOB].entered():
        receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
        receiver.bind(("eth0", kind))
        receiver.settimeout(5)
    frame = wire.ether(BOB.mac, ANN.mac, kind, b"an experiment".ljust(50, b"."))
    with lan.insides[ANN].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("eth0", kind))
        sender.send(frame)
    with receiver:
        assert receiver.recv(2000) == frame


def check_dropped(lan: Lan, frame: bytes, reason: str) -> None:
    """Ann sends it as raw as it is."""

    def drops() -> int:
        return lan.world.counters(ANN.device).drops.get(reason, 0)

    before = drops()
    with lan.insides[ANN].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("eth0", 0))
        sender.send(frame)
    wait_for(lambda: drops() == before + 1)


@pytest.mark.parametrize("kind", [wire.IPV4, wire.IPV6, wire.ARP])
@pytest.mark.parametrize("length", [0, 1, 19, 27])
def test_truncated_headers(lan: Lan, kind: int, length: int) -> None:
    """Shorter than BPF_PROG_TEST_RUN takes."""
    payload = b"\x45".ljust(length, b"\0")[:length]
    check_dropped(lan, wire.ether(BOB.mac, ANN.mac, kind, payload), "malformed")


@pytest.mark.parametrize("tag", [0x8100_0014, 0x88A8_0014, 0x8100_0000])
def test_vlan_tags_that_the_kernel_takes_off(lan: Lan, tag: int) -> None:
    packet = wire.ipv4(ANN.ipv4, BOB.ipv4, wire.ICMP, wire.icmp(8))
    frame = wire.ether(BOB.mac, ANN.mac, wire.IPV4, packet)
    check_dropped(lan, frame[:12] + tag.to_bytes(4, "big") + frame[12:], "reserved")


def test_delivery_by_way_of_the_device(lan: Lan) -> None:
    """A tap, or a veth that stays in the host's namespace."""
    endpoint = layouts.Endpoint(
        lan.world.ifindexes[BOB.device],
        EndpointFlag.ENDPOINT_REDIRECT,
        wire.mac_bytes(BOB.mac),
    )
    key = layouts.MacKey(BOB.vni, wire.mac_bytes(BOB.mac)).encode()
    macs = lan.world.plane.maps["macs_v1"]
    former = macs.lookup(key)
    assert former is not None
    lan.world.put("macs_v1", key, endpoint.encode())
    try:
        assert lan.pings(ANN, BOB.ipv4)
    finally:
        lan.world.put("macs_v1", key, former)


class DnsServer:
    """Answers every query, UDP or TCP, with the address that it came from."""

    def __init__(self, lan: Lan, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with lan.host.entered():
            self.udp = socket.socket(family, socket.SOCK_DGRAM)
            self.tcp = socket.socket(family, socket.SOCK_STREAM)
        for each in (self.udp, self.tcp):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((address, DNS_PORT))
            each.settimeout(10)
        self.tcp.listen()
        self.threads = [threading.Thread(target=each) for each in (self._udp, self._tcp)]
        for thread in self.threads:
            thread.start()

    def _udp(self) -> None:
        _, client = self.udp.recvfrom(500)
        self.udp.sendto(client[0].encode(), client)

    def _tcp(self) -> None:
        connection, client = self.tcp.accept()
        with connection:
            connection.recv(500)
            connection.sendall(client[0].encode() * 3000)

    def close(self) -> None:
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()


@pytest.mark.parametrize(
    ("server", "resolver"),
    [(str(DNS4), RESOLVER4), (str(DNS4), GATEWAY4), (str(DNS6), RESOLVER6), (str(DNS6), GATEWAY6)],
)
def test_query_and_answer(lan: Lan, server: str, resolver: str) -> None:
    family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    answering = DnsServer(lan, server)
    ifindex = lan.world.ifindexes[ANN.device]
    try:
        with lan.insides[ANN].entered():
            udp = socket.socket(family, socket.SOCK_DGRAM)
            tcp = socket.socket(family, socket.SOCK_STREAM)
        with udp, tcp:
            udp.settimeout(5)
            tcp.settimeout(5)
            udp.sendto(b"query", (resolver, 53))
            answer, source = udp.recvfrom(500)
            assert source[0] == resolver
            assert ifindex_of_alias(ip_address(answer.decode())) == ifindex
            tcp.connect((resolver, 53))
            tcp.sendall(b"query")
            received = b""
            while piece := tcp.recv(65536):
                received += piece
            assert received == answer * 3000
    finally:
        answering.close()


def test_query_while_nobody_serves(lan: Lan) -> None:
    """The resolver itself answers, and sees the client as it is."""
    lan.host.run(f"ip address add {RESOLVER4}/32 dev lo")
    try:
        with lan.host.entered():
            resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with lan.insides[ANN].entered():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with resolver, client:
            resolver.bind((RESOLVER4, 53))
            for each in (resolver, client):
                each.settimeout(5)
            client.sendto(b"query", (RESOLVER4, 53))
            data, source = resolver.recvfrom(100)
            assert (data, source[0]) == (b"query", ANN.ipv4)
            resolver.sendto(b"answer", source)
            assert client.recvfrom(100) == (b"answer", (RESOLVER4, 53))
    finally:
        lan.host.run(f"ip address delete {RESOLVER4}/32 dev lo")


def test_programs_are_replaced_without_losing_a_packet(
    lan: Lan, folder: Path, objects: Path
) -> None:
    with lan.insides[ANN].entered():
        flood = subprocess.Popen(
            ["ping", "-i", "0.002", "-c", "1000", "-q", BOB.ipv4], stdout=subprocess.PIPE, text=True
        )
    right = host_devices(lan.world.ifindexes)
    ids = set()
    try:
        for number in range(20):
            other = right._replace(weft1_ifindex=10_000 + number)
            with DataPlane.load(folder, other, objects) as plane:
                ids.add(plane.programs["from_port"].id)
                for workload in (ANN, BOB):
                    lan.attach(folder, workload.device, "from_port")
        output, _ = flood.communicate(timeout=300)
    finally:
        with DataPlane.load(folder, right, objects):
            for workload in (ANN, BOB):
                lan.attach(folder, workload.device, "from_port")
    assert len(ids) == 20
    assert " 0% packet loss" in output
