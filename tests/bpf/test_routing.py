"""What is sent to the gateway's MAC: other subnets, the outside, the gateway itself."""

from __future__ import annotations

import pytest

from tests.bpf import wire
from tests.bpf.world import (
    ANN,
    BOB,
    CYD,
    DAN,
    EVE,
    HOST4,
    INA,
    WEFT0_MAC,
    Workload,
    World,
)
from weft.kernel.bpf.layouts import PortFlag
from weft.model.addresses import link_local_from_mac
from weft.model.service_addresses import GATEWAY_MAC

GATEWAY_LINK_LOCAL = str(link_local_from_mac(GATEWAY_MAC))
OUTSIDE4, OUTSIDE6 = "198.51.100.7", "2001:db8::7"


def routed(
    sender: Workload, destination: str, *, ttl: int = 64, source: str = "", options: bytes = b""
) -> bytes:
    """A TCP segment to the gateway's MAC."""
    return frame(GATEWAY_MAC, sender.mac, sender, destination, ttl, source, options)


def frame(
    to_mac: str,
    from_mac: str,
    sender: Workload,
    destination: str,
    ttl: int,
    source: str = "",
    options: bytes = b"",
) -> bytes:
    source = source or (sender.ipv6 if ":" in destination else sender.ipv4)
    segment = wire.tcp(source, destination, (4000, 80), b"GET /")
    if ":" in destination:
        packet = wire.ipv6(source, destination, wire.TCP, segment, hop_limit=ttl)
        return wire.ether(to_mac, from_mac, wire.IPV6, packet)
    packet = wire.ipv4(source, destination, wire.TCP, segment, ttl=ttl, options=options)
    return wire.ether(to_mac, from_mac, wire.IPV4, packet)


@pytest.mark.parametrize("destination", [CYD.ipv4, CYD.ipv6])
@pytest.mark.parametrize("ttl", [255, 64, 2])
def test_between_subnets(world: World, destination: str, ttl: int) -> None:
    expected = frame(CYD.mac, GATEWAY_MAC, ANN, destination, ttl - 1)
    assert world.send(ANN, routed(ANN, destination, ttl=ttl)) == (CYD.device, "", expected)
    assert world.counters(CYD.device).rx_packets == 1


def test_between_subnets_with_ip_options(world: World) -> None:
    options = b"\x94\x04\0\0"  # router alert
    expected = frame(CYD.mac, GATEWAY_MAC, ANN, CYD.ipv4, 63, options=options)
    sent = routed(ANN, CYD.ipv4, options=options)
    assert world.send(ANN, sent) == (CYD.device, "", expected)


@pytest.mark.parametrize("ttl", [1, 0])
@pytest.mark.parametrize("destination", [CYD.ipv4, CYD.ipv6])
def test_hop_limit_runs_out(world: World, destination: str, ttl: int) -> None:
    """The gateway says so; see test_router_packets.py for the words."""
    assert world.send(ANN, routed(ANN, destination, ttl=ttl))[:2] == (ANN.device, "ttl")


@pytest.mark.parametrize("destination", [OUTSIDE4, OUTSIDE6, "169.254.169.254"])
def test_outside_goes_to_the_host_as_it_is(world: World, destination: str) -> None:
    """The host routes, so the host decrements."""
    sent = routed(ANN, destination)
    expected = wire.mac_bytes(WEFT0_MAC) + sent[6:]
    assert world.send(ANN, sent) == ("weft0", "", expected)
    assert world.counters("weft1").rx_packets == 1


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("10.1.0.200", "unknown_address"),
        ("fd00:1::200", "unknown_address"),
        (DAN.ipv4, "isolated"),
        ("10.2.0.1", "isolated"),
        (DAN.ipv6, "isolated"),
        (INA.ipv6, "isolated"),
        ("127.0.0.1", "reserved"),
        ("127.0.0.53", "reserved"),
        ("0.0.0.0", "reserved"),
        ("0.1.2.3", "reserved"),
        ("224.0.0.1", "reserved"),
        ("240.0.0.9", "reserved"),
        ("255.255.255.255", "reserved"),
        ("169.254.53.53", "reserved"),
        ("::1", "reserved"),
        ("::", "reserved"),
        ("ff02::1", "reserved"),
        ("fe80::1", "reserved"),
        ("fd77:6566:7400::53", "reserved"),
        ("fd77:6566:7400:1::9", "reserved"),
    ],
)
def test_does_not_leave(world: World, destination: str, reason: str) -> None:
    assert world.send(ANN, routed(ANN, destination))[:2] == ("", reason)
    assert world.counters("weft1").rx_packets == 0


@pytest.mark.parametrize("destination", [OUTSIDE4, OUTSIDE6])
def test_internal_network_has_no_outside(world: World, destination: str) -> None:
    assert world.send(INA, routed(INA, destination))[:2] == ("", "internal")


def test_subnet_without_gateway_has_no_outside(world: World) -> None:
    assert world.send(ANN, routed(ANN, OUTSIDE4, source="10.1.64.9"))[:2] == ("", "no_route")


def test_subnet_without_gateway_sends_the_host_nothing(world: World) -> None:
    """Not by way of another subnet's gateway either: the host may know its addresses as another
    network's, and take what comes from there for an answer of that one."""
    sent = routed(ANN, "10.1.0.1", source="10.1.64.9")
    assert world.send(ANN, sent)[:2] == ("", "no_route")


@pytest.mark.parametrize("source", ["192.0.2.66", "127.0.0.1", "240.0.0.5", DAN.ipv4])
def test_forged_source_does_not_leave_even_unchecked(world: World, source: str) -> None:
    assert world.send(EVE, routed(EVE, OUTSIDE4, source=source))[:2] == ("", "spoofed_address")
    assert world.send(EVE, routed(EVE, "10.1.0.1", source=source))[:2] == ("", "spoofed_address")


def test_forged_link_local_source_is_not_routed(world: World) -> None:
    sent = routed(ANN, OUTSIDE6, source=ANN.link_local)
    assert world.send(ANN, sent)[:2] == ("", "spoofed_address")


def test_other_protocols_have_no_gateway(world: World) -> None:
    packet = wire.ether(GATEWAY_MAC, ANN.mac, 0x88B5, bytes(50))
    assert world.send(ANN, packet)[:2] == ("", "reserved")


def test_the_hosts_own_place_through_the_gateway(world: World) -> None:
    sent = frame(GATEWAY_MAC, CYD.mac, CYD, HOST4, 64)
    assert world.send(CYD, sent) == ("weft0", "", wire.mac_bytes(WEFT0_MAC) + sent[6:])


def echo4(sender: Workload, destination: str, kind: int, *, ttl: int = 64, **more: int) -> bytes:
    packet = wire.ipv4(sender.ipv4, destination, wire.ICMP, wire.icmp(kind), ttl=ttl, **more)  # type: ignore[arg-type]
    return wire.ether(GATEWAY_MAC, sender.mac, wire.IPV4, packet)


@pytest.mark.parametrize("ttl", [64, 1, 200])
def test_gateway_answers_ping(world: World, ttl: int) -> None:
    reply = wire.ipv4("10.1.0.1", ANN.ipv4, wire.ICMP, wire.icmp(0))
    expected = wire.ether(ANN.mac, GATEWAY_MAC, wire.IPV4, reply)
    sent = echo4(ANN, "10.1.0.1", 8, ttl=ttl)
    assert world.send(ANN, sent) == (ANN.device, "", expected)


@pytest.mark.parametrize(
    ("source", "gateway"),
    [(ANN.ipv6, "fd00:1::1"), (ANN.link_local, GATEWAY_LINK_LOCAL)],
)
def test_gateway_answers_ping_of_ipv6(world: World, source: str, gateway: str) -> None:
    packet = wire.ipv6(source, gateway, wire.ICMPV6, wire.echo6(source, gateway), hop_limit=255)
    sent = wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV6, packet)
    reply = wire.ipv6(gateway, source, wire.ICMPV6, wire.echo6(gateway, source, 129))
    expected = wire.ether(ANN.mac, GATEWAY_MAC, wire.IPV6, reply)
    assert world.send(ANN, sent) == (ANN.device, "", expected)


def test_gateway_answers_a_fragmented_ping_piece_by_piece(world: World) -> None:
    whole = wire.icmp(8, bytes(range(256)) * 8)
    answer = wire.icmp(0, bytes(range(256)) * 8)
    for start, flags in ((0, 0x2000), (1024, 0x2000 + 128), (2048, 256)):
        piece = wire.ipv4(
            ANN.ipv4, "10.1.0.1", wire.ICMP, whole[start : start + 1024], fragment=flags
        )
        reply = wire.ipv4(
            "10.1.0.1", ANN.ipv4, wire.ICMP, answer[start : start + 1024], fragment=flags
        )
        outcome = world.send(ANN, wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, piece))
        assert outcome == (ANN.device, "", wire.ether(ANN.mac, GATEWAY_MAC, wire.IPV4, reply))


def test_internal_network_can_ping_its_gateway(world: World) -> None:
    assert world.send(INA, echo4(INA, "10.1.0.1", 8)).target == INA.device


def test_what_the_gateway_does_not_answer_is_the_hosts(world: World) -> None:
    """Answers to clients that a published port hides behind the gateway."""
    for sent in (echo4(ANN, "10.1.0.1", 3), routed(ANN, "10.1.0.1"), routed(ANN, "fd00:1::1")):
        expected = wire.mac_bytes(WEFT0_MAC) + sent[6:]
        assert world.send(ANN, sent) == ("weft0", "", expected)


def test_gateway_of_another_network_is_no_gateway(world: World) -> None:
    assert world.send(ANN, echo4(ANN, "10.2.0.1", 8))[:2] == ("", "isolated")


def test_host_into_a_network(world: World) -> None:
    for destination, source in ((BOB.ipv4, OUTSIDE4), (BOB.ipv6, OUTSIDE6)):
        sent = frame(WEFT0_MAC, WEFT0_MAC, ANN, destination, 63, source)
        expected = frame(BOB.mac, GATEWAY_MAC, ANN, destination, 63, source)
        assert world.send_from_host(sent) == (BOB.device, "", expected)
    assert world.counters(BOB.device).rx_packets == 2
    assert world.counters("weft1").tx_packets == 2


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("10.1.0.200", "unknown_address"),
        ("10.1.0.1", "unknown_address"),
        (HOST4, "unknown_address"),
        (OUTSIDE4, "no_route"),
        (OUTSIDE6, "no_route"),
        ("ff02::1", "no_route"),
        ("240.0.0.9", "reserved"),
    ],
)
def test_host_to_nobody(world: World, destination: str, reason: str) -> None:
    source = OUTSIDE6 if ":" in destination else OUTSIDE4
    sent = frame(WEFT0_MAC, WEFT0_MAC, ANN, destination, 63, source)
    assert world.send_from_host(sent)[:2] == ("", reason)
    assert world.counters("weft1").drops == {reason: 1}


def test_host_reaches_the_network_that_its_routes_mean(world: World) -> None:
    """10.1.0.12 is Bob's in RED and Ina's in INTERNAL; host_prefixes says RED."""
    sent = frame(WEFT0_MAC, WEFT0_MAC, ANN, BOB.ipv4, 63, OUTSIDE4)
    assert world.send_from_host(sent).target == BOB.device


def test_host_sends_no_arp_into_networks(world: World) -> None:
    request = wire.arp(1, WEFT0_MAC, OUTSIDE4, BOB.ipv4)
    assert world.send_from_host(request)[:2] == ("", "reserved")


def test_port_that_became_internal(world: World) -> None:
    world.set_port(ANN, flags=PortFlag(0))
    assert world.send(ANN, routed(ANN, OUTSIDE4)).reason == "internal"
    assert world.send(ANN, routed(ANN, CYD.ipv4)).target == CYD.device


def test_prefix_of_the_host_without_a_port_there(world: World) -> None:
    """The nearest prefix decides, in any family."""
    assert world.send(ANN, routed(ANN, "10.2.0.77")).reason == "isolated"
    world.plane.maps["host_prefixes_v1"].delete(list(world.plane.maps["host_prefixes_v1"].read()))
    assert world.send(ANN, routed(ANN, "10.2.0.77")).target == "weft0"


def test_bob_is_not_routed_to_by_a_foreign_network(world: World) -> None:
    assert world.send(DAN, routed(DAN, BOB.ipv4))[:2] == ("", "isolated")
