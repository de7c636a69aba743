"""Who is due when."""

from __future__ import annotations

import math

from weft.observers.paths.agenda import Agenda


def test_what_is_due_comes_in_order_and_once() -> None:
    agenda: Agenda[str] = Agenda()
    for name, when_s in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        agenda.put(name, when_s)
    assert agenda.next_s == 1.0
    assert agenda.take(2.0) == ["a", "b"]
    assert agenda.take(2.5) == []
    assert agenda.next_s == 3.0


def test_only_the_last_word_counts() -> None:
    agenda: Agenda[str] = Agenda()
    for when_s in (1.0, 5.0, 3.0):
        agenda.put("a", when_s)
    agenda.put("b", 1.0)
    agenda.put("b", math.inf)
    agenda.put("c", 2.0)
    agenda.remove("c")
    agenda.remove("never there")
    assert agenda.take(2.9) == []
    assert agenda.take(10.0) == ["a"]
    assert agenda.next_s == math.inf


def test_one_that_is_asked_to_wait_again_and_again_leaves_nothing_behind() -> None:
    agenda: Agenda[str] = Agenda()
    for turn in range(1000):
        agenda.put("a", float(turn))
        assert agenda.take(turn) == ["a"]
    assert agenda.next_s == math.inf
