"""Queries become weftd's, and the answers look as if they came from where the query went."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.bpf import wire
from tests.bpf.world import (
    ANN,
    BOB,
    EXTRA4,
    INA,
    QUERIES_PER_S,
    RESOLVER4,
    RESOLVER6,
    WEFT0_MAC,
    Workload,
    World,
)
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import ServiceAddress
from weft.model.service_addresses import (
    ALIAS4,
    ALIAS6,
    DNS4,
    DNS6,
    DNS_PORT,
    GATEWAY_MAC,
    ifindex_of_alias,
)


@pytest.fixture(autouse=True)
def served(world: World) -> Iterator[list[socket.socket]]:
    """Stands for weftd's server: sockets that would take the queries."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(bound(family, kind))
            for family in (socket.AF_INET, socket.AF_INET6)
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        ]


def bound(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(family, kind)
    if family == socket.AF_INET:
        made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    else:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    made.bind((str(DNS4 if family == socket.AF_INET else DNS6), DNS_PORT))
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
QUESTION = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01"


def query(
    to_mac: str,
    from_mac: str,
    source: str,
    destination: str,
    protocol: int,
    ports: tuple[int, int],
    data: bytes = QUESTION,
) -> bytes:
    make = wire.udp if protocol == wire.UDP else wire.tcp
    segment = make(source, destination, ports, data)
    if ":" in source:
        packet = wire.ipv6(source, destination, protocol, segment)
        return wire.ether(to_mac, from_mac, wire.IPV6, packet)
    packet = wire.ipv4(source, destination, protocol, segment)
    return wire.ether(to_mac, from_mac, wire.IPV4, packet)


def alias(world: World, workload: Workload, version: int) -> str:
    ifindex = world.ifindexes[workload.device]
    if version == 4:
        return str(IPv4Address(int(ALIAS4.network_address) | ifindex))
    return str(IPv6Address(int(ALIAS6.network_address) | ifindex))


@pytest.mark.parametrize("protocol", [wire.UDP, wire.TCP])
@pytest.mark.parametrize(
    ("source", "resolver"),
    [
        (ANN.ipv4, RESOLVER4),
        (ANN.ipv4, "10.1.0.1"),
        (ANN.ipv4, "10.1.1.1"),
        (ANN.ipv4, str(DNS4)),
        (EXTRA4, RESOLVER4),
        (ANN.ipv6, RESOLVER6),
        (ANN.ipv6, "fd00:1::1"),
        (ANN.ipv6, str(DNS6)),
    ],
)
def test_there_and_back(world: World, protocol: int, source: str, resolver: str) -> None:
    version = 6 if ":" in source else 4
    server = str(DNS6 if version == 6 else DNS4)
    known_as = alias(world, ANN, version)

    sent = query(GATEWAY_MAC, ANN.mac, source, resolver, protocol, (40000, 53))
    expected = query(WEFT0_MAC, ANN.mac, known_as, server, protocol, (40000, DNS_PORT))
    assert world.send(ANN, sent) == ("weft0", "", expected)

    back = (DNS_PORT, 40000)
    answer = query(WEFT0_MAC, WEFT0_MAC, server, known_as, protocol, back, b"answer")
    expected = query(ANN.mac, GATEWAY_MAC, resolver, source, protocol, (53, 40000), b"answer")
    assert world.send_from_host(answer) == (ANN.device, "", expected)


def test_alias_tells_the_port(world: World) -> None:
    for version in (4, 6):
        address = alias(world, ANN, version)
        text = IPv6Address(address) if version == 6 else IPv4Address(address)
        assert ifindex_of_alias(text) == world.ifindexes[ANN.device]


def test_zero_udp_checksum_stays_zero(world: World) -> None:
    packet = bytearray(query(GATEWAY_MAC, ANN.mac, ANN.ipv4, RESOLVER4, wire.UDP, (40000, 53)))
    packet[40:42] = b"\0\0"
    outcome = world.send(ANN, bytes(packet))
    assert outcome.target == "weft0"
    assert outcome.packet[40:42] == b"\0\0"


def test_other_ports_and_other_servers_are_left_alone(world: World) -> None:
    sent = query(GATEWAY_MAC, ANN.mac, ANN.ipv4, RESOLVER4, wire.UDP, (40000, 54))
    assert world.send(ANN, sent) == ("weft0", "", wire.mac_bytes(WEFT0_MAC) + sent[6:])
    sent = query(GATEWAY_MAC, ANN.mac, ANN.ipv4, "192.0.2.54", wire.UDP, (40000, 53))
    assert world.send(ANN, sent) == ("weft0", "", wire.mac_bytes(WEFT0_MAC) + sent[6:])
    sent = query(BOB.mac, ANN.mac, ANN.ipv4, BOB.ipv4, wire.UDP, (40000, 53))
    assert world.send(ANN, sent) == (BOB.device, "", sent)


@pytest.mark.parametrize("protocol", [wire.UDP, wire.TCP])
@pytest.mark.parametrize(("source", "resolver"), [(ANN.ipv4, RESOLVER4), (ANN.ipv6, RESOLVER6)])
def test_while_nobody_serves_a_query_goes_to_its_resolver(
    world: World, served: list[socket.socket], protocol: int, source: str, resolver: str
) -> None:
    sent = query(GATEWAY_MAC, ANN.mac, source, resolver, protocol, (40000, 53))
    assert world.send(ANN, sent).packet != wire.mac_bytes(WEFT0_MAC) + sent[6:]
    for each in served:
        each.close()
    assert world.send(ANN, sent) == ("weft0", "", wire.mac_bytes(WEFT0_MAC) + sent[6:])
    internal = query(GATEWAY_MAC, INA.mac, INA.ipv4, RESOLVER4, protocol, (40000, 53))
    assert world.send(INA, internal).reason == "internal"


def test_internal_networks_have_names_too(world: World) -> None:
    sent = query(GATEWAY_MAC, INA.mac, INA.ipv4, RESOLVER4, wire.UDP, (40000, 53))
    assert world.send(INA, sent).target == "weft0"
    sent = query(GATEWAY_MAC, INA.mac, INA.ipv4, "192.0.2.54", wire.UDP, (40000, 53))
    assert world.send(INA, sent).reason == "internal"


def test_same_address_and_port_in_two_networks(world: World) -> None:
    """Bob and Ina have one address; each gets its own answer."""
    for workload in (BOB, INA):
        sent = query(GATEWAY_MAC, workload.mac, workload.ipv4, RESOLVER4, wire.UDP, (5353, 53))
        assert world.send(workload, sent).target == "weft0"
    for workload in (BOB, INA):
        known_as = alias(world, workload, 4)
        answer = query(WEFT0_MAC, WEFT0_MAC, str(DNS4), known_as, wire.UDP, (DNS_PORT, 5353))
        outcome = world.send_from_host(answer)
        assert outcome.target == workload.device
        assert outcome.packet[:6] == wire.mac_bytes(workload.mac)


def most_since(began_s: float) -> float:
    """So many queries a port may have had let through until now: a second's worth at once."""
    return QUERIES_PER_S * (time.monotonic() - began_s + 1) + 1


@pytest.mark.parametrize(("source", "resolver"), [(ANN.ipv4, RESOLVER4), (ANN.ipv6, RESOLVER6)])
def test_a_port_that_asks_without_end_is_held_back_and_its_neighbours_are_not(
    world: World, source: str, resolver: str
) -> None:
    """Whichever resolver it asks, from whichever of its ports and addresses."""
    many = 10 * QUERIES_PER_S
    began_s = time.monotonic()
    outcomes = [
        world.send(
            ANN,
            query(GATEWAY_MAC, ANN.mac, from_, to, wire.UDP, (1024 + number, 53)),
        )
        for number in range(many // 2)
        for from_, to in ((source, resolver), (ANN.ipv4, "10.1.0.1"))
    ]
    passed = sum(outcome.target == "weft0" for outcome in outcomes)
    assert QUERIES_PER_S <= passed <= most_since(began_s)
    assert {outcome.reason for outcome in outcomes} == {"", "too_many"}
    assert world.counters(ANN.device).drops == {"too_many": many - passed}
    sent = query(GATEWAY_MAC, BOB.mac, BOB.ipv4, RESOLVER4, wire.UDP, (40000, 53))
    assert world.send(BOB, sent).target == "weft0"


def test_of_tcp_only_the_beginnings_of_connections_are_held_back(world: World) -> None:
    def segment(flags: int, number: int) -> bytes:
        raw = wire.tcp(ANN.ipv4, RESOLVER4, (1024 + number, 53), b"", flags=flags)
        packet = wire.ipv4(ANN.ipv4, RESOLVER4, wire.TCP, raw)
        return wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, packet)

    many = 10 * QUERIES_PER_S
    for number in range(many):
        assert world.send(ANN, segment(0x10, number)).target == "weft0"
    began_s = time.monotonic()
    begun = [world.send(ANN, segment(0x02, number)) for number in range(many)]
    passed = sum(outcome.target == "weft0" for outcome in begun)
    assert QUERIES_PER_S <= passed <= most_since(began_s)
    assert {outcome.reason for outcome in begun} == {"", "too_many"}
    assert world.send(ANN, segment(0x10, 1)).target == "weft0"


def test_fragment_is_no_query(world: World) -> None:
    segment = wire.udp(ANN.ipv4, RESOLVER4, (40000, 53), QUESTION)
    packet = wire.ipv4(ANN.ipv4, RESOLVER4, wire.UDP, segment, fragment=0x2000)
    sent = wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, packet)
    assert world.send(ANN, sent) == ("weft0", "", wire.mac_bytes(WEFT0_MAC) + sent[6:])


def test_answer_nobody_asked_for(world: World) -> None:
    known_as = alias(world, ANN, 4)
    answer = query(WEFT0_MAC, WEFT0_MAC, str(DNS4), known_as, wire.UDP, (DNS_PORT, 40000))
    assert world.send_from_host(answer).reason == "unknown_address"
    for port in (53, 80):
        other = query(WEFT0_MAC, WEFT0_MAC, str(DNS4), known_as, wire.UDP, (port, 40000))
        assert world.send_from_host(other).reason == "reserved"
    other = query(WEFT0_MAC, WEFT0_MAC, "192.0.2.1", known_as, wire.UDP, (DNS_PORT, 40000))
    assert world.send_from_host(other).reason == "reserved"


def test_answer_to_a_port_that_is_gone(world: World) -> None:
    sent = query(GATEWAY_MAC, ANN.mac, ANN.ipv4, RESOLVER4, wire.UDP, (40000, 53))
    world.send(ANN, sent)
    world.remove_port(ANN)
    known_as = alias(world, ANN, 4)
    answer = query(WEFT0_MAC, WEFT0_MAC, str(DNS4), known_as, wire.UDP, (DNS_PORT, 40000))
    assert world.send_from_host(answer).reason == "unknown_address"


def test_flow_holds_what_is_needed_to_go_back(world: World) -> None:
    sent = query(GATEWAY_MAC, ANN.mac, ANN.ipv4, RESOLVER4, wire.UDP, (40000, 53))
    world.send(ANN, sent)
    ((key, value),) = world.plane.maps["dns_flows_v1"].read().items()
    flow_key, flow = layouts.DnsFlowKey.decode(key), layouts.DnsFlow.decode(value)
    assert flow_key == (world.ifindexes[ANN.device], struct.pack(">H", 40000), wire.UDP, 4)
    assert flow.client[12:] == IPv4Address(ANN.ipv4).packed
    assert flow.resolver[12:] == IPv4Address(RESOLVER4).packed
    assert flow.mac == wire.mac_bytes(ANN.mac)


def test_addresses_are_those_of_the_model() -> None:
    high, low = ServiceAddress.WEFT_PREFIX6_HIGH, ServiceAddress.WEFT_PREFIX6_LOW
    assert int(DNS4) == ServiceAddress.WEFT_DNS4
    assert DNS_PORT == ServiceAddress.WEFT_DNS_PORT
    assert int(ALIAS4.network_address) == ServiceAddress.WEFT_ALIAS4
    assert int(ALIAS4.netmask) == ServiceAddress.WEFT_ALIAS4_MASK
    assert int(DNS6) == high << 96 | low << 64 | ServiceAddress.WEFT_DNS6_LAST
    assert int(ALIAS6.network_address) == high << 96 | (low | 1) << 64
