"""Who a packet says it is from."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import pytest

from tests.bpf import wire
from tests.bpf.world import (
    ANN,
    BOB,
    CYD,
    EVE,
    EXTRA4,
    EXTRA6,
    SHARED,
    SHARED_MAC,
    World,
)

STRANGER = "02:00:00:00:00:66"
ALL_NODES, ALL_ROUTERS, MLD_ROUTERS = "ff02::1", "ff02::2", "ff02::16"


def from_ipv4(mac: str, source: str) -> bytes:
    packet = wire.ipv4(source, BOB.ipv4, wire.UDP, wire.udp(source, BOB.ipv4, (1, 2)))
    return wire.ether(BOB.mac, mac, wire.IPV4, packet)


def from_ipv6(mac: str, source: str) -> bytes:
    packet = wire.ipv6(source, BOB.ipv6, wire.UDP, wire.udp(source, BOB.ipv6, (1, 2)))
    return wire.ether(BOB.mac, mac, wire.IPV6, packet)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (from_ipv4(ANN.mac, ANN.ipv4), ""),
        (from_ipv4(ANN.mac, EXTRA4), ""),
        (from_ipv4(ANN.mac, "10.1.64.77"), ""),
        (from_ipv4(SHARED_MAC, SHARED), ""),
        (from_ipv4(ANN.mac, SHARED), "spoofed_address"),
        (from_ipv4(SHARED_MAC, ANN.ipv4), "spoofed_mac"),
        (from_ipv4(SHARED_MAC, EXTRA4), "spoofed_mac"),
        (from_ipv4(STRANGER, ANN.ipv4), "spoofed_mac"),
        (from_ipv4(STRANGER, BOB.ipv4), "spoofed_mac"),
        (from_ipv4(BOB.mac, BOB.ipv4), "spoofed_mac"),
        (from_ipv4(ANN.mac, BOB.ipv4), "spoofed_address"),
        (from_ipv4(ANN.mac, "10.1.65.1"), "spoofed_address"),
        (from_ipv4(ANN.mac, "0.0.0.0"), "spoofed_address"),
        (from_ipv4(ANN.mac, "127.0.0.1"), "spoofed_address"),
        (from_ipv6(ANN.mac, ANN.ipv6), ""),
        (from_ipv6(ANN.mac, EXTRA6), ""),
        (from_ipv6(ANN.mac, ANN.link_local), ""),
        (from_ipv6(ANN.mac, BOB.link_local), "spoofed_address"),
        (from_ipv6(ANN.mac, BOB.ipv6), "spoofed_address"),
        (from_ipv6(ANN.mac, "::"), "spoofed_address"),
        (from_ipv6(STRANGER, ANN.ipv6), "spoofed_mac"),
        # IPv4 in IPv6's clothes, which the maps use for IPv4
        (from_ipv6(ANN.mac, f"::ffff:{ANN.ipv4}"), "reserved"),
        (from_ipv6(ANN.mac, f"::ffff:{EXTRA4}"), "reserved"),
        (wire.ether(BOB.mac, STRANGER, 0x88B5, bytes(50)), "spoofed_mac"),
        (wire.ether(BOB.mac, SHARED_MAC, 0x88B5, bytes(50)), "spoofed_mac"),
    ],
    ids=wire.label,
)
def test_source(world: World, packet: bytes, reason: str) -> None:
    target = "" if reason else BOB.device
    assert world.send(ANN, packet)[:2] == (target, reason)
    assert world.counters(ANN.device).drops == ({reason: 1} if reason else {})


@pytest.mark.parametrize(
    "packet",
    [
        from_ipv4(STRANGER, "192.0.2.7"),
        from_ipv6(STRANGER, "2001:db8::7"),
        wire.ether(BOB.mac, STRANGER, 0x88B5, bytes(50)),
    ],
    ids=wire.label,
)
def test_port_without_the_check_may_forge(world: World, packet: bytes) -> None:
    assert world.send(EVE, packet) == (BOB.device, "", packet)


def dhcp(source: str, ports: tuple[int, int]) -> bytes:
    segment = wire.udp(source, "255.255.255.255", ports)
    packet = wire.ipv4(source, "255.255.255.255", wire.UDP, segment)
    return wire.ether(wire.BROADCAST, ANN.mac, wire.IPV4, packet)


def test_unspecified_source_only_asks_for_an_address(world: World) -> None:
    assert world.send(ANN, dhcp("0.0.0.0", (68, 67))).reason == ""
    assert world.send(ANN, dhcp("0.0.0.0", (68, 68))).reason == "spoofed_address"
    assert world.send(ANN, dhcp("0.0.0.0", (5, 67))).reason == "spoofed_address"


@pytest.mark.parametrize("port", [67, 547, 68, 546, 53, 40000])
def test_workload_is_no_dhcp_server(world: World, port: int) -> None:
    """Clients take answers from whatever port they come."""
    assert world.send(ANN, dhcp(ANN.ipv4, (port, 68))).reason == "reserved"
    for source, to in ((ANN.link_local, BOB.link_local), (ANN.ipv6, BOB.ipv6)):
        segment = wire.udp(source, to, (port, 546))
        packet = wire.ipv6(source, to, wire.UDP, segment)
        frame = wire.ether(BOB.mac, ANN.mac, wire.IPV6, packet)
        assert world.send(ANN, frame).reason == "reserved"
    segment = wire.udp(ANN.ipv4, BOB.ipv4, (port, 68))
    packet = wire.ipv4(ANN.ipv4, BOB.ipv4, wire.UDP, segment, fragment=0x2000)
    assert world.send(ANN, wire.ether(BOB.mac, ANN.mac, wire.IPV4, packet)).reason == "reserved"


def test_dhcp_answer_behind_extension_headers(world: World) -> None:
    segment = wire.udp(ANN.link_local, BOB.link_local, (40000, 546))
    body = bytes([wire.UDP, 0, 1, 4, 0, 0, 0, 0]) + segment
    packet = wire.ipv6(ANN.link_local, BOB.link_local, 60, body)
    frame = wire.ether(BOB.mac, ANN.mac, wire.IPV6, packet)
    assert world.send(ANN, frame).reason == "reserved"


def test_a_client_of_dhcp_may_ask(world: World) -> None:
    frame = wire.ether(
        BOB.mac,
        ANN.mac,
        wire.IPV6,
        wire.ipv6(
            ANN.link_local,
            BOB.link_local,
            wire.UDP,
            wire.udp(ANN.link_local, BOB.link_local, (546, 547)),
        ),
    )
    assert world.send(ANN, frame) == (BOB.device, "", frame)
    assert world.send(ANN, dhcp(ANN.ipv4, (68, 67))).reason == ""


def snap(mac: str, source: str, kind: int, payload: bytes, access: bytes = b"\xaa\xaa") -> bytes:
    """What Ethernet II would carry, in the way of RFC 1042."""
    body = access + b"\x03\0\0\0" + struct.pack(">H", kind) + payload
    return wire.ether(mac, source, len(body), body)


@pytest.mark.parametrize("mac", [BOB.mac, wire.BROADCAST, "01:00:0c:cc:cc:cc"])
@pytest.mark.parametrize("access", [b"\xaa\xaa", b"\xab\xaa", b"\xaa\xab"])
def test_nothing_hides_in_snap(world: World, mac: str, access: bytes) -> None:
    """Receivers that know RFC 1042 take ARP and IP out of it, past every check."""
    answer = wire.arp(2, ANN.mac, BOB.ipv4, CYD.ipv4, ANN.mac)[14:]
    for kind, payload in ((0x0806, answer), (wire.IPV4, from_ipv4(ANN.mac, BOB.ipv4)[14:])):
        frame = snap(mac, ANN.mac, kind, payload, access).ljust(60, b"\0")
        assert world.send(ANN, frame).reason == "reserved"


def test_other_protocols_with_a_length_in_place_of_a_type_pass(world: World) -> None:
    """IS-IS, spanning trees' neighbours, and the like."""
    frame = wire.ether(BOB.mac, ANN.mac, 20, b"\xfe\xfe\x03" + bytes(43))
    assert world.send(ANN, frame) == (BOB.device, "", frame)
    assert world.send(ANN, snap(BOB.mac, "02:00:00:00:00:66", 0x0806, bytes(46))).reason == (
        "spoofed_mac"
    )


def icmpv6(kind: int, source: str, group: str, body: bytes, *, hop_limit: int = 255) -> bytes:
    message = wire.icmpv6(source, group, kind, body)
    packet = wire.ipv6(source, group, wire.ICMPV6, message, hop_limit=hop_limit)
    return wire.ether(wire.multicast_mac(group), ANN.mac, wire.IPV6, packet)


ADVERTISEMENT = struct.pack(">BBHII", 64, 0, 1800, 0, 0) + wire.mac_option(1, ANN.mac)
REDIRECTION = bytes(4) + IPv6Address(ANN.ipv6).packed + IPv6Address(BOB.ipv6).packed


def test_workload_is_no_router(world: World) -> None:
    """CVE-2020-11091: an advertisement makes the sender everybody's gateway."""
    packet = icmpv6(wire.RA, ANN.link_local, ALL_NODES, ADVERTISEMENT)
    assert world.send(ANN, packet).reason == "reserved"
    packet = icmpv6(wire.REDIRECT, ANN.link_local, ALL_NODES, REDIRECTION)
    assert world.send(ANN, packet).reason == "reserved"


def hidden(headers: bytes, first: int, message: bytes) -> bytes:
    packet = wire.ipv6(ANN.link_local, ALL_NODES, first, headers + message, hop_limit=255)
    return wire.ether(wire.multicast_mac(ALL_NODES), ANN.mac, wire.IPV6, packet)


def test_advertisement_cannot_hide_behind_headers(world: World) -> None:
    """RFC 7113."""
    message = wire.icmpv6(ANN.link_local, ALL_NODES, wire.RA, ADVERTISEMENT)
    options = bytes([wire.ICMPV6, 0]) + bytes([1, 4]) + bytes(4)
    assert world.send(ANN, hidden(options, 60, message)).reason == "reserved"
    chain = (bytes([60, 0, 1, 4, 0, 0, 0, 0]) * 3) + options
    assert world.send(ANN, hidden(chain, 60, message)).reason == "reserved"
    longer = (bytes([60, 0, 1, 4, 0, 0, 0, 0]) * 9) + options
    assert world.send(ANN, hidden(longer, 60, message)).reason == "malformed"
    whole_fragment = bytes([wire.ICMPV6, 0]) + struct.pack(">HI", 0, 99)
    assert world.send(ANN, hidden(whole_fragment, 44, message)).reason == "malformed"
    first_fragment = bytes([wire.ICMPV6, 0]) + struct.pack(">HI", 1, 99)
    assert world.send(ANN, hidden(first_fragment, 44, message)).reason == "malformed"
    # The first fragment must show what the packet is (RFC 7112).
    only_options = bytes([60, 0]) + struct.pack(">HI", 1, 99) + bytes([wire.ICMPV6, 1]) + bytes(6)
    assert world.send(ANN, hidden(only_options, 44, b"")).reason == "malformed"


def test_unspecified_ipv6_source_only_probes_joins_and_looks_for_routers(world: World) -> None:
    report = struct.pack(">HH", 0, 1) + struct.pack(">BBH", 4, 0, 0)
    report += IPv6Address(wire.solicited_node(ANN.ipv6)).packed
    router_alert = bytes([wire.ICMPV6, 0, 5, 2, 0, 0, 1, 0])
    message = wire.icmpv6("::", MLD_ROUTERS, wire.MLD_REPORT, report)
    packet = wire.ipv6("::", MLD_ROUTERS, wire.HOP_BY_HOP, router_alert + message, hop_limit=1)
    frame = wire.ether(wire.multicast_mac(MLD_ROUTERS), ANN.mac, wire.IPV6, packet)
    assert world.send(ANN, frame).reason == ""
    solicitation = icmpv6(wire.RS, "::", ALL_ROUTERS, bytes(4))
    assert world.send(ANN, solicitation).reason == ""
    echo = icmpv6(128, "::", ALL_ROUTERS, bytes(4))
    assert world.send(ANN, echo).reason == "spoofed_address"
    solicitation = icmpv6(
        wire.RS, ANN.link_local, ALL_ROUTERS, bytes(4) + wire.mac_option(1, ANN.mac)
    )
    assert world.send(ANN, solicitation).reason == ""


def test_discovery_from_off_link_is_malformed(world: World) -> None:
    body = bytes(4) + IPv6Address(BOB.ipv6).packed
    group = wire.solicited_node(BOB.ipv6)
    packet = icmpv6(wire.NS, ANN.ipv6, group, body, hop_limit=254)
    assert world.send(ANN, packet).reason == "malformed"


@pytest.mark.parametrize(
    ("sender_mac", "sender", "source", "reason"),
    [
        (ANN.mac, ANN.ipv4, ANN.mac, ""),
        (ANN.mac, EXTRA4, ANN.mac, ""),
        (SHARED_MAC, SHARED, SHARED_MAC, ""),
        (ANN.mac, "0.0.0.0", ANN.mac, ""),
        (STRANGER, ANN.ipv4, ANN.mac, "spoofed_mac"),
        (ANN.mac, ANN.ipv4, STRANGER, "spoofed_mac"),
        (STRANGER, ANN.ipv4, STRANGER, "spoofed_mac"),
        (STRANGER, "0.0.0.0", STRANGER, "spoofed_mac"),
        (ANN.mac, BOB.ipv4, ANN.mac, "spoofed_address"),
        (ANN.mac, "10.1.0.1", ANN.mac, "spoofed_address"),
    ],
)
def test_arp_sender(world: World, sender_mac: str, sender: str, source: str, reason: str) -> None:
    request = wire.arp(1, sender_mac, sender, BOB.ipv4, source=source)
    assert world.send(ANN, request).reason == reason
    if sender != "0.0.0.0":
        reply = wire.arp(2, sender_mac, sender, BOB.ipv4, destination=BOB.mac, source=source)
        outcome = world.send(ANN, reply)
        assert outcome[:2] == ("" if reason else BOB.device, reason)


def test_arp_reply_from_nobody(world: World) -> None:
    reply = wire.arp(2, ANN.mac, "0.0.0.0", BOB.ipv4, destination=BOB.mac)
    assert world.send(ANN, reply).reason == "spoofed_address"


@pytest.mark.parametrize(
    ("source", "target", "option_mac", "reason"),
    [
        (ANN.ipv6, ANN.ipv6, ANN.mac, ""),
        (ANN.ipv6, EXTRA6, ANN.mac, ""),
        (ANN.link_local, ANN.link_local, ANN.mac, ""),
        (ANN.ipv6, BOB.ipv6, ANN.mac, "spoofed_address"),
        (ANN.ipv6, "fd00:1::1", ANN.mac, "spoofed_address"),
        (ANN.ipv6, ANN.ipv6, STRANGER, "spoofed_mac"),
    ],
)
def test_neighbour_advertisement(
    world: World, source: str, target: str, option_mac: str, reason: str
) -> None:
    packet = wire.na(BOB.mac, ANN.mac, source, BOB.ipv6, target, 0x60, option_mac=option_mac)
    assert world.send(ANN, packet)[:2] == ("" if reason else BOB.device, reason)


def test_solicitation_with_another_mac_in_it(world: World) -> None:
    packet = wire.ns(ANN.mac, ANN.ipv6, BOB.ipv6, options=wire.mac_option(1, STRANGER))
    assert world.send(ANN, packet).reason == "spoofed_mac"
    nonce = bytes([14, 1]) + b"nonce!"
    packet = wire.ns(ANN.mac, ANN.ipv6, BOB.ipv6, options=nonce + wire.mac_option(1, STRANGER))
    assert world.send(ANN, packet).reason == "spoofed_mac"
    packet = wire.ns(ANN.mac, ANN.ipv6, BOB.ipv6, options=b"\x0e\x00" + bytes(6))
    assert world.send(ANN, packet).reason == "malformed"
