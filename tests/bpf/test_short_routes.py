"""Routed packets of connections that stand take the short way, as long as nothing has changed of
what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from tests.bpf import wire
from tests.bpf.judged import ACK, segment
from tests.bpf.overlay import HUGO, coming, set_tunnel, vxlan
from tests.bpf.routed import (
    ALL,
    BEYOND,
    EVE,
    IDA,
    PREFIX,
    R1,
    R2,
    B,
    R,
    Routed,
    Way,
    address,
    port,
    route,
    router_port,
    subnet,
)
from tests.bpf.test_enforcement import emptied
from tests.bpf.world import ANN, BLUE, BOB, CYD, DAN, RED, Workload, World
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import FlowFlag
from weft.model.addresses import ip_address
from weft.model.choices import Action, Direction
from weft.model.ids import (
    MacAddress,
    NetworkId,
    RouterPortId,
    RouterRouteId,
    RuleId,
    Vni,
)
from weft.model.records import (
    AllowedAddress,
    Network,
    Peer,
    Port,
    Router,
    RouterPort,
    RouterRoute,
    SecurityRule,
)
from weft.model.records.tenants import tenant_id
from weft.model.service_addresses import GATEWAY_MAC
from weft.store.interface import Delete

VERSIONS = pytest.mark.parametrize("version", [4, 6])
RECEIVERS = {"another network": DAN, "there on another host": IDA, "another subnet": CYD}
Change = Callable[[Routed, int], None]


@pytest.fixture
def routed(world: World) -> Iterator[Routed]:
    for enforced in emptied(world):
        yield Routed(enforced)


def target_of(receiver: Workload) -> str:
    return receiver.device or "uplink"


@VERSIONS
@pytest.mark.parametrize("protocol", [wire.TCP, wire.UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("receiver", RECEIVERS.values(), ids=RECEIVERS)
def test_a_packet_arrives_as_by_the_long_way(
    routed: Routed, version: int, receiver: Workload, protocol: int
) -> None:
    way = Way(ANN, address(receiver, version), protocol=protocol)
    expected = routed.long_way(way)
    assert expected.target == target_of(receiver)
    routed.send(way)
    answer(routed, way, receiver)
    before = routed.entry(way)
    assert before.flags & FlowFlag.FLOW_SHORT
    assert before.hops == 1
    received = routed.world.counters(receiver.device).rx_packets if receiver.device else 0
    for hop_limit in (64, 255, 2):
        each = way._replace(hop_limit=hop_limit)
        assert routed.send(each) == routed.long_way(each)
    after = routed.entry(way)
    assert after.packets == before.packets + 3
    assert after.octets == before.octets + 3 * len(way.packet)
    if receiver.device:
        assert routed.world.counters(receiver.device).rx_packets == received + 6


def answer(routed: Routed, way: Way, receiver: Workload) -> Way:
    """What comes back; afterwards both directions stand."""
    back = Way(receiver, way.from_address, protocol=way.protocol, ports=way.ports[::-1])
    if receiver.device:
        routed.send(back)
        return back
    frame = back.packet
    arriving = frame[:6] + wire.mac_bytes(GATEWAY_MAC) + frame[12:]
    arriving = wire.mac_bytes(way.sender.mac) + arriving[6:]
    assert routed.world.arrive(coming(HUGO, 4, vxlan(way.sender.vni, arriving))).target
    return back


@VERSIONS
@pytest.mark.parametrize("receiver", [DAN, CYD], ids=["another network", "another subnet"])
def test_answers_take_it_from_their_second_packet_on(
    routed: Routed, version: int, receiver: Workload
) -> None:
    way = Way(ANN, address(receiver, version), protocol=wire.UDP)
    routed.send(way)
    back = answer(routed, way, receiver)
    entry = routed.entry(back)
    assert entry.hops == 1
    assert entry.flags & FlowFlag.FLOW_SHORT
    assert entry.flags & FlowFlag.FLOW_ANSWERS
    assert entry.packets == 1
    assert routed.send(back) == routed.long_way(back)
    assert routed.entry(back).packets == 2


@VERSIONS
def test_what_has_come_from_another_host_is_answered_by_it(routed: Routed, version: int) -> None:
    asked = Way(IDA, address(ANN, version)).packet
    asked = wire.mac_bytes(ANN.mac) + wire.mac_bytes(GATEWAY_MAC) + asked[12:]
    assert routed.world.arrive(coming(HUGO, 4, vxlan(RED, asked))).target == ANN.device
    back = Way(ANN, address(IDA, version), ports=(80, 4000))
    expected = routed.long_way(back)
    assert expected.target == "uplink"
    routed.stands(back)
    assert routed.send(back) == expected


@VERSIONS
def test_through_several_routers(routed: Routed, version: int) -> None:
    """Red has one router, blue another one, and they meet on a third network."""
    own = ("10.9.0.1", "fd00:9::1"), ("10.9.0.2", "fd00:9::2")
    routed.change(Delete(RouterPort, RouterPortId(f"{R1} {B}")))
    routed.put(
        Network(id=NetworkId("transit"), name="transit", vni=Vni(40)),
        subnet(NetworkId("transit"), "10.9.0.0/24"),
        subnet(NetworkId("transit"), "fd00:9::/64"),
        Router(id=R2, name="r2"),
        router_port(R1, NetworkId("transit"), *own[0]),
        router_port(R2, NetworkId("transit"), *own[1]),
        router_port(R2, B, "10.2.0.1", "fd00:2::1"),
        *(route(cidr, hop) for cidr, hop in zip(("10.2.0.0/24", "fd00:2::/64"), own[1])),
        *(route(cidr, hop, router=R2) for cidr, hop in zip(("10.1.0.0/24", "fd00:1::/64"), own[0])),
    )
    way = Way(ANN, address(DAN, version))
    assert routed.stands(way).target == DAN.device
    assert routed.entry(way).hops == 2
    assert routed.send(way) == routed.long_way(way)
    last = way._replace(hop_limit=3)
    assert routed.send(last).packet[22 if version == 4 else 21] == 1
    short = way._replace(hop_limit=2)
    assert routed.send(short)[:2] == (ANN.device, "ttl")
    assert routed.send(short)[:2] == routed.long_way(short)[:2]


@VERSIONS
@pytest.mark.parametrize("hop_limit", [0, 1])
def test_who_has_no_hop_left_is_told(routed: Routed, version: int, hop_limit: int) -> None:
    way = Way(ANN, address(DAN, version))
    routed.stands(way)
    outcome = routed.send(way._replace(hop_limit=hop_limit))
    assert outcome[:2] == (ANN.device, "ttl")


@VERSIONS
def test_checksums_of_all_hop_limits(routed: Routed, version: int) -> None:
    """The sum of an IPv4 header wraps at some of them."""
    way = Way(ANN, address(DAN, version))
    routed.stands(way)
    for hop_limit in range(2, 256):
        each = way._replace(hop_limit=hop_limit)
        outcome = routed.send(each)
        assert outcome == routed.long_way(each)
        assert version == 6 or wire.checksum(outcome.packet[14:34]) == 0


@VERSIONS
@pytest.mark.parametrize("gso_size", [0, 1300])
def test_too_large_for_the_network_where_it_leads(
    routed: Routed, version: int, gso_size: int
) -> None:
    routed.put(Network(id=B, name="blue", vni=Vni(BLUE), mtu_bytes=1280))
    way = Way(ANN, address(DAN, version))
    routed.stands(way)
    small, large = (way._replace(size=size) for size in (1280 - 60, 1280 - 39))
    if gso_size:
        large = way._replace(size=2600)
        packet = large.packet
        assert routed.world.send(ANN, packet, gso_size).reason == "too_big"
        assert routed.world.send(ANN, packet, 1200).target == DAN.device
        return
    assert routed.send(small).target == DAN.device
    assert routed.send(large)[:2] == (ANN.device, "too_big")


@VERSIONS
def test_too_large_for_the_way_to_another_host(routed: Routed, version: int) -> None:
    way = Way(ANN, address(IDA, version))
    routed.stands(way)
    set_tunnel(routed.world, HUGO, mtu=1300)
    assert routed.send(way._replace(size=1200)).target == "uplink"
    assert routed.send(way._replace(size=1290))[:2] == (ANN.device, "too_big")


def test_pieces_and_options_take_the_long_way(routed: Routed) -> None:
    way = Way(ANN, DAN.ipv4)
    routed.stands(way)
    payload = wire.tcp(ANN.ipv4, DAN.ipv4, way.ports, bytes(24), ACK)
    for fragment in (0x2000, 0x0003):
        packet = wire.ipv4(ANN.ipv4, DAN.ipv4, wire.TCP, payload[:24], fragment=fragment)
        frame = wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, packet)
        before = routed.entry(way).packets
        assert routed.world.send(ANN, frame).target == DAN.device
        assert routed.entry(way).packets == before + 1


@pytest.mark.parametrize("flags", [0x01, 0x04, 0x11, 0x14])
def test_what_ends_a_connection_takes_the_long_way(routed: Routed, flags: int) -> None:
    way = Way(ANN, DAN.ipv4)
    routed.stands(way)
    frame = segment(ANN, DAN, flags, way.ports, mac=GATEWAY_MAC)
    assert routed.world.send(ANN, frame).target == DAN.device
    assert routed.entry(way).state > layouts.FlowState.FLOW_ESTABLISHED


@VERSIONS
def test_names_are_asked_for_where_they_were(routed: Routed, version: int) -> None:
    """Whether weftd takes a query to a resolver is not known before, wherever a router leads."""
    routed.put(route(PREFIX[version], address(DAN, version)))
    way = Way(ANN, BEYOND[version], protocol=wire.UDP, ports=(4000, 53))
    routed.send(way)
    assert not routed.entry(way).target
    assert routed.send(way) == routed.long_way(way)


@VERSIONS
def test_never_to_addresses_that_are_not_routed(routed: Routed, version: int) -> None:
    everywhere, nowhere = ("0.0.0.0/0", "127.0.0.1") if version == 4 else ("::/0", "ff05::9")
    routed.put(route(everywhere, address(DAN, version)))
    way = Way(ANN, nowhere)
    assert [routed.send(way)[:2] for _ in range(2)] == [("", "reserved")] * 2


def is_elsewhere(routed: Routed, version: int) -> None:
    """Dan is on the other host now."""
    routed.put(port(DAN, host_id=port(IDA).host_id))


def has_another_mac(routed: Routed, version: int) -> None:
    routed.put(port(DAN, mac=MacAddress("02:00:00:00:77:77")))


def is_gone(routed: Routed, version: int) -> None:
    routed.change(Delete(Port, port(DAN).id))


def is_gone_and_another_came(routed: Routed, version: int) -> None:
    routed.change(Delete(Port, port(DAN).id))
    routed.put(port(EVE, addresses=port(DAN).addresses))


def has_no_router(routed: Routed, version: int) -> None:
    routed.change(Delete(RouterPort, RouterPortId(f"{R1} {B}")))


def is_another_tenants(routed: Routed, version: int) -> None:
    routed.put(Network(id=B, name="blue", vni=Vni(BLUE), tenant_id=tenant_id("acme")))


def takes_less(routed: Routed, version: int) -> None:
    routed.put(Network(id=B, name="blue", vni=Vni(BLUE), mtu_bytes=1280))


def is_forbidden(routed: Routed, version: int) -> None:
    routed.put(rule(Direction.EGRESS))


def is_not_let_in(routed: Routed, version: int) -> None:
    routed.put(rule(Direction.INGRESS))


def rule(direction: Direction) -> SecurityRule:
    return SecurityRule(
        id=RuleId("00000000-0000-4000-8000-000000000301"),
        group_id=ALL,
        direction=direction,
        action=Action.DROP,
        peer=Peer(),
    )


def has_a_nearer_route(routed: Routed, version: int) -> None:
    """To Eve, who is beside Dan."""
    bits = 32 if version == 4 else 128
    routed.put(route(f"{address(DAN, version)}/{bits}", address(EVE, version)))


def is_within_the_senders_network(routed: Routed, version: int) -> None:
    routed.put(subnet(R, "10.2.0.0/25" if version == 4 else "fd00:2::/96"))


def has_no_gateway_any_more(routed: Routed, version: int) -> None:
    cidr = "10.1.0.0/24" if version == 4 else "fd00:1::/64"
    routed.put(subnet(R, cidr))


def is_checked_for_another_mac(routed: Routed, version: int) -> None:
    routed.put(port(ANN, mac=MacAddress("02:00:00:00:88:88")))


def has_another_address(routed: Routed, version: int) -> None:
    routed.put(port(ANN, addresses=tuple(map(ip_address, ("10.1.0.88", "fd00:1::88")))))


CHANGES: dict[Change, tuple[str, str]] = {
    is_elsewhere: ("uplink", ""),
    has_another_mac: (DAN.device, ""),
    is_gone: (ANN.device, "unknown_address"),
    is_gone_and_another_came: (EVE.device, ""),
    has_no_router: (ANN.device, "isolated"),
    is_another_tenants: (ANN.device, "isolated"),
    takes_less: (ANN.device, "too_big"),
    is_forbidden: ("", "policy"),
    is_not_let_in: ("", "policy"),
    has_a_nearer_route: (EVE.device, ""),
    is_within_the_senders_network: ("", "unknown_address"),
    has_no_gateway_any_more: ("", "isolated"),
    is_checked_for_another_mac: ("", "spoofed_mac"),
    has_another_address: ("", "spoofed_address"),
}


@VERSIONS
@pytest.mark.parametrize("is_restarted", [False, True], ids=["", "after a restart of weftd"])
@pytest.mark.parametrize(
    ("change", "expected"), CHANGES.items(), ids=[each.__name__ for each in CHANGES]
)
def test_what_changes_is_heeded(
    routed: Routed, version: int, change: Change, expected: tuple[str, str], is_restarted: bool
) -> None:
    size = 1280 if change is takes_less else 0
    way = Way(ANN, address(DAN, version), size=size)
    former = routed.stands(way)
    assert former.target == DAN.device
    if is_restarted:
        routed.restart()
    change(routed, version)
    for _ in range(2):
        outcome = routed.send(way)
        assert outcome != former
        assert outcome[:2] == expected
    if not outcome.reason:
        assert outcome == routed.long_way(way)


@VERSIONS
def test_a_move_back_is_heeded_too(routed: Routed, version: int) -> None:
    way = Way(ANN, address(DAN, version))
    here = routed.stands(way)
    is_elsewhere(routed, version)
    assert routed.stands(way).target == "uplink"
    routed.put(port(DAN))
    assert routed.stands(way) == here


class Beyond(NamedTuple):
    """Behind ports that route."""

    routed: Routed
    way: Way
    version: int

    def lead(self, *hops: Workload) -> None:
        addresses = (address(each, self.version) for each in hops)
        self.routed.put(route(PREFIX[self.version], *addresses))


def plain(workload: Workload, **facts: object) -> Port:
    """Without rules, so that no number of its rules is raised with what else becomes of it."""
    return port(workload, groups=(), **facts)


@pytest.fixture(params=[4, 6])
def beyond(routed: Routed, request: pytest.FixtureRequest) -> Beyond:
    routed.put(plain(DAN), plain(EVE))
    made = Beyond(routed, Way(ANN, BEYOND[request.param]), request.param)
    made.lead(DAN)
    return made


def test_another_next_hop(beyond: Beyond) -> None:
    assert beyond.routed.stands(beyond.way).target == DAN.device
    beyond.lead(EVE)
    assert beyond.routed.stands(beyond.way).target == EVE.device


def test_the_next_hops_address_is_another_ports(beyond: Beyond) -> None:
    """What the route says is the same as before."""
    assert beyond.routed.stands(beyond.way).target == DAN.device
    spare = tuple(map(ip_address, ("10.2.0.77", "fd00:2::77")))
    beyond.routed.put(plain(DAN, addresses=spare), plain(EVE, addresses=port(DAN).addresses))
    assert beyond.routed.stands(beyond.way).target == EVE.device


def test_the_next_hop_has_another_mac(beyond: Beyond) -> None:
    beyond.routed.stands(beyond.way)
    beyond.routed.put(plain(DAN, mac=MacAddress("02:00:00:00:77:77")))
    assert beyond.routed.send(beyond.way).packet[:6] == bytes.fromhex("020000007777")


def test_the_next_hop_is_on_another_host_now(beyond: Beyond) -> None:
    beyond.routed.stands(beyond.way)
    beyond.routed.put(plain(DAN, host_id=port(IDA).host_id))
    assert beyond.routed.stands(beyond.way).target == "uplink"


def test_one_of_several_next_hops_goes(beyond: Beyond) -> None:
    """The other one takes its connections."""
    beyond.lead(DAN, EVE)
    chosen = beyond.routed.stands(beyond.way).target
    gone, left = (DAN, EVE) if chosen == DAN.device else (EVE, DAN)
    beyond.routed.change(Delete(Port, port(gone).id))
    assert beyond.routed.stands(beyond.way).target == left.device


def test_a_next_hop_more(beyond: Beyond) -> None:
    """Some connections go there, and the others stay."""
    ways = [beyond.way._replace(ports=(at, 80)) for at in range(5000, 5016)]
    for way in ways:
        assert beyond.routed.stands(way).target == DAN.device
    beyond.lead(DAN, EVE)
    assert {beyond.routed.send(way).target for way in ways} == {DAN.device, EVE.device}
    for way in ways:
        assert beyond.routed.send(way) == beyond.routed.long_way(way)


def test_the_route_goes(beyond: Beyond) -> None:
    beyond.routed.stands(beyond.way)
    kept = RouterRouteId(f"{R1} {PREFIX[beyond.version]}")
    beyond.routed.change(Delete(RouterRoute, kept))
    assert beyond.routed.send(beyond.way).target != DAN.device
    assert beyond.routed.send(beyond.way) == beyond.routed.long_way(beyond.way)


def test_a_route_for_the_senders_alone(beyond: Beyond) -> None:
    """A policy route comes."""
    beyond.routed.stands(beyond.way)
    source = ip_network(beyond.way.from_address)
    cidr = PREFIX[beyond.version]
    hop = address(EVE, beyond.version)
    beyond.routed.put(replace(route(cidr, hop), id=RouterRouteId("policy"), source=source))
    assert beyond.routed.stands(beyond.way).target == EVE.device


def test_a_connection_through_a_port_that_routes_is_answered_the_short_way(beyond: Beyond) -> None:
    """The answers come from a port whose address is not theirs."""
    beyond.routed.put(port(DAN, is_spoof_checked=False))
    beyond.routed.send(beyond.way)
    way = beyond.way
    back = Way(DAN, way.from_address, ports=way.ports[::-1], source=way.destination)
    assert beyond.routed.send(back).target == ANN.device
    assert beyond.routed.entry(back).hops == 1
    assert beyond.routed.send(back) == beyond.routed.long_way(back)


@VERSIONS
@pytest.mark.parametrize("receiver", [DAN, BOB], ids=["routed", "switched"])
def test_a_source_that_is_no_more_allowed(routed: Routed, version: int, receiver: Workload) -> None:
    source = "10.1.0.200" if version == 4 else "fd00:1::200"
    routed.put(port(ANN, allowed=(AllowedAddress(cidr=ip_network(source)),)))
    mac = GATEWAY_MAC if receiver is DAN else receiver.mac
    way = Way(ANN, address(receiver, version), source=source, mac=mac)
    for _ in range(2):
        assert routed.send(way).target == receiver.device
    assert routed.entry(way).flags & FlowFlag.FLOW_SHORT
    routed.put(port(ANN))
    assert routed.send(way)[:2] == ("", "spoofed_address")


@VERSIONS
@pytest.mark.parametrize("receiver", [DAN, BOB], ids=["routed", "switched"])
def test_a_sender_whose_sources_are_checked_from_now_on(
    routed: Routed, version: int, receiver: Workload
) -> None:
    source = "10.1.0.200" if version == 4 else "fd00:1::200"
    routed.put(port(ANN, is_spoof_checked=False))
    mac = GATEWAY_MAC if receiver is DAN else receiver.mac
    way = Way(ANN, address(receiver, version), source=source, mac=mac)
    for _ in range(2):
        assert routed.send(way).target == receiver.device
    routed.put(port(ANN))
    assert routed.send(way)[:2] == ("", "spoofed_address")


@VERSIONS
def test_a_way_that_has_become_another_hosts_is_none(routed: Routed, version: int) -> None:
    way = Way(ANN, address(IDA, version))
    routed.stands(way)
    tunnels = routed.world.plane.maps["tunnels_v2"]
    changed = {
        key: layouts.Tunnel.decode(raw)._replace(tag=99).encode()
        for key, raw in tunnels.read().items()
    }
    assert not tunnels.update(changed)
    assert routed.send(way)[:2] == ("", "no_tunnel")


@VERSIONS
def test_what_is_being_changed_is_not_relied_on(routed: Routed, version: int) -> None:
    """An entry that another program writes has no generation meanwhile."""
    way = Way(ANN, address(DAN, version))
    expected = routed.stands(way)
    name = f"flows{version}_v1"
    flows = routed.world.plane.maps[name]
    void = {
        key: layouts.Flow.decode(raw)
        ._replace(generation=0, target=routed.world.ifindexes[BOB.device])
        .encode()
        for key, raw in flows.read().items()
    }
    assert not flows.update(void)
    assert routed.send(way) == expected
