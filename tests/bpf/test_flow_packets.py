"""Which packets belong to a flow: pings, errors, fragments, odd protocols; and which do not."""

from __future__ import annotations

import struct
from ipaddress import ip_network

import pytest

from tests.bpf import wire
from tests.bpf.judged import (
    ALLOW_ALL,
    RST,
    SYN,
    SYN_ACK,
    Judged,
    datagram,
    echo,
    pieces,
    segment,
    unreachable,
)
from tests.bpf.rules import EGRESS, INGRESS, Cidr, Group, Rule, addresses_of
from tests.bpf.test_flows import (
    ALLOW,
    DENIED,
    DNS,
    HTTP,
    LET_IN,
    PING,
    VERSIONS,
    sent,
)
from tests.bpf.test_routing import frame
from tests.bpf.world import ANN, BOB, CYD, EVE, RED, World
from weft.engine.ebpf.policy.points import stretch
from weft.kernel.bpf import layouts
from weft.model.service_addresses import GATEWAY_MAC


@pytest.fixture
def judged(world: World) -> Judged:
    return Judged(world)


@VERSIONS
def test_ping_and_its_answers(judged: Judged, version: int) -> None:
    judged.judge(BOB, [1])
    judged.apply(Rule(6, 1, INGRESS, None, ALLOW, PING))
    answer = echo(BOB, ANN, version=version, is_answer=True)
    assert sent(judged, BOB, answer) == DENIED
    judged.age(2)
    assert sent(judged, ANN, echo(ANN, BOB, version=version)) == (BOB.device, "")
    assert sent(judged, BOB, answer) == (ANN.device, "")
    assert sent(judged, BOB, echo(BOB, ANN, version=version)) == DENIED, "that is another ping"


@VERSIONS
def test_errors_belong_to_the_flow_that_they_are_about(judged: Judged, version: int) -> None:
    judged.judge(ANN, [1])
    judged.judge(BOB, [2])
    judged.apply(
        Rule(5, 1, EGRESS, None, ALLOW, DNS),
        Rule(6, 2, INGRESS, None, ALLOW, DNS),
    )
    query = datagram(ANN, BOB, version=version)
    assert sent(judged, BOB, unreachable(BOB, ANN, query)) == DENIED, "about no flow"
    sent(judged, ANN, query)
    assert sent(judged, BOB, unreachable(BOB, ANN, query)) == (ANN.device, "")
    other = datagram(ANN, BOB, (4001, 53), version=version)
    assert sent(judged, BOB, unreachable(BOB, ANN, other)) == DENIED
    backwards = datagram(BOB, ANN, (53, 4000), version=version)
    assert sent(judged, ANN, unreachable(ANN, BOB, backwards)) == (BOB.device, "")
    told_another = unreachable(BOB, CYD, query)
    assert judged.world.send(BOB, told_another).reason == "policy"


@VERSIONS
def test_an_error_about_a_denied_flow_is_denied(judged: Judged, version: int) -> None:
    judged.judge(ANN, [1])
    judged.apply()
    query = datagram(ANN, BOB, version=version)
    assert sent(judged, ANN, query) == DENIED
    assert sent(judged, BOB, unreachable(BOB, ANN, query)) == DENIED


def test_errors_that_quote_nonsense(judged: Judged) -> None:
    judged.judge(ANN, [1])
    judged.apply()
    query = bytearray(datagram(ANN, BOB))
    for at, value in ((14, 0x65), (14, 0x4F), (20, 0x1F), (23, 99), (26, 99)):
        spoilt = bytearray(query)
        spoilt[at] = value
        assert sent(judged, BOB, unreachable(BOB, ANN, bytes(spoilt))) == DENIED
    short = unreachable(BOB, ANN, bytes(query))
    cut = bytearray(short[: len(short) - 10])
    struct.pack_into(">H", cut, 16, len(cut) - 14)
    cut[24:26] = bytes(2)
    cut[24:26] = struct.pack(">H", wire.checksum(bytes(cut[14:34])))
    assert sent(judged, BOB, bytes(cut)) == DENIED


@VERSIONS
def test_fragments_go_where_their_first_one_went(judged: Judged, version: int) -> None:
    judged.judge(BOB, [1])
    judged.apply(Rule(5, 1, INGRESS, None, ALLOW, DNS))
    first, second, third = pieces(ANN, BOB, version)
    assert sent(judged, ANN, second) == ("", "fragment_lost")
    assert sent(judged, ANN, first) == (BOB.device, "")
    assert sent(judged, ANN, third) == (BOB.device, "")
    assert sent(judged, ANN, second) == (BOB.device, "")
    other = pieces(ANN, BOB, version, identity=8)[1]
    assert sent(judged, ANN, other) == ("", "fragment_lost")
    assert len(judged.flows()) == 2
    judged.apply()
    assert [sent(judged, ANN, each) for each in (first, second, third)] == [DENIED] * 3


@pytest.mark.parametrize("offset", [8, 16, 24])
@pytest.mark.parametrize("version", [4, 6])
def test_no_fragment_lies_over_the_header_of_tcp(judged: Judged, version: int, offset: int) -> None:
    """RFC 3128: what the first one has shown, a later one might say otherwise."""
    judged.judge(BOB, [1])
    judged.apply(Rule(5, 1, INGRESS, None, ALLOW, HTTP))
    ends = (ANN.ipv4, BOB.ipv4) if version == 4 else (ANN.ipv6, BOB.ipv6)
    syn = wire.tcp(*ends, (4000, 80), flags=SYN)
    frames = []
    for at, part in ((0, syn + bytes(4)), (offset, bytes(32))):
        more = at == 0
        if version == 4:
            field = at // 8 | (0x2000 if more else 0)
            packet = wire.ipv4(*ends, wire.TCP, part, fragment=field, identity=9)
        else:
            header = struct.pack(">BBHI", wire.TCP, 0, at | more, 9)
            packet = wire.ipv6(*ends, wire.FRAGMENT, header + part)
        kind = wire.IPV4 if version == 4 else wire.IPV6
        frames.append(wire.ether(BOB.mac, ANN.mac, kind, packet))
    first, second = frames
    assert sent(judged, ANN, first) == (BOB.device, "")
    assert sent(judged, ANN, second) == ((BOB.device, "") if offset == 24 else ("", "malformed"))


def test_fragments_behind_which_more_headers_follow(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.apply(Rule(5, 1, INGRESS, None, ALLOW, DNS))
    ends = (ANN.ipv6, BOB.ipv6)
    options = bytes([wire.UDP, 1]) + bytes([1, 12]) + bytes(12)
    part = options + wire.udp(*ends, (4000, 53), bytes(56))
    made = []
    for at, piece in ((0, part[:40]), (40, part[40:])):
        header = struct.pack(">BBHI", 60, 0, at | (at == 0), 99)
        packet = wire.ipv6(*ends, wire.FRAGMENT, header + piece)
        made.append(wire.ether(BOB.mac, ANN.mac, wire.IPV6, packet))
    assert sent(judged, ANN, made[0]) == (BOB.device, "")
    assert sent(judged, ANN, made[1])[1] == "fragment_lost", "its protocol is the options'"


MALFORMED4 = [
    wire.ipv4(ANN.ipv4, BOB.ipv4, wire.TCP, bytes(19)),
    wire.ipv4(ANN.ipv4, BOB.ipv4, wire.TCP, b""),
    wire.ipv4(ANN.ipv4, BOB.ipv4, wire.UDP, bytes(7)),
    wire.ipv4(ANN.ipv4, BOB.ipv4, wire.ICMP, bytes(7)),
    wire.ipv4(ANN.ipv4, BOB.ipv4, 132, bytes(4)),
    wire.ipv4(ANN.ipv4, BOB.ipv4, wire.TCP, bytes(16), fragment=0x2000),
]


@pytest.mark.parametrize("packet", MALFORMED4, ids=range(len(MALFORMED4)))
def test_headers_that_do_not_fit_are_no_flow(judged: Judged, packet: bytes) -> None:
    judged.judge(BOB, [1], ALLOW_ALL)
    judged.apply()
    found = judged.world.send(ANN, wire.ether(BOB.mac, ANN.mac, wire.IPV4, packet))
    assert found[:2] == ("", "malformed")
    assert judged.flows() == {}


@pytest.mark.parametrize("protocol", [47, 50, 132, 33, 136, 255])
def test_other_protocols(judged: Judged, protocol: int) -> None:
    judged.judge(BOB, [1])
    judged.apply(Rule(5, 1, INGRESS, None, ALLOW, (stretch(4, protocol),)))
    packet = wire.ipv4(ANN.ipv4, BOB.ipv4, protocol, bytes(range(20)))
    assert sent(judged, ANN, wire.ether(BOB.mac, ANN.mac, wire.IPV4, packet)) == (BOB.device, "")
    turned = bytes([2, 3, 0, 1, *range(4, 20)]) if protocol in (132, 33, 136) else bytes(20)
    back = wire.ipv4(BOB.ipv4, ANN.ipv4, protocol, turned)
    assert sent(judged, BOB, wire.ether(ANN.mac, BOB.mac, wire.IPV4, back)) == (ANN.device, "")


@VERSIONS
def test_another_mac_is_another_receiver(judged: Judged, version: int) -> None:
    """What one port may be sent does not go to another one for its address's sake."""
    judged.judge(BOB, [1])
    judged.judge(EVE, [3])
    judged.apply(LET_IN)
    packet = segment(ANN, BOB, version=version)
    assert sent(judged, ANN, packet) == (BOB.device, "")
    astray = segment(ANN, BOB, version=version, mac=EVE.mac)
    assert sent(judged, ANN, astray) == DENIED
    judged.age(2)
    assert sent(judged, ANN, packet) == (BOB.device, "")


def test_groups_and_prefixes_say_who_the_peer_is(judged: Judged) -> None:
    judged.judge(BOB, [1])
    for address in addresses_of(ANN):
        judged.model.groups[address] = {30}
    judged.apply(Rule(1, 1, INGRESS, Group(30), ALLOW, HTTP))
    for version in (4, 6):
        assert sent(judged, ANN, segment(ANN, BOB, version=version)) == (BOB.device, "")
        assert sent(judged, EVE, segment(EVE, BOB, version=version)) == DENIED
    eve = Cidr(40, ip_network(f"{EVE.ipv4}/32"))
    judged.apply(Rule(1, 1, INGRESS, eve, ALLOW, HTTP))
    assert sent(judged, EVE, segment(EVE, BOB)) == (BOB.device, "")
    assert sent(judged, ANN, segment(ANN, BOB)) == DENIED


def test_link_local_addresses_are_of_the_port_whose_mac_they_show(judged: Judged) -> None:
    judged.judge(BOB, [1])
    for address in addresses_of(ANN):
        judged.model.groups[address] = {30}
    judged.apply(Rule(1, 1, INGRESS, Group(30), ALLOW, HTTP))
    mac_key = layouts.MacKey(RED, wire.mac_bytes(ANN.mac)).encode()
    address_key = layouts.AddressKey(RED, addresses_of(ANN)[1].packed).encode()
    raw = judged.world.plane.maps["addresses_v1"].lookup(address_key)
    assert raw is not None
    judged.world.put("macs_v1", mac_key, raw)
    source, target = ANN.link_local, BOB.link_local
    payload = wire.tcp(source, target, (4000, 80), b"", SYN)
    packet = wire.ether(BOB.mac, ANN.mac, wire.IPV6, wire.ipv6(source, target, wire.TCP, payload))
    assert sent(judged, ANN, packet) == (BOB.device, "")


UPKEEP = {
    "arp": wire.arp(1, ANN.mac, ANN.ipv4, BOB.ipv4, destination=BOB.mac),
    "neighbour advertisement": wire.na(BOB.mac, ANN.mac, ANN.ipv6, BOB.ipv6, ANN.ipv6, 0x20),
    "no ip": wire.ether(BOB.mac, ANN.mac, 0x88B5, bytes(50)),
}


@pytest.mark.parametrize("packet", UPKEEP.values(), ids=UPKEEP)
def test_what_keeps_a_network_going_is_judged_by_nobody(judged: Judged, packet: bytes) -> None:
    judged.judge(ANN, [1])
    judged.judge(BOB, [1])
    judged.apply()
    assert sent(judged, ANN, packet) == (BOB.device, "")
    assert judged.flows() == {}


DHCP = [(4, (68, 67)), (6, (546, 547))]


@pytest.mark.parametrize(("version", "ports"), DHCP)
def test_a_port_that_may_begin_nothing_asks_for_dhcp(
    judged: Judged, version: int, ports: tuple[int, int]
) -> None:
    judged.judge(ANN, [1])
    judged.apply()
    assert sent(judged, ANN, datagram(ANN, BOB, ports, version=version)) == (BOB.device, "")
    assert sent(judged, ANN, datagram(ANN, CYD, (69, ports[1]), version=version)) == DENIED


@pytest.mark.parametrize(("version", "ports"), DHCP)
def test_a_port_is_no_dhcp_server_where_no_rule_allows_it(
    judged: Judged, version: int, ports: tuple[int, int]
) -> None:
    judged.judge(BOB, [1])
    judged.apply()
    assert sent(judged, ANN, datagram(ANN, BOB, ports, version=version)) == DENIED


@pytest.mark.parametrize(("version", "ports"), DHCP)
def test_what_a_server_elsewhere_says_reaches_a_judged_port(
    judged: Judged, version: int, ports: tuple[int, int]
) -> None:
    judged.judge(BOB, [1])
    judged.apply()
    answer, other = (
        datagram(EVE, BOB, each, version=version) for each in (ports[::-1], (ports[1], 69))
    )
    assert sent(judged, EVE, answer) == (BOB.device, "")
    assert sent(judged, EVE, other) == DENIED


def test_a_port_reaches_itself(judged: Judged) -> None:
    judged.judge(ANN, [1])
    judged.apply()
    packet = frame(GATEWAY_MAC, ANN.mac, ANN, ANN.ipv4, 64)
    assert sent(judged, ANN, packet) == (ANN.device, "")


def test_ports_without_rules_leave_no_trace(judged: Judged) -> None:
    judged.judge(CYD, [1])
    judged.apply()
    assert sent(judged, ANN, segment(ANN, BOB)) == (BOB.device, "")
    assert sent(judged, ANN, pieces(ANN, BOB, 4)[1]) == (BOB.device, "")
    assert judged.flows() == {}


def test_an_entry_that_is_being_changed_decides_nothing(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    sent(judged, ANN, segment(ANN, BOB))
    judged.void()
    judged.apply(is_told=False)
    assert sent(judged, ANN, segment(ANN, BOB)) == DENIED


def test_a_made_packet_leaves_no_trace(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    judged.world.is_trial = True
    try:
        assert sent(judged, ANN, segment(ANN, BOB)) == (BOB.device, "")
        assert sent(judged, ANN, segment(ANN, BOB, SYN, (4000, 81))) == DENIED
    finally:
        judged.world.is_trial = False
    assert judged.flows() == {}
    assert judged.rule_counts(0) == judged.rule_counts(1) == (0, 0)


def test_a_made_packet_of_a_connection_leaves_it_as_it_is(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    for packet in (segment(ANN, BOB), segment(ANN, BOB, SYN, (4000, 81))):
        sent(judged, ANN, packet)
    before = judged.flows()
    assert (judged.rule_counts(0), judged.rule_counts(1)) == ((0, 1), (1, 0))
    judged.world.is_trial = True
    try:
        assert sent(judged, ANN, segment(ANN, BOB, RST)) == (BOB.device, "")
        assert sent(judged, BOB, segment(BOB, ANN, SYN_ACK, (80, 4000))) == (ANN.device, "")
        assert sent(judged, ANN, segment(ANN, BOB, SYN, (4000, 81))) == DENIED
    finally:
        judged.world.is_trial = False
    assert judged.flows() == before
    assert judged.rule_counts(0) == judged.rule_counts(1) == (0, 0)
