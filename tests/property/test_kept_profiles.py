"""Profiles that are kept from change to change are what fresh ones of the same clauses are."""

from __future__ import annotations

import random

import pytest

from weft.engine.ebpf.policy.clauses import Said
from weft.engine.ebpf.policy.points import TOP
from weft.engine.ebpf.policy.profile import Clause, Profile, word
from weft.engine.ebpf.policy.profiles import KEPT, LEAST, MOST_CHANGES, Profiles
from weft.kernel.bpf.layouts import RuleAction, Tier


def clause(said: Said) -> Clause:
    action = RuleAction(said.action)
    return Clause(said.first, said.last, Tier(said.tier), word(said.rank, action, int(said.id)))


def some(chance: random.Random, id: int) -> Said:
    first = chance.choice([0, chance.randrange(300), TOP - chance.randrange(3)])
    last = chance.choice([first, TOP, min(TOP, first + chance.randrange(90))])
    tier, rank = chance.randrange(Tier.TIERS), chance.randrange(4)
    return Said(first, last, tier, rank, chance.choice(list(RuleAction)), str(id))


@pytest.mark.parametrize("turn", range(20))
def test_a_kept_profile_is_a_fresh_one(turn: int) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    profiles = Profiles(clause)
    said = {some(chance, id) for id in range(LEAST + chance.randrange(60))}
    for step in range(40):
        for _ in range(chance.choice([0, 1, 1, 2, MOST_CHANGES, 2 * MOST_CHANGES])):
            if said and chance.random() < 0.5:
                said.remove(chance.choice(sorted(said)))
            said.add(some(chance, 1000 + chance.randrange(10**6)))
        head = chance.randrange(KEPT + 2)
        fresh = Profile(clause(each) for each in sorted(said))
        found = profiles.of(head, tuple(sorted(said)))
        assert found.spans == fresh.spans, f"seed {seed}, step {step}"


def test_one_rule_more_asks_for_one_rule() -> None:
    asked: list[str] = []

    def noting(said: Said) -> Clause:
        asked.append(said.id)
        return clause(said)

    profiles = Profiles(noting)
    rules = [Said(at, at, 1, 1000, int(RuleAction.RULE_ALLOW), str(at)) for at in range(LEAST)]
    more = Said(500, 500, 1, 1000, int(RuleAction.RULE_ALLOW), "500")
    profiles.of("head", tuple(rules))
    assert len(asked) == LEAST
    profiles.of("head", (*rules, more))
    assert asked[LEAST:] == ["500"]
    profiles.of("head", (*rules[1:], more))
    assert asked[LEAST + 1 :] == ["0"]
    profiles.forget()
    profiles.of("head", tuple(rules))
    assert len(asked) == 2 * LEAST + 2
