"""Between networks, by routers: what the programs make of a packet."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.bpf import wire
from tests.bpf.overlay import HUGO, coming, endpoint_at, vxlan
from tests.bpf.overlay import connect as connect_hosts
from tests.bpf.routers import (
    NETWORKS,
    R1,
    R2,
    R2_MAC,
    by_mac,
    connect,
    connected,
    error,
    hop,
    own_mac,
    put,
    subnet,
    via,
)
from tests.bpf.test_routing import OUTSIDE4, OUTSIDE6, frame, routed
from tests.bpf.world import (
    ANN,
    BLUE,
    BOB,
    CYD,
    DAN,
    EVE,
    INA,
    INTERNAL,
    RED,
    ROUTED,
    WEFT0_MAC,
    Workload,
    World,
)
from weft.engine.ebpf.tables.routes import RouterTable
from weft.kernel.bpf.layouts import RouteKind
from weft.model.service_addresses import GATEWAY_MAC

BOTH = pytest.mark.parametrize("family", [4, 6])
TIME_EXCEEDED, UNREACHABLE = (11, 3), (3, 1)


@pytest.fixture
def routers(world: World) -> World:
    """R1 is the gateway of RED and BLUE."""
    connect(world, R1, RED, BLUE)
    return world


def address(workload: Workload, family: int) -> str:
    return workload.ipv4 if family == 4 else workload.ipv6


def gateway(vni: int, family: int) -> str:
    """Of the first subnet."""
    return next(g for g in NETWORKS[vni].values() if (":" in g) == (family == 6))


def datagram(sender: Workload, destination: str, ports: tuple[int, int], **facts: str) -> bytes:
    body = wire.udp(sender.ipv4, destination, ports)
    packet = wire.ipv4(sender.ipv4, destination, wire.UDP, body)
    return wire.ether(facts.get("to_mac", GATEWAY_MAC), sender.mac, wire.IPV4, packet)


@BOTH
@pytest.mark.parametrize("ttl", [255, 64, 2])
def test_to_another_network_on_this_host(routers: World, family: int, ttl: int) -> None:
    destination = address(DAN, family)
    expected = frame(DAN.mac, GATEWAY_MAC, ANN, destination, ttl - 1)
    assert routers.send(ANN, routed(ANN, destination, ttl=ttl)) == (DAN.device, "", expected)
    assert routers.counters(DAN.device).rx_packets == 1
    back = frame(ANN.mac, GATEWAY_MAC, DAN, address(ANN, family), 63)
    assert routers.send(DAN, routed(DAN, address(ANN, family))) == (ANN.device, "", back)


def test_inside_a_network_nothing_changes(routers: World) -> None:
    expected = frame(CYD.mac, GATEWAY_MAC, ANN, CYD.ipv4, 63)
    assert routers.send(ANN, routed(ANN, CYD.ipv4)) == (CYD.device, "", expected)
    assert routers.send(ANN, routed(ANN, "10.1.0.200"))[:2] == ("", "unknown_address")


@BOTH
def test_to_another_host_it_goes_as_the_other_networks(routers: World, family: int) -> None:
    connect_hosts(routers)
    far = "10.2.0.77" if family == 4 else "fd00:2::77"
    mac = "02:00:00:00:01:77"
    routers.add_address(BLUE, far, endpoint_at(HUGO.tag, mac))
    outcome = routers.send(ANN, routed(ANN, far))
    assert outcome[:2] == ("uplink", "")
    inner = frame(mac, GATEWAY_MAC, ANN, far, 63)
    assert outcome.packet.endswith(inner)
    header = outcome.packet[-len(inner) - 8 : -len(inner)]
    assert int.from_bytes(header[4:7], "big") == BLUE


@BOTH
def test_what_no_router_knows_goes_where_it_went(routers: World, family: int) -> None:
    outside = OUTSIDE4 if family == 4 else OUTSIDE6
    sent = routed(ANN, outside)
    assert routers.send(ANN, sent) == ("weft0", "", wire.mac_bytes(WEFT0_MAC) + sent[6:])
    lost = routed(ANN, INA.ipv6)
    told = error(ANN.mac, lost, UNREACHABLE, 0, gateway(RED, 6))
    assert routers.send(ANN, lost) == (ANN.device, "isolated", told)


def test_a_network_of_other_routers_stays_apart(routers: World) -> None:
    """INTERNAL has Bob's addresses as well."""
    connect(routers, R2, INTERNAL)
    assert routers.send(INA, routed(INA, DAN.ipv6))[:2] == (INA.device, "isolated")
    assert routers.send(INA, routed(INA, OUTSIDE6))[:2] == (INA.device, "internal")
    assert routers.send(DAN, routed(DAN, BOB.ipv4)).target == BOB.device


@BOTH
def test_the_hop_limit_runs_out(routers: World, family: int) -> None:
    sent = routed(ANN, address(DAN, family), ttl=1)
    told = error(ANN.mac, sent, TIME_EXCEEDED, 0, gateway(RED, family))
    assert routers.send(ANN, sent) == (ANN.device, "ttl", told)
    assert routers.counters(ANN.device).drops == {"ttl": 1}


@BOTH
def test_nobody_has_the_address(routers: World, family: int) -> None:
    sent = routed(ANN, "10.2.0.200" if family == 4 else "fd00:2::200")
    code = 1 if family == 4 else 3
    told = error(ANN.mac, sent, UNREACHABLE, code, gateway(RED, family))
    assert routers.send(ANN, sent) == (ANN.device, "unknown_address", told)


def test_errors_are_about_packets_of_any_size(routers: World) -> None:
    for size in (0, 11, 12, 39, 40, 200):
        body = wire.udp(ANN.ipv4, DAN.ipv4, (4000, 5000), bytes(size))
        packet = wire.ipv4(ANN.ipv4, DAN.ipv4, wire.UDP, body, ttl=1)
        sent = wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, packet)
        told = error(ANN.mac, sent, TIME_EXCEEDED, 0, "10.1.0.1")
        assert routers.send(ANN, sent) == (ANN.device, "ttl", told), size
    for size in (0, 11, 12, 79, 80, 200):
        body = wire.udp(ANN.ipv6, DAN.ipv6, (4000, 5000), bytes(size))
        packet = wire.ipv6(ANN.ipv6, DAN.ipv6, wire.UDP, body, hop_limit=1)
        sent = wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV6, packet)
        told = error(ANN.mac, sent, TIME_EXCEEDED, 0, "fd00:1::1")
        assert routers.send(ANN, sent) == (ANN.device, "ttl", told), size


def test_no_errors_about_errors_or_later_fragments(routers: World) -> None:
    complaint = wire.ipv4(ANN.ipv4, DAN.ipv4, wire.ICMP, wire.icmp(3, bytes(40)), ttl=1)
    fragment = wire.ipv4(ANN.ipv4, DAN.ipv4, wire.UDP, bytes(64), ttl=1, fragment=8)
    for packet in (complaint, fragment):
        sent = wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, packet)
        assert routers.send(ANN, sent)[:2] == ("", "ttl")


def test_errors_are_rate_limited(routers: World) -> None:
    sent = routed(ANN, DAN.ipv4, ttl=1)
    targets = Counter(routers.send(ANN, sent).target for _ in range(60))
    assert 50 <= targets[ANN.device] < 60
    assert targets[ANN.device] + targets[""] == 60


@BOTH
def test_addresses_of_routers_answer_ping(routers: World, family: int) -> None:
    far = gateway(BLUE, family)
    if family == 4:
        packet = wire.ipv4(ANN.ipv4, far, wire.ICMP, wire.icmp(8), ttl=1)
        reply = wire.ipv4(far, ANN.ipv4, wire.ICMP, wire.icmp(0))
    else:
        packet = wire.ipv6(ANN.ipv6, far, wire.ICMPV6, wire.echo6(ANN.ipv6, far), hop_limit=1)
        reply = wire.ipv6(far, ANN.ipv6, wire.ICMPV6, wire.echo6(far, ANN.ipv6, 129))
    kind = wire.IPV4 if family == 4 else wire.IPV6
    sent = wire.ether(GATEWAY_MAC, ANN.mac, kind, packet)
    expected = wire.ether(ANN.mac, GATEWAY_MAC, kind, reply)
    assert routers.send(ANN, sent) == (ANN.device, "", expected)
    assert routers.send(ANN, routed(ANN, far))[:2] == ("", "unknown_address")


@BOTH
def test_through_a_port_that_routes(routers: World, family: int) -> None:
    prefix, beyond = ("192.0.2.0/24", "192.0.2.9") if family == 4 else ("fd99::/64", "fd99::9")
    via(routers, R1, prefix, hop(BLUE, address(DAN, family)))
    expected = frame(DAN.mac, GATEWAY_MAC, ANN, beyond, 63)
    assert routers.send(ANN, routed(ANN, beyond)) == (DAN.device, "", expected)


@BOTH
def test_through_a_second_router(world: World, family: int) -> None:
    """Each is seen by who counts hops."""
    connect(world, R1, RED)
    connected(world, R2, NETWORK_OF_BLUE[family], BLUE)
    second = "10.1.0.250" if family == 4 else "fd00:1::250"
    via(world, R1, NETWORK_OF_BLUE[family], hop(RED, second, R2))
    destination = address(DAN, family)
    expected = frame(DAN.mac, GATEWAY_MAC, ANN, destination, 62)
    assert world.send(ANN, routed(ANN, destination)) == (DAN.device, "", expected)
    for ttl, router in ((1, gateway(RED, family)), (2, second)):
        sent = routed(ANN, destination, ttl=ttl)
        told = error(ANN.mac, sent, TIME_EXCEEDED, 0, router)
        assert world.send(ANN, sent) == (ANN.device, "ttl", told)
    assert world.send(ANN, routed(ANN, destination, ttl=3)).target == DAN.device


NETWORK_OF_BLUE = {4: "10.2.0.0/24", 6: "fd00:2::/64"}


def test_a_second_router_without_a_route_says_so(routers: World) -> None:
    via(routers, R1, "192.0.2.0/24", hop(RED, "10.1.0.250", R2))
    sent = routed(ANN, "192.0.2.9")
    told = error(ANN.mac, sent, UNREACHABLE, 0, "10.1.0.250")
    assert routers.send(ANN, sent) == (ANN.device, "no_route", told)


def test_routers_in_a_circle(routers: World) -> None:
    via(routers, R1, "192.0.2.0/24", hop(RED, "10.1.0.250", R2))
    via(routers, R2, "192.0.2.0/24", hop(RED, "10.1.0.1", R1))
    assert routers.send(ANN, routed(ANN, "192.0.2.9"))[:2] == (ANN.device, "ttl")


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (RouteKind.ROUTE_DROPPED, ("", "no_route")),
        (RouteKind.ROUTE_UNREACHABLE, (ANN.device, "unknown_address")),
    ],
)
def test_routes_that_lead_nowhere(
    routers: World, kind: RouteKind, outcome: tuple[str, str]
) -> None:
    put(routers, R1, "192.0.2.0/24", kind)
    assert routers.send(ANN, routed(ANN, "192.0.2.9"))[:2] == outcome
    assert routers.send(ANN, routed(ANN, OUTSIDE4)).target == "weft0"


def test_the_longest_prefix_holds(routers: World) -> None:
    put(routers, R1, "0.0.0.0/0", RouteKind.ROUTE_DROPPED)
    via(routers, R1, "10.2.0.14/32", hop(RED, BOB.ipv4))
    assert routers.send(ANN, routed(ANN, DAN.ipv4)).target == BOB.device
    assert routers.send(ANN, routed(ANN, OUTSIDE4))[:2] == ("", "no_route")
    assert routers.send(ANN, routed(ANN, OUTSIDE6)).target == "weft0"


def test_a_table_for_a_source(routers: World) -> None:
    chooser, special = RouterTable(7, is_of_sources=True), RouterTable(8)
    for cidr, gateway_address in NETWORKS[RED].items():
        subnet(routers, RED, cidr, gateway_address, chooser)
    put(routers, chooser, "0.0.0.0/0", RouteKind.ROUTE_SOURCE, table=R1.number)
    put(routers, chooser, "10.1.0.11/32", RouteKind.ROUTE_SOURCE, table=8)
    via(routers, special, "0.0.0.0/0", hop(BLUE, DAN.ipv4))
    assert routers.send(ANN, routed(ANN, OUTSIDE4)).target == DAN.device
    assert routers.send(BOB, routed(BOB, OUTSIDE4)).target == "weft0"
    assert routers.send(BOB, routed(BOB, DAN.ipv4)).target == DAN.device
    assert routers.send(ANN, routed(ANN, DAN.ipv6)).reason == "isolated", "no table of IPv6"


def test_a_route_for_all_of_ipv6_is_none_for_ipv4(routers: World) -> None:
    put(routers, R1, "::/0", RouteKind.ROUTE_DROPPED)
    assert routers.send(ANN, routed(ANN, OUTSIDE6))[:2] == ("", "no_route")
    assert routers.send(ANN, routed(ANN, OUTSIDE4)).target == "weft0"


def hops_of(world: World, flows: int = 200) -> dict[int, str]:
    """By source port, where the flow went."""
    return {
        port: world.send(ANN, datagram(ANN, "192.0.2.9", (port, 5000))).target
        for port in range(1000, 1000 + flows)
    }


def test_flows_are_spread_and_each_keeps_its_next_hop(routers: World) -> None:
    hops = [hop(RED, BOB.ipv4), hop(RED, CYD.ipv4), hop(BLUE, DAN.ipv4), hop(RED, EVE.ipv4)]
    via(routers, R1, "192.0.2.0/24", *hops)
    before = hops_of(routers)
    shares = Counter(before.values())
    assert shares.keys() == {BOB.device, CYD.device, DAN.device, EVE.device}
    assert min(shares.values()) >= 25
    assert hops_of(routers) == before
    via(routers, R1, "192.0.2.0/24", *hops[:2], hops[3])
    after = hops_of(routers)
    assert all(after[port] == target for port, target in before.items() if target != DAN.device)
    assert DAN.device not in after.values()
    via(routers, R1, "192.0.2.0/24", *reversed(hops))
    assert hops_of(routers) == before, "the order says nothing"


def test_pieces_of_a_packet_go_the_same_way(routers: World) -> None:
    hops = [hop(RED, BOB.ipv4), hop(RED, CYD.ipv4), hop(BLUE, DAN.ipv4)]
    via(routers, R1, "192.0.2.0/24", *hops)
    targets = set()
    for fragment in (0x2000, 8, 16):
        packet = wire.ipv4(ANN.ipv4, "192.0.2.9", wire.UDP, bytes(range(64)), fragment=fragment)
        sent = wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, packet)
        targets.add(routers.send(ANN, sent).target)
    assert len(targets) == 1


def test_what_a_port_passes_on_for_others(routers: World) -> None:
    """Its source is in no subnet: the network's own router decides."""
    source = ROUTED.replace("0/24", "9")
    sent = routed(ANN, DAN.ipv4, source="10.9.0.9")
    routers.allow(ANN, "10.9.0.0/24")
    assert routers.send(ANN, sent)[:2] == ("", "isolated")
    by_mac(routers, RED, GATEWAY_MAC, R1)
    assert routers.send(ANN, sent).target == DAN.device
    assert routers.send(ANN, routed(ANN, OUTSIDE4, source="10.9.0.9")).reason == "spoofed_address"
    assert routers.send(ANN, routed(ANN, DAN.ipv4, source=source)).reason == "isolated"


def test_a_router_that_is_no_gateway(world: World) -> None:
    connected(world, R2, "10.2.0.0/24", BLUE)
    own_mac(world, RED, R2_MAC, R2, "10.1.0.250", "fd00:1::250")
    sent = frame(R2_MAC, ANN.mac, ANN, DAN.ipv4, 64)
    expected = frame(DAN.mac, GATEWAY_MAC, ANN, DAN.ipv4, 63)
    assert world.send(ANN, sent) == (DAN.device, "", expected)
    assert world.send(ANN, routed(ANN, DAN.ipv4)).reason == "isolated"
    to_cyd = frame(R2_MAC, ANN.mac, ANN, CYD.ipv4, 64)
    assert world.send(ANN, to_cyd).target == CYD.device


def test_neighbours_find_a_router_that_is_no_gateway(world: World) -> None:
    own_mac(world, RED, R2_MAC, R2, "10.1.0.250", "fd00:1::250")
    for destination in (wire.BROADCAST, R2_MAC):
        request = wire.arp(1, ANN.mac, ANN.ipv4, "10.1.0.250", destination=destination)
        reply = wire.arp(
            2, R2_MAC, "10.1.0.250", ANN.ipv4, ANN.mac, destination=ANN.mac, source=R2_MAC
        )
        assert world.send(ANN, request) == (ANN.device, "", reply)
    told = wire.na(ANN.mac, R2_MAC, "fd00:1::250", ANN.ipv6, "fd00:1::250", 0xE0)
    assert world.send(ANN, wire.ns(ANN.mac, ANN.ipv6, "fd00:1::250")) == (ANN.device, "", told)
    packet = wire.ipv4(ANN.ipv4, "10.1.0.250", wire.ICMP, wire.icmp(8))
    sent = wire.ether(R2_MAC, ANN.mac, wire.IPV4, packet)
    assert world.send(ANN, sent).target == ANN.device


def test_the_hosts_own_place_on_another_network_is_not_reached(routers: World) -> None:
    assert routers.send(DAN, routed(DAN, "10.1.0.99"))[:2] == (DAN.device, "unknown_address")


def test_a_forged_source_is_not_routed(routers: World) -> None:
    assert routers.send(ANN, routed(ANN, DAN.ipv4, source=BOB.ipv4)).reason == "spoofed_address"


@BOTH
def test_too_large_for_the_way_to_another_host(routers: World, family: int) -> None:
    connect_hosts(routers, mtu=1300)
    far = "10.2.0.77" if family == 4 else "fd00:2::77"
    routers.add_address(BLUE, far, endpoint_at(HUGO.tag, "02:00:00:00:01:77"))
    body = wire.udp(address(ANN, family), far, (4000, 5000), bytes(1350))
    packet = (
        wire.ipv4(ANN.ipv4, far, wire.UDP, body)
        if family == 4
        else wire.ipv6(ANN.ipv6, far, wire.UDP, body)
    )
    kind = wire.IPV4 if family == 4 else wire.IPV6
    outcome = routers.send(ANN, wire.ether(GATEWAY_MAC, ANN.mac, kind, packet))
    assert outcome[:2] == (ANN.device, "too_big")


@BOTH
def test_too_large_for_the_network_where_it_is_for(routers: World, family: int) -> None:
    cidr = NETWORK_OF_BLUE[family]
    put(routers, R1, cidr, RouteKind.ROUTE_CONNECTED, vni=BLUE, mtu_bytes=1280)
    for size, outcome in ((1200, (DAN.device, "")), (1300, (ANN.device, "too_big"))):
        body = wire.udp(address(ANN, family), address(DAN, family), (4000, 5000), bytes(size))
        packet = (
            wire.ipv4(ANN.ipv4, DAN.ipv4, wire.UDP, body)
            if family == 4
            else wire.ipv6(ANN.ipv6, DAN.ipv6, wire.UDP, body)
        )
        kind = wire.IPV4 if family == 4 else wire.IPV6
        sent = wire.ether(GATEWAY_MAC, ANN.mac, kind, packet)
        assert routers.send(ANN, sent)[:2] == outcome


def test_what_arrives_is_of_its_own_network(routers: World) -> None:
    """The sender's host has routed it."""
    connect_hosts(routers)
    inner = frame(DAN.mac, GATEWAY_MAC, ANN, DAN.ipv4, 63, "10.1.0.101")
    outcome = routers.arrive(coming(HUGO, 4, vxlan(BLUE, inner)))
    assert outcome == (DAN.device, "", inner)
