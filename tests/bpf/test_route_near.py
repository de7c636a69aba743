"""What a CPU keeps of where routed packets go is never older than the maps, and never more than the
packets have in common that it is kept for."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.bpf import wire
from tests.bpf.judged import ALLOW_ALL, Judged
from tests.bpf.overlay import HUGO, connect, encode, endpoint_at, remove_tunnel, set_tunnel
from tests.bpf.routers import NETWORKS, R1, R2, R2_MAC, hop, own_mac, put, subnet, via
from tests.bpf.routers import connect as connect_networks
from tests.bpf.test_dns import bound, query
from tests.bpf.test_router_packets import BOTH, address
from tests.bpf.test_routing import frame, routed
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
    RESOLVER4,
    Workload,
    World,
)
from weft.engine.ebpf.edition import OF_ROUTES
from weft.engine.ebpf.tables.routes import RouterTable
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import EndpointFlag, RouteKind
from weft.model.service_addresses import GATEWAY_MAC

pytestmark = pytest.mark.usefixtures("one_cpu")
FAR_MAC = "02:00:00:00:01:77"
FAR = {4: "10.2.0.77", 6: "fd00:2::77"}


@pytest.fixture
def routers(world: World) -> World:
    """R1 is the gateway of RED and BLUE."""
    connect_networks(world, R1, RED, BLUE)
    return world


def key_of(vni: int, destination: str) -> bytes:
    return layouts.AddressKey(vni, encode(destination)).encode()


def move_unsaid(world: World, vni: int, destination: str, to: Workload) -> None:
    """Another port has the address, and no program is told."""
    entry = {key_of(vni, destination): world.endpoint(to).encode()}
    assert not world.plane.maps["addresses_v1"].update(entry)


def set_edition(world: World, number: int) -> None:
    edition = layouts.Edition(number).encode()
    assert not world.plane.maps[OF_ROUTES].update({bytes(4): edition})


def target(world: World, destination: str, sender: Workload = ANN) -> str:
    return world.send(sender, routed(sender, destination)).target


@BOTH
@pytest.mark.parametrize("ttl", [255, 64, 2])
def test_the_second_packet_is_sent_on_like_the_first(routers: World, family: int, ttl: int) -> None:
    """To another network, to another subnet, and to another host."""
    connect(routers)
    routers.add_address(BLUE, FAR[family], endpoint_at(HUGO.tag, FAR_MAC))
    for destination in (address(DAN, family), address(CYD, family), FAR[family]):
        sent = routed(ANN, destination, ttl=ttl)
        first = routers.send(ANN, sent)
        assert first.target and first.reason == ""
        assert routers.send(ANN, sent) == first
        assert routers.send(ANN, routed(ANN, destination, ttl=ttl - 1)) != first
    assert routers.counters(DAN.device).rx_packets == (3 if ttl > 2 else 2)


@BOTH
def test_what_was_found_is_kept_until_weftd_says_so(routers: World, family: int) -> None:
    destination = address(DAN, family)
    assert target(routers, destination) == DAN.device
    move_unsaid(routers, BLUE, destination, BOB)
    assert target(routers, destination) == DAN.device, "or nothing is kept: this proves nothing"
    routers.tell_edition()
    assert target(routers, destination) == BOB.device


def test_nothing_is_kept_while_a_map_is_changed(routers: World) -> None:
    assert target(routers, DAN.ipv4) == DAN.device
    set_edition(routers, routers.edition + 1)
    assert target(routers, DAN.ipv4) == DAN.device
    move_unsaid(routers, BLUE, DAN.ipv4, BOB)
    assert target(routers, DAN.ipv4) == BOB.device
    move_unsaid(routers, BLUE, DAN.ipv4, DAN)
    routers.tell_edition()
    assert target(routers, DAN.ipv4) == DAN.device


@BOTH
def test_a_change_of_each_map_is_heard(routers: World, family: int) -> None:
    """Addresses, routes, subnets and routers."""
    destination = address(DAN, family)
    cidr = "10.2.0.14/32" if family == 4 else "fd00:2::14/128"
    assert target(routers, destination) == DAN.device
    via(routers, R1, cidr, hop(RED, address(BOB, family)))
    assert target(routers, destination) == BOB.device
    routers.add_address(RED, address(BOB, family), routers.endpoint(EVE))
    assert target(routers, destination) == EVE.device
    for prefix, gateway in NETWORKS[RED].items():
        subnet(routers, RED, prefix, gateway, R2)
    assert routers.send(ANN, routed(ANN, destination)).reason == "isolated"
    put(routers, R2, cidr, RouteKind.ROUTE_CONNECTED, vni=BLUE)
    assert target(routers, destination) == DAN.device


def test_the_hop_limit_is_each_packets_own(routers: World) -> None:
    assert target(routers, DAN.ipv4) == DAN.device
    assert routers.send(ANN, routed(ANN, DAN.ipv4, ttl=1))[:2] == (ANN.device, "ttl")
    assert routers.send(ANN, routed(ANN, DAN.ipv4, ttl=2))[:2] == (DAN.device, "")


def test_through_several_routers(world: World) -> None:
    """As many hops as there are routers."""
    connect_networks(world, R1, RED)
    connect_networks(world, R2, BLUE)
    own_mac(world, BLUE, R2_MAC, R1, "10.2.0.9")
    via(world, R1, "10.2.0.0/24", hop(RED, "10.1.0.9", R2))
    expected = frame(DAN.mac, GATEWAY_MAC, ANN, DAN.ipv4, 62)
    for _ in range(3):
        assert world.send(ANN, routed(ANN, DAN.ipv4)) == (DAN.device, "", expected)
        assert world.send(ANN, routed(ANN, DAN.ipv4, ttl=2)).reason == "ttl"


def test_the_size_is_each_packets_own(routers: World) -> None:
    put(routers, R1, "10.2.0.0/24", RouteKind.ROUTE_CONNECTED, vni=BLUE, mtu_bytes=1280)
    connect(routers, mtu=1300)
    put(routers, R1, "fd00:2::/64", RouteKind.ROUTE_CONNECTED, vni=BLUE)
    routers.add_address(BLUE, FAR[6], endpoint_at(HUGO.tag, FAR_MAC))
    for destination, there in ((DAN.ipv4, DAN.device), (FAR[6], "uplink")):
        for size, outcome in (
            (1000, (there, "")),
            (1350, (ANN.device, "too_big")),
            (1000, (there, "")),
        ):
            is_ipv4 = ":" not in destination
            source = ANN.ipv4 if is_ipv4 else ANN.ipv6
            body = wire.udp(source, destination, (4000, 5000), bytes(size))
            made = wire.ipv4 if is_ipv4 else wire.ipv6
            kind = wire.IPV4 if is_ipv4 else wire.IPV6
            packet = made(source, destination, wire.UDP, body)
            sent = wire.ether(GATEWAY_MAC, ANN.mac, kind, packet)
            assert routers.send(ANN, sent)[:2] == outcome


def test_who_sends_is_told_apart(routers: World) -> None:
    """By policy routes, each source has a way of its own."""
    chooser, special = RouterTable(7, is_of_sources=True), RouterTable(8)
    for cidr, gateway in NETWORKS[RED].items():
        subnet(routers, RED, cidr, gateway, chooser)
    put(routers, chooser, "0.0.0.0/0", RouteKind.ROUTE_SOURCE, table=R1.number)
    put(routers, chooser, "10.1.0.11/32", RouteKind.ROUTE_SOURCE, table=8)
    via(routers, special, "0.0.0.0/0", hop(RED, CYD.ipv4))
    for _ in range(3):
        assert target(routers, DAN.ipv4, ANN) == CYD.device
        assert target(routers, DAN.ipv4, BOB) == DAN.device


def test_which_router_it_is_sent_to_is_told_apart(routers: World) -> None:
    own_mac(routers, RED, R2_MAC, R2, "10.1.0.9")
    via(routers, R2, "10.2.0.0/24", hop(RED, CYD.ipv4))
    by_other = frame(R2_MAC, ANN.mac, ANN, DAN.ipv4, 64)
    for _ in range(3):
        assert target(routers, DAN.ipv4) == DAN.device
        assert routers.send(ANN, by_other).target == CYD.device


def test_networks_with_the_same_addresses_are_told_apart(world: World) -> None:
    """Bob's and Ina's are the same."""
    connect_networks(world, R1, RED, BLUE)
    connect_networks(world, R2, INTERNAL)
    world.add_address(INTERNAL, "10.1.0.1", layouts.Endpoint(flags=EndpointFlag.ENDPOINT_GATEWAY))
    subnet(world, INTERNAL, "10.1.0.0/24", "10.1.0.1", R2)
    via(world, R2, "10.2.0.0/24", hop(RED, CYD.ipv4))
    for _ in range(3):
        assert target(world, DAN.ipv4, BOB) == DAN.device
        assert target(world, DAN.ipv4, INA) == CYD.device


def test_flows_that_are_spread_are_not_kept(routers: World) -> None:
    hops = [hop(RED, BOB.ipv4), hop(RED, CYD.ipv4), hop(BLUE, DAN.ipv4), hop(RED, EVE.ipv4)]
    via(routers, R1, "192.0.2.0/24", *hops)

    def went(port: int) -> str:
        body = wire.udp(ANN.ipv4, "192.0.2.9", (port, 5000))
        packet = wire.ipv4(ANN.ipv4, "192.0.2.9", wire.UDP, body)
        return routers.send(ANN, wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, packet)).target

    first = {port: went(port) for port in range(1000, 1050)}
    assert len({*first.values()}) > 2
    assert {port: went(port) for port in first} == first


def test_queries_for_names_are_weftds_wherever_a_router_leads(routers: World) -> None:
    via(routers, R1, f"{RESOLVER4}/32", hop(RED, BOB.ipv4))
    for protocol, kind in ((wire.UDP, socket.SOCK_DGRAM), (wire.TCP, socket.SOCK_STREAM)):
        with bound(socket.AF_INET, kind):
            for _ in range(2):
                assert target(routers, RESOLVER4) == BOB.device
                sent = query(GATEWAY_MAC, ANN.mac, ANN.ipv4, RESOLVER4, protocol, (40000, 53))
                assert routers.send(ANN, sent).target == "weft0"


def unusual(name: str) -> bytes:
    ends = ANN.ipv4, DAN.ipv4
    made: dict[str, Callable[[], bytes]] = {
        "options": lambda: wire.ipv4(*ends, wire.TCP, wire.tcp(*ends, (1, 2)), options=bytes(4)),
        "first piece": lambda: wire.ipv4(*ends, wire.UDP, bytes(64), fragment=0x2000),
        "last piece": lambda: wire.ipv4(*ends, wire.UDP, bytes(64), fragment=8),
        "another protocol": lambda: wire.ipv4(*ends, 132, bytes(64)),
    }
    return wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, made[name]())


@pytest.mark.parametrize("name", ["options", "first piece", "last piece", "another protocol"])
def test_what_is_unusual_goes_there_as_well(routers: World, name: str) -> None:
    first = routers.send(ANN, unusual(name))
    assert first[:2] == (DAN.device, "")
    assert target(routers, DAN.ipv4) == DAN.device
    assert routers.send(ANN, unusual(name)) == first


def test_a_port_that_is_judged_is_asked(routers: World) -> None:
    """Before it was, packets went there, and what they found was kept; and afterwards they do."""
    assert target(routers, DAN.ipv4) == DAN.device
    judged = Judged(routers, RED, BLUE)
    judged.judge(DAN)
    judged.apply()
    assert routers.send(ANN, routed(ANN, DAN.ipv4))[:2] == ("", "policy")
    judged.spare(DAN)
    judged.apply()
    assert target(routers, DAN.ipv4) == DAN.device


def test_what_judged_ports_send_is_sent_on_too(routers: World) -> None:
    judged = Judged(routers, RED, BLUE)
    judged.judge(ANN, flags=ALLOW_ALL)
    judged.apply()
    expected = frame(DAN.mac, GATEWAY_MAC, ANN, DAN.ipv4, 63)
    for _ in range(3):
        assert routers.send(ANN, routed(ANN, DAN.ipv4)) == (DAN.device, "", expected)
    judged.judge(ANN)
    judged.apply()
    assert routers.send(ANN, routed(ANN, DAN.ipv4))[:2] == ("", "policy")


@BOTH
def test_a_host_to_which_no_way_is_known_any_more(routers: World, family: int) -> None:
    """Ways change without these maps."""
    connect(routers)
    routers.add_address(BLUE, FAR[family], endpoint_at(HUGO.tag, FAR_MAC))
    assert target(routers, FAR[family]) == "uplink"
    remove_tunnel(routers.plane.maps, HUGO.tag)
    assert routers.send(ANN, routed(ANN, FAR[family])).reason == "no_tunnel"
    set_tunnel(routers, HUGO)
    assert target(routers, FAR[family]) == "uplink"


def test_a_made_packet_takes_nothing_and_leaves_nothing(routers: World) -> None:
    routers.is_trial = True
    try:
        assert target(routers, DAN.ipv4) == DAN.device
        move_unsaid(routers, BLUE, DAN.ipv4, BOB)
        assert target(routers, DAN.ipv4) == BOB.device
    finally:
        routers.is_trial = False
    assert target(routers, DAN.ipv4) == BOB.device
    move_unsaid(routers, BLUE, DAN.ipv4, DAN)
    routers.is_trial = True
    try:
        assert target(routers, DAN.ipv4) == DAN.device
    finally:
        routers.is_trial = False


def test_forged_sources_are_never_routed(routers: World) -> None:
    """Whatever is kept for those who have them."""
    assert target(routers, DAN.ipv4, BOB) == DAN.device
    forged = routed(ANN, DAN.ipv4, source=BOB.ipv4)
    assert routers.send(ANN, forged).reason == "spoofed_address"


def test_whoever_shares_a_place_is_told_apart(routers: World) -> None:
    """More ways than there are places."""
    routers.allow(ANN, "10.1.0.0/16")
    for round in range(2):
        for last in range(2, 200, 7):
            for third in (0, 1):
                source = f"10.1.{third}.{last}"
                sent = routed(ANN, DAN.ipv4, source=source)
                there = routed(ANN, CYD.ipv4, source=source)
                assert routers.send(ANN, sent).target == DAN.device, round
                assert routers.send(ANN, there).target == CYD.device, round
