"""What the load of the lab's tests claims: a checker that finds nothing would prove nothing."""

from __future__ import annotations

import time
from typing import cast

import pytest

from tests.system.load import GRACE_S, Claims, Flow, Seen
from tests.system.workload import Workload


class Named:
    """As much of a workload as a claim is about."""

    name = "one"
    address4, address6 = "10.1.0.1", "fd00::1"


ONE = cast("Workload", Named())
FLOW = Flow("one", "10.1.0.1", 80)


def claims(*, passes: bool) -> tuple[Claims, float]:
    """One, and a moment within it."""
    made = Claims()
    with made.while_so("so", [ONE], [ONE], 80, passes=passes):
        now_s = time.monotonic()
    made.lengthen(10 + GRACE_S)
    return made, now_s


def test_a_datagram_that_got_through_against_a_claim_is_found() -> None:
    made, now_s = claims(passes=False)
    made.check({FLOW: [Seen(now_s, None, None)] * 3})
    with pytest.raises(AssertionError, match="so"):
        made.check({FLOW: [Seen(now_s, None, None), Seen(now_s, now_s + 1, None)]})


def test_one_that_was_sent_before_or_gets_there_later_is_not_meant() -> None:
    made, now_s = claims(passes=False)
    before, later = Seen(now_s - 1, now_s, None), Seen(now_s, now_s + 100, None)
    made.check({FLOW: [before, later, *[Seen(now_s, None, None)] * 3]})


def test_one_that_was_lost_against_a_claim_is_found() -> None:
    made, now_s = claims(passes=True)
    answered = Seen(now_s, now_s, now_s)
    made.check({FLOW: [answered] * 3})
    with pytest.raises(AssertionError, match="so"):
        made.check({FLOW: [answered, Seen(now_s, now_s, None)]})


def test_a_claim_about_nothing_that_was_sent_is_found() -> None:
    made, now_s = claims(passes=True)
    with pytest.raises(AssertionError, match="so"):
        made.check({FLOW._replace(port=81): [Seen(now_s, now_s, now_s)] * 9})
