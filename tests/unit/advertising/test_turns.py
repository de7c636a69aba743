"""When ports are told, whatever they do: the bounds of RFC 4861."""

from __future__ import annotations

import random
from itertools import pairwise

from weft.model.ids import PortId
from weft.observers.advertising.turns import (
    ANSWER_S,
    BETWEEN_S,
    INITIAL,
    INITIAL_S,
    LEAST_S,
    MOST_S,
    Turns,
)

ONE = PortId("one")


def passed(turns: Turns, until_s: float) -> list[float]:
    """When the port is told until then."""
    found = []
    while turns.due_s() <= until_s:
        at_s = turns.due_s()
        found += [at_s for _ in turns.take(at_s, 100)]
    return found


def turns() -> Turns:
    return Turns(random.Random(7).uniform)


def test_a_new_port_is_told_soon_then_again_then_seldom() -> None:
    one = turns()
    one.renew(ONE, 100.0)
    told = passed(one, 10_000.0)
    gaps = [later - earlier for earlier, later in pairwise(told)]
    assert told[0] <= 100.0 + ANSWER_S
    assert gaps[: INITIAL - 1] == [INITIAL_S] * (INITIAL - 1)
    assert all(LEAST_S <= gap <= MOST_S for gap in gaps[INITIAL - 1 :])
    assert len(set(gaps[INITIAL - 1 :])) > 5


def test_who_asks_is_told_soon() -> None:
    one = turns()
    one.renew(ONE, 100.0)
    passed(one, 300.0)
    one.solicited(ONE, 300.0)
    (told,) = passed(one, 301.0)
    assert 300.0 <= told <= 300.0 + ANSWER_S


def test_who_asks_on_and_on_is_told_every_three_seconds() -> None:
    one, told = turns(), []
    one.renew(ONE, 0.0)
    for tick in range(60_000):
        one.solicited(ONE, tick / 1000)
        told += [tick / 1000 for _ in one.take(tick / 1000, 100)]
    gaps = [later - earlier for earlier, later in pairwise(told)]
    assert min(gaps) >= BETWEEN_S
    assert len(told) > 60 / (BETWEEN_S + 2 * ANSWER_S)
    assert len(one._heap) < 1000


def test_nobody_is_told_who_is_gone_or_was_never_there() -> None:
    one = turns()
    one.solicited(ONE, 0.0)
    one.renew(ONE, 0.0)
    one.forget(ONE)
    assert passed(one, 10_000.0) == []


def test_many_that_come_at_once_are_told_one_after_the_other() -> None:
    one = turns()
    for number in range(1000):
        one.renew(PortId(str(number)), 0.0)
    assert len(one.take(2.0, 10_000)) < 200
    assert len(one.take(30.0, 10_000)) > 500
