"""Connections of judged ports: what their first packet decides, and what the others do."""

from __future__ import annotations

import struct

import pytest

from tests.bpf.judged import (
    ACK,
    ALLOW_ALL,
    FIN,
    NONE,
    RST,
    SYN,
    SYN_ACK,
    Judged,
    datagram,
    segment,
)
from tests.bpf.rules import EGRESS, INGRESS, Rule, addresses_of
from tests.bpf.world import ANN, BOB, CYD, Workload, World
from weft.engine.ebpf.policy.points import icmp, stretch
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import FlowState, RuleAction, RuleFlag, RulesFlag
from weft.model.service_addresses import GATEWAY_MAC

ALLOW, DROP = RuleAction.RULE_ALLOW, RuleAction.RULE_DROP
HTTP = (stretch(4, 6, range(80, 81)), stretch(6, 6, range(80, 81)))
DNS = (stretch(4, 17, range(53, 54)), stretch(6, 17, range(53, 54)))
PING = (icmp(4, 8), icmp(6, 128))
LET_IN = Rule(1, 1, INGRESS, None, ALLOW, HTTP)
LET_OUT = Rule(2, 2, EGRESS, None, ALLOW, HTTP)
VERSIONS = pytest.mark.parametrize("version", [4, 6])
DENIED = ("", "policy")
NEW, ESTABLISHED = FlowState.FLOW_NEW, FlowState.FLOW_ESTABLISHED
CLOSING, CLOSED = FlowState.FLOW_CLOSING, FlowState.FLOW_CLOSED


@pytest.fixture
def judged(world: World) -> Judged:
    return Judged(world)


def sent(judged: Judged, sender: Workload, packet: bytes) -> tuple[str, str]:
    outcome = judged.world.send(sender, packet)
    if outcome.target:
        assert outcome.packet[14:18] == packet[14:18]
    return outcome[:2]


def shown(one: Workload, other: Workload, version: int, ports: tuple[int, int] = (4000, 80)) -> str:
    """A flow that leaves, as `Judged.flows` names it."""
    ends = (one.ipv4, other.ipv4) if version == 4 else (f"[{one.ipv6}]", f"[{other.ipv6}]")
    return f"leaves {ends[0]}:{ports[0]} > {ends[1]}:{ports[1]}"


@VERSIONS
def test_a_rule_lets_a_connection_in_and_its_answers_back(judged: Judged, version: int) -> None:
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    there = segment(ANN, BOB, version=version)
    back = segment(BOB, ANN, SYN_ACK, (80, 4000), version=version)
    begun = segment(BOB, ANN, SYN, (80, 4000), version=version)
    assert sent(judged, BOB, begun) == DENIED, "nobody has asked"
    assert sent(judged, ANN, there) == (BOB.device, "")
    assert sent(judged, BOB, back) == (ANN.device, "")
    assert sent(judged, ANN, segment(ANN, BOB, ACK, version=version)) == (BOB.device, "")
    for other in (datagram(ANN, BOB, version=version), segment(ANN, BOB, SYN, (4000, 81))):
        assert sent(judged, ANN, other) == DENIED
    assert judged.world.counters(ANN.device).drops == {"policy": 2}
    assert judged.rule_counts(1) == (1, 0)
    assert judged.rule_counts(0)[1] == 3


@VERSIONS
def test_both_entries_are_made_by_the_first_packet(judged: Judged, version: int) -> None:
    judged.judge(BOB, [1])
    judged.judge(ANN, [2])
    judged.apply(LET_IN, LET_OUT)
    packet = segment(ANN, BOB, version=version)
    sent(judged, ANN, packet)
    sent(judged, ANN, packet)
    flows = judged.flows()
    there, back = shown(ANN, BOB, version), shown(BOB, ANN, version, (80, 4000))
    assert flows.keys() == {there, back}
    assert (flows[there].packets, flows[there].octets) == (2, 2 * len(packet))
    assert (flows[back].packets, flows[back].octets) == (0, 0)
    assert not flows[there].is_answer
    assert flows[back].is_answer
    for flow in flows.values():
        assert (flow.egress_rule, flow.ingress_rule, flow.state) == (2, 1, NEW)
    assert judged.rule_counts(1) == judged.rule_counts(2) == (1, 0)
    answer = segment(BOB, ANN, SYN_ACK, (80, 4000), version=version)
    assert sent(judged, BOB, answer) == (ANN.device, "")
    assert judged.states() == {there: ESTABLISHED, back: ESTABLISHED}
    assert judged.flows()[back].packets == 1


@VERSIONS
@pytest.mark.parametrize("who", ["sender", "receiver", "both"])
@pytest.mark.parametrize("is_routed", [False, True])
def test_each_end_has_its_own_rules(
    judged: Judged, version: int, who: str, is_routed: bool
) -> None:
    target = CYD if is_routed else BOB
    mac = GATEWAY_MAC if is_routed else ""
    if who != "receiver":
        judged.judge(ANN, [2])
    if who != "sender":
        judged.judge(target, [1])
    judged.apply(LET_IN, LET_OUT)
    packet = segment(ANN, target, version=version, mac=mac)
    assert sent(judged, ANN, packet)[0] == target.device
    answer = segment(target, ANN, SYN_ACK, (80, 4000), version=version, mac=mac)
    assert sent(judged, target, answer)[0] == ANN.device
    judged.apply(*([LET_OUT] if who == "receiver" else [LET_IN] if who == "sender" else []))
    assert sent(judged, ANN, packet) == DENIED
    assert sent(judged, target, answer) == DENIED


@VERSIONS
def test_what_the_two_ends_of_one_host_say_is_noted_apart(judged: Judged, version: int) -> None:
    judged.judge(ANN, [2])
    judged.judge(BOB, [1])
    judged.apply(LET_OUT, Rule(7, 1, INGRESS, None, DROP, HTTP))
    assert sent(judged, ANN, segment(ANN, BOB, version=version)) == DENIED
    flow = judged.flows()[shown(ANN, BOB, version)]
    assert (flow.is_denied, flow.egress_rule, flow.ingress_rule) == (True, 2, 7)
    assert judged.rule_counts(7) == (0, 1)
    assert judged.rule_counts(2) == (0, 0)


@VERSIONS
def test_a_denied_flow_is_remembered_for_a_second(judged: Judged, version: int) -> None:
    judged.judge(BOB, [1])
    judged.apply(Rule(3, 1, INGRESS, None, DROP))
    packet = segment(ANN, BOB, version=version)
    for _ in range(5):
        assert sent(judged, ANN, packet) == DENIED
    assert judged.flows()[shown(ANN, BOB, version)].packets == 5
    assert judged.rule_counts(3) == (0, 5)
    judged.apply(LET_IN, is_told=False)
    assert sent(judged, ANN, packet) == DENIED
    judged.age(2)
    assert sent(judged, ANN, packet) == (BOB.device, "")
    assert judged.states().keys() == {
        shown(ANN, BOB, version),
        shown(BOB, ANN, version, (80, 4000)),
    }


@VERSIONS
@pytest.mark.parametrize("slot", ["network", "port", "source", "destination"])
def test_a_number_that_grows_ends_what_was_decided(judged: Judged, version: int, slot: str) -> None:
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    packet = segment(ANN, BOB, version=version)
    answer = segment(BOB, ANN, SYN_ACK, (80, 4000), version=version)
    assert sent(judged, ANN, packet) == (BOB.device, "")
    assert sent(judged, BOB, answer) == (ANN.device, "")
    judged.apply(is_told=False)
    assert sent(judged, ANN, packet) == (BOB.device, ""), "nobody has said that rules are others"
    source, destination = (
        addresses[version == 6] for addresses in (addresses_of(ANN), addresses_of(BOB))
    )
    slots = {
        "network": 5000,
        "port": judged.port_slot(BOB),
        "source": judged.address_slot(str(source)),
        "destination": judged.address_slot(str(destination)),
    }
    judged.tell(slots[slot])
    assert sent(judged, ANN, packet) == DENIED
    assert sent(judged, BOB, answer) == DENIED
    judged.apply(LET_IN)
    assert sent(judged, ANN, packet) == (BOB.device, "")
    assert sent(judged, BOB, answer) == (ANN.device, "")


def test_counts_and_state_outlive_a_decision(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    sent(judged, ANN, segment(ANN, BOB))
    sent(judged, BOB, segment(BOB, ANN, SYN_ACK, (80, 4000)))
    before = judged.flows()
    judged.apply(Rule(9, 1, INGRESS, None, ALLOW))
    sent(judged, ANN, segment(ANN, BOB, ACK))
    there = shown(ANN, BOB, 4)
    after = judged.flows()[there]
    assert after.ingress_rule == 9
    assert (after.packets, after.state, after.created) == (2, ESTABLISHED, before[there].created)
    assert judged.rule_counts(9) == (0, 0), "which let nothing begin"


@pytest.mark.parametrize("keeps", [False, True])
def test_a_rule_may_have_what_it_let_begin_go_on_when_it_goes(judged: Judged, keeps: bool) -> None:
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    sent(judged, ANN, segment(ANN, BOB))
    sent(judged, BOB, segment(BOB, ANN, SYN_ACK, (80, 4000)))
    begun = segment(ANN, BOB, SYN, (4001, 80))
    sent(judged, ANN, begun)
    flags = RuleFlag.RULE_GONE | (RuleFlag.RULE_KEEPS if keeps else RuleFlag(0))
    rule = layouts.Rule(bytes(16), flags).encode()
    judged.world.put("rules_v1", struct.pack("<I", LET_IN.number), rule)
    judged.apply(Rule(4, 1, INGRESS, None, DROP))
    wanted = (BOB.device, "") if keeps else DENIED
    assert sent(judged, ANN, segment(ANN, BOB, ACK)) == wanted
    assert sent(judged, ANN, begun) == DENIED, "it is not established"
    assert sent(judged, ANN, segment(ANN, BOB, SYN, (4002, 80))) == DENIED
    if keeps:
        assert judged.flows()[shown(ANN, BOB, 4)].ingress_rule == 1


@VERSIONS
@pytest.mark.parametrize("end", ["fin", "rst", "refused"])
def test_a_connection_ends_and_its_ports_are_used_again(
    judged: Judged, version: int, end: str
) -> None:
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    there, back = shown(ANN, BOB, version), shown(BOB, ANN, version, (80, 4000))

    def forth(flags: int) -> tuple[str, str]:
        return sent(judged, ANN, segment(ANN, BOB, flags, version=version))

    def answer(flags: int) -> tuple[str, str]:
        return sent(judged, BOB, segment(BOB, ANN, flags, (80, 4000), version=version))

    forth(SYN)
    if end == "refused":
        assert answer(RST | ACK) == (ANN.device, "")
    else:
        answer(SYN_ACK)
        forth(ACK)
    if end == "rst":
        assert forth(RST) == (BOB.device, "")
    if end == "fin":
        assert forth(FIN | ACK) == (BOB.device, "")
        assert judged.states() == {there: CLOSING, back: CLOSING}
        assert answer(ACK) == (ANN.device, "")
        assert answer(FIN | ACK) == (ANN.device, "")
        assert judged.states() == {there: CLOSED, back: CLOSED}
        assert forth(ACK) == (BOB.device, "")
    assert judged.states() == {there: CLOSED, back: CLOSED}
    assert forth(SYN) == (BOB.device, "")
    assert judged.states() == {there: NEW, back: NEW}
    assert judged.rule_counts(1) == (2, 0)
    judged.age(30)
    answer(SYN_ACK)
    assert judged.states() == {there: ESTABLISHED, back: ESTABLISHED}


def test_who_was_answered_may_not_use_the_ports_to_begin(judged: Judged) -> None:
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    sent(judged, ANN, segment(ANN, BOB))
    sent(judged, ANN, segment(ANN, BOB, RST))
    assert sent(judged, BOB, segment(BOB, ANN, SYN, (80, 4000))) == DENIED


LIFETIMES = [
    ("syn", 60, 55),
    ("established", 21600, 21000),
    ("closing", 240, 230),
    ("closed", 10, 8),
]


@pytest.mark.parametrize(("state", "lifetime_s", "shorter_s"), LIFETIMES)
def test_tcp_is_over_after_its_time(
    judged: Judged, state: str, lifetime_s: int, shorter_s: int
) -> None:
    judged.judge(BOB, [1], RulesFlag.RULES_STRICT)
    judged.apply(LET_IN)
    sent(judged, ANN, segment(ANN, BOB))
    if state != "syn":
        sent(judged, BOB, segment(BOB, ANN, SYN_ACK, (80, 4000)))
    if state == "closing":
        sent(judged, ANN, segment(ANN, BOB, FIN))
    if state == "closed":
        sent(judged, ANN, segment(ANN, BOB, RST))
    judged.age(shorter_s)
    assert sent(judged, ANN, segment(ANN, BOB, ACK)) == (BOB.device, "")
    judged.age(lifetime_s + 2)
    assert sent(judged, ANN, segment(ANN, BOB, ACK)) == ("", "no_flow")


@VERSIONS
def test_udp_lives_longer_when_it_is_answered(judged: Judged, version: int) -> None:
    judged.judge(ANN, [1])
    judged.apply(Rule(5, 1, EGRESS, None, ALLOW, DNS))
    there = datagram(ANN, BOB, version=version)
    back = datagram(BOB, ANN, (53, 4000), version=version)
    assert sent(judged, BOB, back) == DENIED
    judged.age(2)
    sent(judged, ANN, there)
    judged.age(62)
    assert sent(judged, BOB, back) == DENIED
    judged.age(2)
    sent(judged, ANN, there)
    judged.age(55)
    assert sent(judged, BOB, back) == (ANN.device, "")
    judged.age(290)
    assert sent(judged, BOB, back) == (ANN.device, "")
    judged.age(302)
    assert sent(judged, BOB, back) == DENIED


def test_one_way_traffic_keeps_the_way_back_open(judged: Judged) -> None:
    judged.judge(ANN, [1])
    judged.apply(Rule(5, 1, EGRESS, None, ALLOW, DNS))
    for _ in range(4):
        sent(judged, ANN, datagram(ANN, BOB))
        judged.age(50)
    assert sent(judged, BOB, datagram(BOB, ANN, (53, 4000))) == (ANN.device, "")


@VERSIONS
def test_a_lost_entry_is_made_again_from_its_partner(judged: Judged, version: int) -> None:
    judged.judge(ANN, [1])
    judged.apply(Rule(5, 1, EGRESS, None, ALLOW))
    sent(judged, ANN, datagram(ANN, BOB, version=version))
    flows = judged.world.plane.maps[f"flows{version}_v1"]
    for key in list(flows.read()):
        raw = flows.lookup(key)
        assert raw is not None
        if layouts.Flow.decode(raw).packets == 0:
            flows.delete([key])
    assert len(judged.flows()) == 1
    assert sent(judged, BOB, datagram(BOB, ANN, (53, 4000), version=version)) == (ANN.device, "")
    states = judged.states()
    assert list(states.values()) == [ESTABLISHED, ESTABLISHED]


@VERSIONS
def test_amidst_a_connection_that_nobody_knows(judged: Judged, version: int) -> None:
    """After a restart of the host: what might have begun in either direction goes on."""
    judged.judge(BOB, [1])
    judged.apply(LET_IN)
    assert sent(judged, BOB, segment(BOB, ANN, ACK, (80, 4000), version=version)) == (
        ANN.device,
        "",
    )
    there, back = shown(ANN, BOB, version), shown(BOB, ANN, version, (80, 4000))
    assert judged.states() == {there: ESTABLISHED, back: ESTABLISHED}
    assert judged.flows()[back].is_answer
    assert sent(judged, ANN, segment(ANN, BOB, ACK, version=version)) == (BOB.device, "")
    assert sent(judged, BOB, segment(BOB, ANN, ACK, (81, 4000), version=version)) == DENIED
    assert sent(judged, ANN, segment(ANN, BOB, ACK, (4000, 81), version=version)) == DENIED


@VERSIONS
@pytest.mark.parametrize("flags", [ACK, SYN_ACK, FIN | ACK, RST, 0, SYN | FIN])
def test_a_strict_network_wants_a_beginning(judged: Judged, version: int, flags: int) -> None:
    judged.judge(BOB, [1], RulesFlag.RULES_STRICT | ALLOW_ALL)
    judged.apply()
    assert sent(judged, ANN, segment(ANN, BOB, flags, version=version)) == ("", "no_flow")
    assert sent(judged, BOB, segment(BOB, ANN, flags, version=version)) == ("", "no_flow")
    assert judged.flows() == {}
    sent(judged, ANN, segment(ANN, BOB, version=version))
    assert sent(judged, ANN, segment(ANN, BOB, flags, version=version)) == (BOB.device, "")


@pytest.mark.parametrize("is_strict", [False, True])
def test_a_full_table_keeps_the_living(judged: Judged, is_strict: bool) -> None:
    flags = RulesFlag.RULES_STRICT if is_strict else NONE
    judged.judge(BOB, [1], flags)
    judged.apply(LET_IN)
    sent(judged, ANN, segment(ANN, BOB))
    flows = judged.world.plane.maps["flows4_v1"]
    room = flows.info.max_entries - len(flows.read())
    keys = [layouts.FlowKey4(place=2**31 + number).encode() for number in range(room)]
    assert not flows.update(dict.fromkeys(keys, layouts.Flow().encode()))
    assert sent(judged, ANN, segment(ANN, BOB, ACK)) == (BOB.device, "")
    other = segment(ANN, BOB, SYN, (4001, 80))
    wanted = ("", "flows_full") if is_strict else (BOB.device, "")
    assert sent(judged, ANN, other) == wanted
    counts = judged.world.plane.maps["flow_counts_v1"].read_summed()
    assert counts[bytes(4)] == (2, 1)
    assert sent(judged, ANN, segment(ANN, BOB, SYN, (4001, 81))) == DENIED
    flows.delete(keys[:1])
    assert sent(judged, ANN, other) == wanted, "one entry is no connection"
    assert len(flows.read()) == flows.info.max_entries - 1
    flows.delete(keys)
    assert sent(judged, ANN, other) == (BOB.device, "")
