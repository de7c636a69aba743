"""Stateless rules: nothing is remembered of what they let pass; answers need rules of their own."""

from __future__ import annotations

import struct
import uuid

import pytest

from tests.bpf.judged import ACK, SYN, SYN_ACK, Judged, datagram, segment
from tests.bpf.rules import EGRESS, INGRESS, Rule
from tests.bpf.test_flows import DENIED, DNS, HTTP, VERSIONS, sent
from tests.bpf.world import ANN, BOB, World
from weft.engine.ebpf.policy.points import stretch
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import FlowState, RuleAction, RuleFlag, RulesFlag

ALLOW = RuleAction.RULE_ALLOW
IN, OUT = 21, 22
FROM_HIGH = (stretch(4, 6, range(1024, 65536)), stretch(6, 6, range(1024, 65536)))
LET_IN = Rule(IN, 1, INGRESS, None, ALLOW, HTTP)
LET_ANSWERS_OUT = Rule(OUT, 1, EGRESS, None, ALLOW, FROM_HIGH)


@pytest.fixture
def judged(world: World) -> Judged:
    judged = Judged(world)
    judged.judge(BOB, [1])
    forget(judged, IN, OUT)
    return judged


def forget(judged: Judged, *numbers: int, flags: RuleFlag = RuleFlag.RULE_FORGETS) -> None:
    for number in numbers:
        rule = layouts.Rule(uuid.uuid4().bytes, flags).encode()
        judged.world.put("rules_v1", struct.pack("<I", number), rule)


@VERSIONS
@pytest.mark.parametrize("flags", [RulesFlag(0), RulesFlag.RULES_STRICT])
def test_every_packet_is_judged_by_itself(judged: Judged, version: int, flags: RulesFlag) -> None:
    judged.judge(BOB, [1], flags)
    judged.apply(LET_IN)
    there = segment(ANN, BOB, version=version)
    back = segment(BOB, ANN, SYN_ACK, (80, 4000), version=version)
    assert sent(judged, ANN, there) == (BOB.device, "")
    assert judged.flows() == {}
    assert sent(judged, BOB, back)[0] == "", "no rule lets answers out"
    judged.age(2)
    judged.apply(LET_IN, LET_ANSWERS_OUT)
    for sender, packet, target in (
        (ANN, there, BOB),
        (BOB, back, ANN),
        (ANN, segment(ANN, BOB, ACK, version=version), BOB),
        (BOB, segment(BOB, ANN, ACK, (80, 4000), version=version), ANN),
    ):
        assert sent(judged, sender, packet) == (target.device, "")
    assert judged.states() == {}


@VERSIONS
def test_datagrams_too(judged: Judged, version: int) -> None:
    judged.apply(Rule(IN, 1, INGRESS, None, ALLOW, DNS))
    assert sent(judged, ANN, datagram(ANN, BOB, version=version)) == (BOB.device, "")
    assert sent(judged, BOB, datagram(BOB, ANN, (53, 4000), version=version)) == DENIED


@VERSIONS
def test_what_only_the_opposite_direction_would_let_pass_does_not(
    judged: Judged, version: int
) -> None:
    """As it does where the rule remembers, for connections that began before the host did."""
    judged.apply(LET_IN)
    answer = segment(BOB, ANN, ACK, (80, 4000), version=version)
    assert sent(judged, BOB, answer) == DENIED
    judged.age(2)
    forget(judged, IN, flags=RuleFlag(0))
    judged.apply(LET_IN)
    assert sent(judged, BOB, answer) == (ANN.device, "")


@VERSIONS
def test_one_of_the_two_rules_is_enough(judged: Judged, version: int) -> None:
    judged.judge(ANN, [2])
    judged.apply(LET_IN, Rule(30, 2, EGRESS, None, ALLOW, HTTP))
    assert sent(judged, ANN, segment(ANN, BOB, version=version)) == (BOB.device, "")
    assert judged.flows() == {}


@VERSIONS
def test_what_was_remembered_goes_on_as_it_is(judged: Judged, version: int) -> None:
    forget(judged, IN, flags=RuleFlag(0))
    judged.apply(LET_IN)
    assert sent(judged, ANN, segment(ANN, BOB, SYN, version=version)) == (BOB.device, "")
    forget(judged, IN)
    judged.apply(LET_IN)
    back = segment(BOB, ANN, SYN_ACK, (80, 4000), version=version)
    assert sent(judged, BOB, back) == (ANN.device, "")
    assert set(judged.states().values()) == {FlowState.FLOW_ESTABLISHED}
