"""What has ended is remembered, and neither for ever nor without bound."""

from __future__ import annotations

from ipaddress import ip_address

from msgspec.structs import replace

from weft.observers.flows.history import History
from weft.observers.flows.seen import Denial, FlowSeen, FlowWord

FLOW = FlowSeen(
    protocol=6,
    source=ip_address("10.1.0.2"),
    destination=ip_address("10.1.0.3"),
    source_port=4000,
    destination_port=80,
    network_id="n1",
    state=FlowWord.CLOSED,
    packets=3,
    octets=300,
    answer_packets=2,
    answer_octets=200,
    began_s=100.0,
    seen_s=110.0,
    ended_s=120.0,
)
DENIED = replace(FLOW, state=FlowWord.DENIED, denied_by=Denial.INGRESS)


def test_the_last_one_comes_first() -> None:
    history = History()
    later = replace(FLOW, source_port=4001)
    history.add(FLOW, 120.0)
    history.add(later, 120.0)
    assert list(history.latest()) == [later, FLOW]


def test_ports_that_are_used_again_are_another_connection() -> None:
    history = History()
    again = replace(FLOW, began_s=115.0)
    history.add(FLOW, 120.0)
    history.add(again, 120.0)
    assert len(history) == 2


def test_what_is_denied_again_is_one_with_all_its_packets() -> None:
    history = History()
    history.add(DENIED, 120.0)
    history.add(replace(FLOW, source_port=4001), 120.0)
    history.add(replace(DENIED, began_s=130.0, seen_s=131.0, ended_s=132.0), 132.0)
    assert len(history) == 2
    first = next(history.latest())
    assert (first.packets, first.octets) == (6, 600)
    assert (first.began_s, first.seen_s, first.ended_s) == (100.0, 131.0, 132.0)


def test_what_is_old_is_forgotten() -> None:
    history = History(kept_s=60.0)
    history.add(FLOW, 120.0)
    history.add(replace(FLOW, source_port=4001, ended_s=179.0), 179.0)
    assert len(history) == 2
    history.add(replace(FLOW, source_port=4002, ended_s=181.0), 181.0)
    assert [flow.source_port for flow in history.latest()] == [4002, 4001]
    assert history.forgotten == 0


def test_of_too_many_the_oldest_goes() -> None:
    history = History(most=3)
    for port in range(5):
        history.add(replace(FLOW, source_port=port), 120.0)
    assert [flow.source_port for flow in history.latest()] == [4, 3, 2]
    assert history.forgotten == 2
