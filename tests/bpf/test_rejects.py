"""Who sends what the rules reject is told so: by a reset, or by ICMP."""

from __future__ import annotations

import struct
import time
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

import pytest

from tests.bpf import wire
from tests.bpf.judged import (
    ACK,
    FIN,
    RST,
    SYN,
    SYN_ACK,
    Judged,
    datagram,
    echo,
    framed,
    pieces,
    segment,
)
from tests.bpf.overlay import FAR, FAR_ROUTED, HUGO, coming, connect, vxlan
from tests.bpf.rules import EGRESS, INGRESS, Rule
from tests.bpf.test_flows import DENIED, LET_IN, VERSIONS
from tests.bpf.test_flows_apart import from_host
from tests.bpf.test_routing import OUTSIDE4, OUTSIDE6
from tests.bpf.world import ANN, BOB, CYD, EVE, RED, WEFT0_MAC, Outcome, Workload, World
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RuleAction
from weft.model.service_addresses import GATEWAY_MAC

REJECT = RuleAction.RULE_REJECT
NOBODY_IN = Rule(1, 1, INGRESS, None, REJECT)
NOBODY_OUT = Rule(2, 2, EGRESS, None, REJECT)
GATEWAYS = {4: "10.1.0.1", 6: "fd00:1::1"}


class Told(NamedTuple):
    """An answer, taken apart; its checksums are right."""

    macs: tuple[str, str]
    """To, from."""
    source: str
    destination: str
    protocol: int
    body: bytes
    """Behind the IP header."""

    @property
    def tcp(self) -> tuple[int, int, int, int, int]:
        """Ports, sequence number, acknowledged, flags."""
        source, destination, number, acknowledged, _, flags = struct.unpack_from(
            ">HHIIBB", self.body
        )
        return source, destination, number, acknowledged, flags


def told(frame: bytes) -> Told:
    macs = frame[:6].hex(":"), frame[6:12].hex(":")
    packet = frame[14:]
    if packet[0] >> 4 == 4:
        assert wire.checksum(packet[:20]) == 0
        assert struct.unpack_from(">H", packet, 2)[0] == len(packet), "nothing behind it"
        source, destination = (str(IPv4Address(packet[at : at + 4])) for at in (12, 16))
        protocol, body = packet[9], packet[20:]
    else:
        assert struct.unpack_from(">H", packet, 4)[0] == len(packet) - 40
        source, destination = (str(IPv6Address(packet[at : at + 16])) for at in (8, 24))
        protocol, body = packet[6], packet[40:]
    pseudo = wire.pseudo(source, destination, protocol, len(body))
    assert wire.checksum(body if protocol == wire.ICMP else pseudo + body) == 0
    return Told(macs, source, destination, protocol, body)


@pytest.fixture
def judged(world: World) -> Judged:
    connect(world)
    judged = Judged(world)
    judged.judge(BOB, [1])
    judged.apply(NOBODY_IN)
    return judged


def ends(one: Workload, other: Workload, version: int) -> tuple[str, str]:
    return (one.ipv4, other.ipv4) if version == 4 else (one.ipv6, other.ipv6)


def prohibited(version: int) -> bytes:
    return bytes((3, 13) if version == 4 else (1, 1))


def refused(outcome: Outcome, device: str) -> Told:
    assert outcome[:2] == (device, "policy")
    return told(outcome.packet)


@VERSIONS
@pytest.mark.parametrize("who", ["ingress", "egress"])
@pytest.mark.parametrize("is_routed", [False, True])
def test_a_beginning_of_tcp_is_reset(
    judged: Judged, version: int, who: str, is_routed: bool
) -> None:
    """As if by the other end, so that a program gets "connection refused" at once."""
    target = CYD if is_routed else BOB
    judged.judge(target if who == "ingress" else ANN, [1 if who == "ingress" else 2])
    judged.apply(NOBODY_IN, NOBODY_OUT)
    mac = GATEWAY_MAC if is_routed else target.mac
    packet = segment(ANN, target, version=version, mac=mac)
    answer = refused(judged.world.send(ANN, packet), ANN.device)
    assert answer.macs == (ANN.mac, mac)
    assert (answer.destination, answer.source) == ends(ANN, target, version)
    (number,) = struct.unpack_from(">I", packet, 14 + (20 if version == 4 else 40) + 4)
    assert answer.tcp == (80, 4000, 0, number + 1, RST | ACK)
    assert len(answer.body) == 20


@VERSIONS
def test_what_belongs_to_a_connection_is_reset_where_it_stands(
    judged: Judged, version: int
) -> None:
    judged.apply(LET_IN)
    judged.world.send(ANN, segment(ANN, BOB, version=version))
    judged.world.send(BOB, segment(BOB, ANN, SYN_ACK, (80, 4000), version=version))
    judged.apply(NOBODY_IN)
    source, destination = ends(ANN, BOB, version)
    payload = bytearray(wire.tcp(source, destination, (4000, 80), b"more", ACK | FIN))
    struct.pack_into(">II", payload, 4, 7000, 9000)
    packet = framed(ANN, BOB.mac, source, destination, wire.TCP, bytes(payload))
    answer = refused(judged.world.send(ANN, packet), ANN.device)
    assert answer.tcp == (80, 4000, 9000, 0, RST)


@VERSIONS
def test_everything_else_is_told_by_the_gateway(judged: Judged, version: int) -> None:
    for packet in (datagram(ANN, BOB, version=version), echo(ANN, BOB, version=version)):
        answer = refused(judged.world.send(ANN, packet), ANN.device)
        assert answer.macs == (ANN.mac, GATEWAY_MAC)
        address, _ = ends(ANN, BOB, version)
        assert (answer.source, answer.destination) == (GATEWAYS[version], address)
        assert answer.body[:2] == prohibited(version)
        quoted = answer.body[8:]
        assert quoted == packet[14 : 14 + len(quoted)]
        assert len(quoted) == (28 if version == 4 else 48)


def test_with_options_the_whole_header_is_quoted(judged: Judged) -> None:
    body = wire.udp(ANN.ipv4, BOB.ipv4, (4000, 53))
    packet = wire.ipv4(ANN.ipv4, BOB.ipv4, wire.UDP, body, options=bytes([1] * 8))
    frame = wire.ether(BOB.mac, ANN.mac, wire.IPV4, packet)
    answer = refused(judged.world.send(ANN, frame), ANN.device)
    assert answer.body[8:] == packet[: 28 + 8]


@VERSIONS
def test_of_a_protocol_without_ports_what_there_is_is_quoted(judged: Judged, version: int) -> None:
    for size in (0, 3, 4, 7, 30):
        source, destination = ends(ANN, BOB, version)
        frame = framed(ANN, BOB.mac, source, destination, 99, bytes(range(size)))
        judged.age(2)
        answer = refused(judged.world.send(ANN, frame), ANN.device)
        header = 20 if version == 4 else 40
        assert answer.body[8:] == frame[14 : 14 + header + min(size, 8) // 4 * 4]


@VERSIONS
@pytest.mark.parametrize("far", [FAR, FAR_ROUTED])
def test_a_sender_on_another_host_is_told_there(
    judged: Judged, version: int, far: Workload
) -> None:
    sender = far if far is FAR else far._replace(mac=GATEWAY_MAC)
    for packet in (
        segment(sender, BOB, version=version),
        datagram(sender, BOB, version=version),
    ):
        outcome = judged.world.arrive(coming(HUGO, 4, vxlan(RED, packet)))
        assert outcome[:2] == ("uplink", "policy")
        outer = outcome.packet[14:]
        assert str(IPv4Address(outer[16:20])) == HUGO.ipv4
        assert outer[28 + 4 : 28 + 7] == RED.to_bytes(3)
        answer = told(outer[36:])
        assert answer.macs == (far.mac, GATEWAY_MAC)
        assert answer.destination == ends(far, BOB, version)[0]
        if answer.protocol == wire.TCP:
            assert answer.source == ends(far, BOB, version)[1]
            assert answer.tcp[4] == RST | ACK
        else:
            assert answer.body[:2] == prohibited(version)


@pytest.mark.parametrize("outside", [OUTSIDE4, OUTSIDE6])
def test_the_host_is_told_on_its_own_device(judged: Judged, outside: str) -> None:
    own = BOB.ipv6 if ":" in outside else BOB.ipv4
    outcome = judged.world.send_from_host(from_host(outside, own))
    answer = refused(outcome, "weft0")
    assert answer.macs[0] == WEFT0_MAC
    assert (answer.source, answer.destination) == (own, outside)
    assert answer.tcp[:2] == (80, 4000)


@VERSIONS
def test_nobody_is_told_about_what_must_not_be_answered(judged: Judged, version: int) -> None:
    """Resets, ICMP errors and redirects, later fragments; and of a drop nobody ever is."""
    source, destination = ends(ANN, BOB, version)
    silent = [segment(ANN, BOB, RST, version=version)]
    if version == 4:
        for kind in (3, 4, 5, 11, 12):
            message = wire.icmp(kind, bytes(28))
            silent.append(framed(ANN, BOB.mac, source, destination, wire.ICMP, message))
    else:
        for kind in (1, 2, 3, 4, 100):
            message = wire.icmpv6(source, destination, kind, bytes(52))
            silent.append(framed(ANN, BOB.mac, source, destination, wire.ICMPV6, message))
    first, later, _ = pieces(ANN, BOB, version)
    for packet in silent:
        assert judged.world.send(ANN, packet)[:2] == DENIED
    assert judged.world.send(ANN, first)[:2] == (ANN.device, "policy")
    judged.age(2)
    assert judged.world.send(ANN, later)[:2] == DENIED
    judged.apply(Rule(3, 1, INGRESS, None, RuleAction.RULE_DROP))
    assert judged.world.send(ANN, segment(ANN, BOB, version=version))[:2] == DENIED


def test_nobody_is_told_who_has_no_address(judged: Judged) -> None:
    """A port that may use any source is told of none that is no host's."""
    for source in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"):
        body = wire.udp(source, BOB.ipv4, (4000, 53))
        frame = framed(EVE, BOB.mac, source, BOB.ipv4, wire.UDP, body)
        assert judged.world.send(EVE, frame).target == ""


def test_a_forged_source_tells_nobody_else(judged: Judged) -> None:
    """Whatever address a packet bears, the answer goes to the device that it came by."""
    packet = segment(EVE._replace(ipv4=CYD.ipv4), BOB)
    assert judged.world.send(EVE, packet)[:2] == (EVE.device, "policy")
    assert judged.world.send(ANN, segment(ANN._replace(ipv4=CYD.ipv4), BOB)).reason == (
        "spoofed_address"
    )


def test_once_a_flow_and_second(judged: Judged) -> None:
    packet = segment(ANN, BOB)
    assert judged.world.send(ANN, packet)[:2] == (ANN.device, "policy")
    assert judged.world.send(ANN, packet)[:2] == DENIED
    judged.age(2)
    assert judged.world.send(ANN, packet)[:2] == (ANN.device, "policy")
    assert judged.rule_counts(1) == (0, 3)


def test_a_scan_is_told_so_often_and_no_more(judged: Judged) -> None:
    """What a device may be told is used up; the next is due after 5 ms."""
    key = struct.pack("<I", judged.world.ifindexes[ANN.device])
    for port in range(1, 1000):
        began_ns = time.monotonic_ns()
        judged.world.put("answers_v1", key, layouts.AnswerLimit(began_ns, 0).encode())
        outcome = judged.world.send(ANN, segment(ANN, BOB, SYN, (4000, port)))
        if time.monotonic_ns() - began_ns < 4_000_000:
            assert outcome[:2] == DENIED
            break
    else:
        raise AssertionError("this machine is too slow to tell")


@VERSIONS
def test_a_made_packet_is_told_nothing(judged: Judged, version: int) -> None:
    judged.world.is_trial = True
    try:
        outcome = judged.world.send(ANN, segment(ANN, BOB, version=version))
    finally:
        judged.world.is_trial = False
    assert outcome[:2] == DENIED


@VERSIONS
def test_a_large_segment_row_is_told_as_one(judged: Judged, version: int) -> None:
    source, destination = ends(ANN, BOB, version)
    payload = wire.tcp(source, destination, (4000, 80), bytes(3000), ACK)
    frame = framed(ANN, BOB.mac, source, destination, wire.TCP, payload)
    answer = refused(judged.world.send(ANN, frame, gso_size=1000), ANN.device)
    assert len(answer.body) == 20
