"""When which port is asked, without a kernel."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address

import pytest

from weft.model.addresses import ip_address
from weft.model.ids import PortId
from weft.observers.multicast import querier
from weft.observers.multicast.querier import Querier

A, B = PortId("a" * 16), PortId("b" * 16)
GROUP, OTHER = ip_address("239.1.2.3"), ip_address("ff05::1")
GATEWAY = IPv4Address("10.1.0.1")


def asking(*members: PortId) -> Querier:
    """These are members of something."""
    return Querier(lambda port: port in members)


def asked(by: Querier, now_s: float) -> list[PortId]:
    return [question.port for question in by.take(now_s, 100)]


def test_a_port_is_asked_soon_then_again_then_now_and_then() -> None:
    asks = asking(A)
    asks.ask(A, GATEWAY, 0.0)
    asks.ask(A, GATEWAY, 0.0)
    times = []
    for _ in range(4):
        times.append(asks.due_s())
        assert asked(asks, times[-1] - 0.001) == []
        assert asked(asks, times[-1]) == [A]
    assert times[0] == querier.FIRST_S
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    expected = [querier.SECOND_S, querier.INTERVAL_S, querier.INTERVAL_S]
    assert gaps == pytest.approx(expected)


def test_a_port_that_is_gone_is_asked_no_more_and_one_that_returns_once() -> None:
    asks = asking(A)
    asks.ask(A, GATEWAY, 0.0)
    asks.forget(A)
    assert asked(asks, 50.0) == []
    asks.ask(A, GATEWAY, 50.0)
    asks.forget(A)
    asks.ask(A, GATEWAY, 60.0)
    assert asked(asks, 61.0) == [A]
    assert asked(asks, 61.0) == []


def test_a_doubted_group_is_asked_about_twice_in_its_own_family() -> None:
    asks = asking(A)
    asks.doubt(A, GROUP, 0.0)
    assert asked(asks, 1.0) == []
    asks.ask(A, GATEWAY, 0.0)
    list(asks.take(1.0, 100))
    asks.doubt(A, GROUP, 1.0)
    asks.doubt(A, GROUP, 1.0)
    asks.doubt(A, OTHER, 1.0)
    first = list(asks.take(1.0, 100))
    assert [frame[12:14].hex() for each in first for frame in each.frames] == ["0800", "86dd"]
    assert len(list(asks.take(1.0 + querier.LAST_S, 100))) == 2
    assert asked(asks, 10.0) == []


@pytest.mark.parametrize(("is_member", "a_second"), [(True, 500), (False, 15)])
def test_many_new_ports_are_asked_one_after_the_other_and_members_first(
    is_member: bool, a_second: int
) -> None:
    ports = [PortId(str(number)) for number in range(10_000)]
    asks = asking(*ports if is_member else ())
    for port in ports:
        asks.ask(port, GATEWAY, 0.0)
    now_s = 10.0 + querier.FIRST_S
    assert len(list(asks.take(now_s, 10_000))) == pytest.approx(10 * a_second, rel=0.1)
    assert len(list(asks.take(now_s, 10_000))) == 0
    assert len(list(asks.take(now_s + 10, a_second))) == a_second


def test_ports_are_asked_together_so_that_weftd_wakes_up_seldom() -> None:
    asks = asking()
    for number in range(1000):
        asks.ask(PortId(str(number)), GATEWAY, 0.123)
    moments = set()
    while asks.due_s() < 10:
        moments.add(asks.due_s())
        list(asks.take(asks.due_s(), 1000))
    assert len(moments) <= 11


def test_a_port_that_is_a_member_of_nothing_is_asked_seldom() -> None:
    asks = asking()
    asks.ask(A, GATEWAY, 0.0)
    times = []
    while asks.due_s() < 10_000:
        times.append(asks.due_s())
        assert asked(asks, times[-1]) == [A]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == pytest.approx([querier.SECOND_S, *[querier.SELDOM_S] * (len(gaps) - 1)])


def test_a_port_that_answers_the_first_question_is_spared_the_second() -> None:
    asks = asking()
    asks.ask(A, GATEWAY, 0.0)
    asks.ask(B, GATEWAY, 0.0)
    asks.heard(A, 0.1)  # what it says by itself when it comes up
    assert asked(asks, 1.0) == [A, B]
    asks.heard(B, 1.1)
    assert asked(asks, 1.0 + querier.SECOND_S) == [A]
    assert asked(asks, 1.0 + querier.SECOND_S + querier.SELDOM_S) == [A, B]


def test_a_port_that_becomes_a_member_is_asked_in_time_from_then_on() -> None:
    members: list[PortId] = []
    asks = Querier(members.__contains__)
    asks.ask(A, GATEWAY, 0.0)
    assert asked(asks, 1.0) == asked(asks, 50.0) == [A]
    members.append(A)
    asks.heard(A, 300.0)
    asks.heard(A, 310.0)
    assert asked(asks, 300.0 + querier.INTERVAL_S - 1) == []
    for turn in range(1, 5):
        assert asked(asks, 300.0 + turn * querier.INTERVAL_S) == [A]
    members.clear()
    assert asked(asks, 300.0 + 5 * querier.INTERVAL_S) == [A]
    assert asked(asks, 300.0 + 6 * querier.INTERVAL_S) == []
