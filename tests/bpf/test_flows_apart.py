"""Judged ports whose peers are elsewhere: on another host, on this one itself, outside, or many."""

from __future__ import annotations

import pytest

from tests.bpf import wire
from tests.bpf.judged import (
    ACK,
    ALLOW_ALL,
    NONE,
    SYN,
    SYN_ACK,
    Judged,
    datagram,
    pieces,
    segment,
    unreachable,
)
from tests.bpf.overlay import FAR, FAR_ROUTED, HUGO, coming, connect, vxlan
from tests.bpf.rules import EGRESS, INGRESS, Group, Rule, addresses_of
from tests.bpf.test_flows import DENIED, DNS, HTTP, LET_IN, LET_OUT, VERSIONS
from tests.bpf.test_routing import OUTSIDE4, OUTSIDE6, frame
from tests.bpf.test_spoofing import dhcp
from tests.bpf.world import (
    ANN,
    BOB,
    CYD,
    EVE,
    HOST4,
    RED,
    RESOLVER4,
    RESOLVER6,
    World,
)
from weft.engine.ebpf.policy.points import stretch
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import FlowState, NetworkFlag, RuleAction, RulesFlag
from weft.model.service_addresses import GATEWAY_MAC

ALLOW, DROP = RuleAction.RULE_ALLOW, RuleAction.RULE_DROP
ESTABLISHED = FlowState.FLOW_ESTABLISHED


@pytest.fixture
def judged(world: World) -> Judged:
    connect(world)
    return Judged(world)


def arrived(judged: Judged, packet: bytes) -> tuple[str, str]:
    outcome = judged.world.arrive(coming(HUGO, 4, vxlan(RED, packet)))
    assert outcome.target in ("", "kernel") or outcome.packet == packet
    return outcome[:2]


def left(judged: Judged, sender: object, packet: bytes) -> tuple[str, str]:
    return judged.world.send(sender, packet)[:2]  # type: ignore[arg-type]


@VERSIONS
def test_from_another_host(judged: Judged, version: int) -> None:
    judged.judge(ANN, [1])
    judged.apply(LET_IN)
    there = segment(FAR, ANN, version=version)
    back = segment(ANN, FAR, SYN_ACK, (80, 4000), version=version)
    begun = segment(ANN, FAR, SYN, (80, 4000), version=version)
    assert left(judged, ANN, begun) == DENIED
    assert arrived(judged, there) == (ANN.device, "")
    assert left(judged, ANN, back) == ("uplink", "")
    assert arrived(judged, segment(FAR, ANN, ACK, version=version)) == (ANN.device, "")
    assert list(judged.states().values()) == [ESTABLISHED, ESTABLISHED]
    assert arrived(judged, segment(FAR, ANN, SYN, (4000, 81), version=version)) == DENIED
    assert judged.world.counters("uplink").drops == {"policy": 1}
    judged.apply()
    assert arrived(judged, there) == DENIED
    assert left(judged, ANN, back) == DENIED


@VERSIONS
@pytest.mark.parametrize("is_routed", [False, True])
def test_to_another_host(judged: Judged, version: int, is_routed: bool) -> None:
    far = FAR_ROUTED if is_routed else FAR
    judged.judge(ANN, [2])
    judged.apply(LET_OUT)
    mac = GATEWAY_MAC if is_routed else ""
    there = segment(ANN, far, version=version, mac=mac)
    back = segment(far, ANN, SYN_ACK, (80, 4000), version=version)
    if is_routed:
        back = back[:6] + wire.mac_bytes(GATEWAY_MAC) + back[12:]
    begun = segment(far, ANN, SYN, (80, 4000), version=version)
    assert arrived(judged, begun) == DENIED
    assert left(judged, ANN, there) == ("uplink", "")
    assert arrived(judged, back) == (ANN.device, "")
    assert list(judged.states().values()) == [ESTABLISHED, ESTABLISHED]
    assert left(judged, ANN, segment(ANN, far, SYN, (1, 81), version=version, mac=mac)) == DENIED


def test_the_groups_of_who_is_far(judged: Judged) -> None:
    judged.judge(ANN, [1])
    for address in addresses_of(FAR):
        judged.model.groups[address] = {30}
    judged.apply(Rule(1, 1, INGRESS, Group(30), ALLOW, HTTP))
    identities = {frozenset({30}): 1}
    far = judged.world.plane.maps["addresses_v1"]
    for address in addresses_of(FAR):
        key = layouts.AddressKey(RED, _sixteen(address)).encode()
        raw = far.lookup(key)
        assert raw is not None
        endpoint = layouts.Endpoint.decode(raw)._replace(group=identities[frozenset({30})])
        judged.world.put("addresses_v1", key, endpoint.encode())
    for version in (4, 6):
        assert arrived(judged, segment(FAR, ANN, version=version)) == (ANN.device, "")
        assert arrived(judged, segment(FAR_ROUTED, ANN, version=version)) == DENIED


def _sixteen(address: object) -> bytes:
    packed: bytes = address.packed  # type: ignore[attr-defined]
    return packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed


@VERSIONS
def test_errors_from_another_host(judged: Judged, version: int) -> None:
    """Of a router on the way, too: from an address that the flow has not."""
    judged.judge(ANN, [1])
    judged.apply(Rule(5, 1, EGRESS, None, ALLOW, DNS))
    query = datagram(ANN, FAR, version=version)
    router = "10.1.1.1" if version == 4 else "fd00:1:1::1"
    error = unreachable(FAR, ANN, query, source=router)
    assert arrived(judged, error) == DENIED
    judged.age(2)
    left(judged, ANN, query)
    assert arrived(judged, error) == (ANN.device, "")
    judged.apply()
    assert arrived(judged, error) == DENIED, "about what no rule lets through any more"
    judged.apply(Rule(5, 1, EGRESS, None, ALLOW, DNS))
    left(judged, ANN, query)
    assert arrived(judged, error) == (ANN.device, "")


@VERSIONS
def test_fragments_from_another_host(judged: Judged, version: int) -> None:
    judged.judge(ANN, [1])
    judged.apply(Rule(5, 1, INGRESS, None, ALLOW, DNS))
    first, second, third = pieces(FAR, ANN, version)
    assert arrived(judged, second) == ("", "fragment_lost")
    assert [arrived(judged, each) for each in (first, second, third)] == [(ANN.device, "")] * 3


def test_malformed_packets_of_another_host(judged: Judged) -> None:
    judged.judge(ANN, [1], ALLOW_ALL)
    judged.apply()
    for payload in (bytes(19), b""):
        packet = wire.ipv4(FAR.ipv4, ANN.ipv4, wire.TCP, payload)
        inner = wire.ether(ANN.mac, FAR.mac, wire.IPV4, packet)
        assert arrived(judged, inner) == ("", "malformed")
    assert arrived(judged, wire.ether(ANN.mac, FAR.mac, 0x88B5, bytes(60))) == (ANN.device, "")


def test_a_stray_from_another_host_is_judged_by_who_gets_it(judged: Judged) -> None:
    judged.judge(ANN, [1])
    judged.apply(LET_IN)
    nobody = "02:00:00:00:00:77"
    packet = segment(FAR, ANN, mac=nobody)
    outcome = judged.world.arrive(coming(HUGO, 4, vxlan(RED, packet)))
    assert outcome == (ANN.device, "", wire.mac_bytes(ANN.mac) + packet[6:])
    other = segment(FAR, ANN, SYN, (4000, 81), mac=nobody)
    assert arrived(judged, other) == DENIED


@pytest.mark.parametrize("who", ["sender", "receiver"])
def test_a_stray_of_this_host_is_judged_by_who_gets_it(judged: Judged, who: str) -> None:
    judged.judge(ANN if who == "sender" else BOB, [1 if who == "receiver" else 2])
    judged.apply(LET_IN if who == "receiver" else LET_OUT)
    nobody = "02:00:00:00:00:77"
    packet = segment(ANN, BOB, mac=nobody)
    outcome = judged.world.send(ANN, packet)
    assert outcome == (BOB.device, "", wire.mac_bytes(BOB.mac) + packet[6:])
    assert left(judged, ANN, segment(ANN, BOB, SYN, (4000, 81), mac=nobody)) == DENIED


def from_host(source: str, destination: str, flags: int = SYN, port: int = 80) -> bytes:
    payload = wire.tcp(source, destination, (4000, port), b"", flags)
    if ":" in source:
        packet, kind = wire.ipv6(source, destination, wire.TCP, payload), wire.IPV6
    else:
        packet, kind = wire.ipv4(source, destination, wire.TCP, payload), wire.IPV4
    return wire.ether("0a:57:45:46:54:00", "0a:57:45:46:54:02", kind, packet)


@pytest.mark.parametrize("outside", [OUTSIDE4, OUTSIDE6])
def test_from_the_outside(judged: Judged, outside: str) -> None:
    """A published port."""
    judged.judge(ANN, [1])
    judged.apply(LET_IN)
    own = ANN.ipv6 if ":" in outside else ANN.ipv4
    outcome = judged.world.send_from_host(from_host(outside, own))
    assert outcome[:2] == (ANN.device, "")
    assert outcome.packet[:12] == wire.mac_bytes(ANN.mac) + wire.mac_bytes(GATEWAY_MAC)
    back = frame_back(own, outside)
    assert left(judged, ANN, back) == ("weft0", "")
    assert list(judged.states().values()) == [ESTABLISHED, ESTABLISHED]
    assert judged.world.send_from_host(from_host(outside, own, port=81))[:2] == DENIED
    assert judged.world.counters("weft1").drops == {"policy": 1}
    assert (
        judged.world.send_from_host(
            from_host(outside, BOB.ipv4 if own == ANN.ipv4 else BOB.ipv6)
        ).target
        == BOB.device
    )


def frame_back(own: str, outside: str) -> bytes:
    payload = wire.tcp(own, outside, (80, 4000), b"", SYN_ACK)
    if ":" in own:
        packet = wire.ipv6(own, outside, wire.TCP, payload)
        return wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV6, packet)
    return wire.ether(GATEWAY_MAC, ANN.mac, wire.IPV4, wire.ipv4(own, outside, wire.TCP, payload))


@pytest.mark.parametrize("outside", [OUTSIDE4, OUTSIDE6])
def test_to_the_outside(judged: Judged, outside: str) -> None:
    judged.judge(ANN, [2])
    judged.apply(LET_OUT)
    own = ANN.ipv6 if ":" in outside else ANN.ipv4
    assert left(judged, ANN, frame(GATEWAY_MAC, ANN.mac, ANN, outside, 64)) == ("weft0", "")
    payload = wire.tcp(outside, own, (80, 4000), b"", SYN_ACK)
    if ":" in own:
        packet, kind = wire.ipv6(outside, own, wire.TCP, payload), wire.IPV6
    else:
        packet, kind = wire.ipv4(outside, own, wire.TCP, payload), wire.IPV4
    answer = wire.ether("0a:57:45:46:54:00", "0a:57:45:46:54:02", kind, packet)
    assert judged.world.send_from_host(answer)[:2] == (ANN.device, "")
    judged.apply()
    assert left(judged, ANN, frame(GATEWAY_MAC, ANN.mac, ANN, outside, 64)) == DENIED
    assert judged.world.send_from_host(answer)[:2] == DENIED


def test_the_host_itself_where_the_port_lets_it(judged: Judged) -> None:
    own, gateway = HOST4, "10.1.0.1"
    judged.judge(ANN, [1], RulesFlag.RULES_ADMIT_HOST)
    judged.apply()
    assert judged.world.send_from_host(from_host(own, ANN.ipv4))[:2] == (ANN.device, "")
    back = frame_back(ANN.ipv4, own)
    assert left(judged, ANN, back) == ("weft0", "")
    for other in (OUTSIDE4, gateway):
        assert judged.world.send_from_host(from_host(other, ANN.ipv4))[:2] == DENIED, other
    judged.judge(ANN, [1])
    judged.apply()
    assert judged.world.send_from_host(from_host(own, ANN.ipv4))[:2] == DENIED


def query(mac: str, server: str, port: int = 53, more: int = 0) -> bytes:
    source = ANN.ipv6 if ":" in server else ANN.ipv4
    payload = wire.udp(source, server, (4000 + port, port))
    if ":" in server:
        packet = wire.ipv6(source, server, wire.UDP, payload)
    else:
        packet = wire.ipv4(source, server, wire.UDP, payload, fragment=more)
    return wire.ether(mac, ANN.mac, wire.IPV6 if ":" in server else wire.IPV4, packet)


SERVERS = ["10.1.0.1", RESOLVER4, RESOLVER6, "169.254.53.53", "fd77:6566:7400::53"]


@pytest.mark.parametrize("server", SERVERS)
def test_queries_to_wefts_dns_where_the_port_may_ask(judged: Judged, server: str) -> None:
    """Those that get there, and nothing that goes elsewhere."""
    judged.judge(ANN, [1], RulesFlag.RULES_ALLOW_DNS)
    judged.apply()
    world = judged.world
    assert world.send(ANN, query(BOB.mac, server))[:2] == DENIED, "to a port's MAC"
    assert world.send(ANN, query("02:00:00:00:00:99", server))[:2] == DENIED, "to nobody's"
    assert world.send(ANN, query(GATEWAY_MAC, server, 54))[:2] == DENIED, "not DNS"
    if ":" not in server:
        assert world.send(ANN, query(GATEWAY_MAC, server, more=0x2000))[:2] == DENIED, "a part"
    judged.age(2)
    outcome = world.send(ANN, query(GATEWAY_MAC, server))
    assert outcome.reason != "policy"
    assert outcome.target in ("weft0", "")
    judged.judge(ANN, [1])
    judged.apply()
    assert world.send(ANN, query(GATEWAY_MAC, server))[:2] == DENIED


@pytest.mark.parametrize("stranger", [BOB.ipv4, BOB.ipv6, HOST4, "198.51.100.9", "10.1.1.77"])
def test_port_53_of_strangers_is_judged(judged: Judged, stranger: str) -> None:
    judged.judge(ANN, [1], RulesFlag.RULES_ALLOW_DNS)
    judged.apply()
    for mac in (GATEWAY_MAC, BOB.mac):
        assert judged.world.send(ANN, query(mac, stranger))[:2] == DENIED


def test_a_port_that_has_a_resolvers_address_is_a_stranger(judged: Judged) -> None:
    judged.judge(ANN, [1], RulesFlag.RULES_ALLOW_DNS)
    judged.apply()
    judged.world.add_address(RED, RESOLVER4, judged.world.endpoint(BOB))
    assert judged.world.send(ANN, query(GATEWAY_MAC, RESOLVER4))[:2] == DENIED


def test_ping_of_the_gateway_is_what_the_port_may_send(judged: Judged) -> None:
    judged.judge(ANN, [1])
    packet = wire.ether(
        GATEWAY_MAC,
        ANN.mac,
        wire.IPV4,
        wire.ipv4(ANN.ipv4, "10.1.0.1", wire.ICMP, wire.icmp(8)),
    )
    judged.apply()
    assert left(judged, ANN, packet) == DENIED
    judged.apply(Rule(1, 1, EGRESS, None, ALLOW))
    assert left(judged, ANN, packet) == (ANN.device, "")


def multicast(sender: object, group: str = "224.0.0.251", port: int = 53) -> bytes:
    source = sender.ipv4  # type: ignore[attr-defined]
    payload = wire.udp(source, group, (53, port))
    packet = wire.ipv4(source, group, wire.UDP, payload)
    return wire.ether(wire.multicast_mac(group), sender.mac, wire.IPV4, packet)  # type: ignore[attr-defined]


def received(judged: Judged) -> set[str]:
    return {
        each.device
        for each in (ANN, BOB, CYD, EVE)
        if judged.world.counters(each.device).rx_packets
    }


def test_a_copy_goes_to_who_may_get_it(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.judge(CYD, [3])
    judged.apply(Rule(1, 1, INGRESS, None, ALLOW, DNS), Rule(2, 3, INGRESS, None, DROP))
    judged.world.send(ANN, multicast(ANN))
    assert received(judged) == {BOB.device, EVE.device}
    assert judged.world.counters(ANN.device).drops == {"policy": 1}
    assert judged.rule_counts(2) == (0, 1)
    assert judged.flows() == {}


def test_who_asks_all_for_dhcp_is_heard_where_a_rule_allows_it(judged: Judged) -> None:
    """Who may send nothing else to many asks, and a port is asked by rule alone."""
    judged.judge(ANN, [1])
    judged.judge(BOB, [1])
    judged.judge(CYD, [3])
    judged.apply(Rule(1, 3, INGRESS, None, ALLOW, (stretch(4, 17, range(67, 68)),)))
    judged.world.send(ANN, dhcp("0.0.0.0", (68, 67)))
    assert received(judged) == {CYD.device, EVE.device}
    assert judged.world.send(ANN, dhcp(ANN.ipv4, (69, 67)))[:2] == DENIED


def test_who_may_not_send_to_many_sends_to_nobody(judged: Judged) -> None:
    judged.judge(ANN, [1])
    judged.apply()
    assert judged.world.send(ANN, multicast(ANN))[:2] == DENIED
    assert received(judged) == set()
    judged.apply(Rule(1, 1, EGRESS, None, ALLOW, DNS))
    judged.world.send(ANN, multicast(ANN))
    assert received(judged) == {BOB.device, CYD.device, EVE.device}


def test_copies_from_another_host(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.judge(CYD, [3])
    judged.apply(Rule(1, 1, INGRESS, None, ALLOW, DNS))
    judged.world.arrive(coming(HUGO, 4, vxlan(RED, multicast(FAR))))
    assert received(judged) == {ANN.device, BOB.device, EVE.device}
    assert judged.world.counters("uplink").drops == {"policy": 1}


def test_a_malformed_copy_reaches_those_without_rules(judged: Judged) -> None:
    judged.judge(BOB, [1], ALLOW_ALL)
    judged.apply()
    packet = wire.ipv4(ANN.ipv4, "224.0.0.251", wire.TCP, bytes(12))
    judged.world.send(ANN, wire.ether("01:00:5e:00:00:fb", ANN.mac, wire.IPV4, packet))
    assert received(judged) == {CYD.device, EVE.device}
    assert judged.world.counters(ANN.device).drops == {"malformed": 1}


def test_arp_and_ipv6_neighbours_are_flooded_to_judged_ports(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.apply()
    announcement = wire.arp(1, ANN.mac, ANN.ipv4, ANN.ipv4)
    judged.world.send(ANN, announcement)
    assert received(judged) == {BOB.device, CYD.device, EVE.device}


def test_members_of_a_group_are_judged_too(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.judge(CYD, [3])
    judged.apply(Rule(1, 1, INGRESS, None, ALLOW, DNS))
    flags = NetworkFlag.NETWORK_JUDGES | NetworkFlag.NETWORK_SNOOPS
    judged.world.set_network(RED, flags)
    group = "239.1.1.1"
    address = bytes(10) + b"\xff\xff" + bytes([239, 1, 1, 1])
    key = layouts.MulticastKey(RED, address).encode()
    judged.world.put("multicast_groups_v1", key, layouts.MulticastGroup().encode())
    for slot, workload in ((1, BOB), (2, CYD)):
        member = layouts.MemberKey(RED, address, slot).encode()
        row = layouts.Flood(judged.world.ifindexes[workload.device], 1).encode()
        judged.world.put("multicast_ports_v1", member, row)
    judged.world.send(ANN, multicast(ANN, group))
    assert received(judged) == {BOB.device}
    judged.world.arrive(coming(HUGO, 4, vxlan(RED, multicast(FAR, group))))
    assert judged.world.counters(BOB.device).rx_packets == 2
    assert judged.world.counters(CYD.device).rx_packets == 0


def test_one_tenants_flows_are_not_anothers(judged: Judged) -> None:
    """Equal addresses on another network."""
    judged.judge(ANN, [1])
    judged.apply(LET_IN)
    arrived(judged, segment(FAR, ANN))
    keys = [layouts.FlowKey4.decode(key) for key in judged.world.plane.maps["flows4_v1"].read()]
    assert sorted(key.place for key in keys) == [RED, judged.world.ifindexes[ANN.device]]


def test_seen_is_a_recent_time(judged: Judged) -> None:
    judged.judge(ANN, [1], NONE)
    judged.apply(LET_IN)
    arrived(judged, segment(FAR, ANN))
    raw = next(iter(judged.world.plane.maps["flows4_v1"].read().values()))
    flow = layouts.Flow.decode(raw)
    assert flow.seen == flow.created != 0
