"""Profiles against every point looked at by itself; numbers, slots and images."""

from __future__ import annotations

import random
from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.engine.ebpf.policy.numbers import Numbers
from weft.engine.ebpf.policy.points import EVERYTHING, TOP, icmp, point, stretch
from weft.engine.ebpf.policy.profile import NONE, NOTHING, Clause, Profile, Span, sweep, word
from weft.engine.ebpf.policy.slots import slot_of
from weft.errors import ExhaustedError
from weft.kernel.bpf.layouts import RuleAction, Rules, Tier

_TIERS = (Tier.TIER_ADMIN, Tier.TIER_NORMAL, Tier.TIER_BASELINE)
_END = 20


@st.composite
def clauses(draw: st.DrawFn) -> Clause:
    first = draw(st.integers(0, _END))
    last = draw(st.sampled_from((TOP, *range(first, _END + 1))))
    rank = draw(st.integers(0, 3))
    action = draw(st.sampled_from(list(RuleAction)))
    return Clause(first, last, draw(st.sampled_from(_TIERS)), word(rank, action, rank))


def brute(clauses: list[Clause], point: int) -> tuple[int, ...]:
    """Every clause, looked at by itself."""
    return tuple(
        min(
            (
                each.word
                for each in clauses
                if each.tier == tier and each.first <= point <= each.last
            ),
            default=NONE,
        )
        for tier in _TIERS
    )


@given(st.lists(clauses(), max_size=12))
def test_every_point_has_the_best_clause_of_each_tier(given: list[Clause]) -> None:
    profile = Profile(given)
    for at in (*range(_END + 3), TOP):
        assert profile.at(at) == brute(given, at)
    spans = profile.spans
    assert spans[0].start == 0
    assert all(one.start < two.start and one.best != two.best for one, two in pairwise(spans))


@given(st.lists(clauses(), max_size=12), st.randoms(use_true_random=False))
def test_clauses_that_come_and_go_leave_what_a_fresh_profile_has(
    given: list[Clause], chance: random.Random
) -> None:
    profile = Profile()
    present: list[Clause] = []
    for each in given:
        profile.add(each)
        present.append(each)
        assert profile.spans == Profile(present).spans
        if chance.random() < 0.4:
            gone = present.pop(chance.randrange(len(present)))
            profile.remove(gone)
            assert profile.spans == Profile(present).spans
    chance.shuffle(present)
    while present:
        profile.remove(present.pop())
        assert profile.spans == Profile(present).spans
    assert profile.spans == (Span(0, NOTHING),)


def test_thousands_of_random_changes() -> None:
    chance = random.Random(7)
    profile, present = Profile(), list[Clause]()
    for step in range(1500):
        if present and chance.random() < 0.45:
            profile.remove(present.pop(chance.randrange(len(present))))
        else:
            ports = sorted(chance.randrange(65536) for _ in range(2))
            its = stretch(chance.choice([4, 6]), 6, range(ports[0], ports[1] + 1))
            rank = chance.randrange(50)
            clause = Clause(
                *chance.choice([its, its, EVERYTHING, stretch(4)]),
                chance.choice(_TIERS),
                word(rank, chance.choice(list(RuleAction)), step),
            )
            profile.add(clause)
            present.append(clause)
        if step % 10 == 0:
            assert profile.spans == Profile(present).spans
    assert profile.spans == Profile(present).spans


def test_a_clause_that_is_not_there_cannot_go() -> None:
    with pytest.raises(ValueError, match="not in list"):
        Profile().remove(Clause(0, TOP, Tier.TIER_ADMIN, 0))


def test_a_sweep_keeps_to_its_part() -> None:
    given = [Clause(0, 10, Tier.TIER_ADMIN, 5), Clause(8, TOP, Tier.TIER_ADMIN, 3)]
    assert sweep(given, 4, 8) == [(4, 5), (8, 3)]
    assert sweep([], 4, 8) == [(4, NONE)]


def test_the_stricter_of_equals_wins() -> None:
    words = [word(7, action, 9) for action in RuleAction]
    assert words == sorted(words)
    assert word(7, RuleAction.RULE_PASS, 2**28 - 1) < word(8, RuleAction.RULE_DROP, 0)


def test_packets_lie_in_the_stretches_that_name_them() -> None:
    https = point(6, 6, 443)
    for its in (EVERYTHING, stretch(6), stretch(6, 6), stretch(6, 6, range(443, 444))):
        assert its.first <= https <= its.last
    for its in (stretch(4), stretch(6, 17), stretch(6, 6, range(444, 500))):
        assert not its.first <= https <= its.last
    echo = point(4, 1, 8 << 8)
    assert icmp(4, 8).first == echo == icmp(4, 8, 0).first == icmp(4, 8, 0).last
    assert icmp(4, 8).last == echo + 255


class Clock:
    """Monotonic seconds, which pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def looked(numbers: Numbers[str], *needed: str) -> list[tuple[str, int]]:
    numbers.begin_look()
    for each in needed:
        assert numbers.of(each)
    return numbers.end_look()


def test_a_number_that_nobody_asks_for_rests_and_is_then_anothers() -> None:
    clock = Clock()
    numbers = Numbers[str]("atoms", 4, clock, 1.0)
    assert numbers.of("a") is None
    assert [numbers.new(each) for each in "abc"] == [1, 2, 3]
    assert looked(numbers, "b", "c") == [("a", 1)]
    assert (numbers.of("a"), numbers.of("b"), numbers.key(1), len(numbers)) == (None, 2, None, 2)
    with pytest.raises(ExhaustedError, match="atoms: this host has room for 3"):
        numbers.new("d")
    clock.now_s += 1.1
    assert numbers.new("d") == 1
    assert (numbers.key(1), numbers.end) == ("d", 4)


def test_a_number_that_was_found_is_kept_and_gaps_are_filled() -> None:
    numbers = Numbers[str]("atoms", 9, Clock())
    numbers.found("x", 3)
    numbers.found_resting(2)
    assert [numbers.new(each) for each in "abc"] == [1, 4, 5]
    assert numbers.of("x") == 3


def test_numbers_that_flows_name_are_reused_last() -> None:
    clock = Clock()
    numbers = Numbers[str]("rules", 5, clock, is_reused_last=True)
    assert [numbers.new(each) for each in "ab"] == [1, 2]
    looked(numbers, "b")
    clock.now_s += 2
    assert [numbers.new(each) for each in "cde"] == [3, 4, 1]


def test_addresses_are_spread_over_their_slots() -> None:
    addresses = [ip_address(f"10.1.{high}.{low}") for high in range(4) for low in range(256)]
    slots = {slot_of(each) for each in addresses}
    assert len(slots) > 800
    assert all(0 <= each < Rules.REMOTE_SLOTS for each in slots)
