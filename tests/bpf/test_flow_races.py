"""Two CPUs at the same entry, and rules that change while they are read."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable

import pytest

from tests.bpf.image import ANYBODY, Image
from tests.bpf.judged import ACK, ALLOW_ALL, SYN, Judged, segment
from tests.bpf.rules import TENANT
from tests.bpf.test_flows import DENIED
from tests.bpf.world import ANN, BOB, World
from weft.engine.ebpf.policy.points import EVERYTHING, stretch
from weft.engine.ebpf.policy.profile import Clause, Profile, word
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Direction, RuleAction, RulesFlag, Tier

ROUNDS = 300
TIMEOUT_S = 60


@pytest.fixture
def judged(world: World) -> Judged:
    judged = Judged(world)
    judged.judge(BOB, [1], ALLOW_ALL)
    return judged


def together(*actions: Callable[[], None]) -> None:
    """Each in a thread of its own, which is in this one's network namespace."""
    barrier = threading.Barrier(len(actions), timeout=TIMEOUT_S)
    errors: list[BaseException] = []

    def run(action: Callable[[], None]) -> None:
        try:
            barrier.wait()
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    if errors:
        raise errors[0]


def test_two_cpus_begin_one_connection(judged: Judged) -> None:
    judged.apply()

    def begin() -> None:
        for port in range(1000, 1000 + ROUNDS):
            packet = segment(ANN, BOB, SYN, (port, 80))
            assert judged.world.send(ANN, packet)[:2] == (BOB.device, "")

    together(begin, begin)
    flows = judged.flows()
    assert len(flows) == 2 * ROUNDS
    assert sum(flow.is_answer for flow in flows.values()) == ROUNDS
    assert all(flow.generation and not flow.is_denied for flow in flows.values())


def test_two_cpus_decide_one_connection_anew(judged: Judged) -> None:
    judged.apply()
    judged.world.send(ANN, segment(ANN, BOB))

    def go_on() -> None:
        for number in range(ROUNDS):
            assert judged.world.send(ANN, segment(ANN, BOB, ACK))[:2] == (BOB.device, "")
            if number % 3 == 0:
                judged.tell(judged.port_slot(BOB))

    together(go_on, go_on)
    flows = judged.flows()
    assert len(flows) == 2
    assert sorted(flow.is_answer for flow in flows.values()) == [False, True]


ADMIN_PASS, ALLOWED, DROPPED = 10, 11, 22
PREFIX_ATOM = 40


def test_a_packet_meets_the_rules_of_before_or_of_after(judged: Judged) -> None:
    """Of the one edition, prefixes decide, of the other one what is about anybody. Whoever met a
    bit of both would find no rule."""
    image = Image()
    whole = stretch(4)

    def profile(tier: Tier, action: RuleAction, number: int) -> Profile:
        return Profile([Clause(*EVERYTHING, tier, word(1, action, number))])

    passing = profile(Tier.TIER_ADMIN, RuleAction.RULE_PASS, ADMIN_PASS)
    allowing = Profile([Clause(*whole, Tier.TIER_NORMAL, word(1, RuleAction.RULE_ALLOW, ALLOWED))])
    dropping = profile(Tier.TIER_NORMAL, RuleAction.RULE_DROP, DROPPED)
    ingress = Direction.INGRESS
    image.add_subject(1, 102, {(ingress, ANYBODY): dropping})
    image.add_subject(
        1, 101, {(ingress, ANYBODY): passing, (ingress, PREFIX_ATOM): allowing}, {ingress}
    )
    image.add_identity(7, [PREFIX_ATOM])
    prefix = layouts.PrefixKey(32 + 96, TENANT, bytes(10) + b"\xff\xff" + bytes(4)).encode()
    image.entries["prefixes_v1"][prefix] = layouts.Prefix(7).encode()
    judged.apply()
    slots = {"network_slot": 5000, "port_slot": judged.port_slot(BOB)}
    image.add_port(judged.row(BOB), [1], RulesFlag(0), tenant=TENANT, **slots)
    for name, entries in image.entries.items():
        for key, value in entries.items():
            judged.world.put(name, key, value)
    is_done = threading.Event()
    subject = struct.pack("<I", 1)

    def change() -> None:
        number = 0
        while not is_done.is_set():
            number += 1
            edition = layouts.Current(101 + number % 2).encode()
            judged.world.put("current_v1", subject, edition)
            judged.tell(judged.port_slot(BOB))

    def begin() -> None:
        try:
            for port in range(1, 10 * ROUNDS):
                packet = segment(ANN, BOB, SYN, (port, 80))
                assert judged.world.send(ANN, packet)[:2] in ((BOB.device, ""), DENIED)
        finally:
            is_done.set()

    together(change, begin)
    met = {flow.ingress_rule for flow in judged.flows().values() if not flow.is_answer}
    assert met == {ALLOWED, DROPPED}
    raw = layouts.Current(102).encode()
    judged.world.put("current_v1", subject, raw)
    judged.tell(judged.port_slot(BOB))
    for port in range(1, 200):
        packet = segment(ANN, BOB, ACK, (port, 80))
        assert judged.world.send(ANN, packet)[:2] == DENIED, "no decision outlives its number"
