"""Which entries a sweep looks at, by columns of words and by decoded entries alike."""

from __future__ import annotations

import random

import pytest

from weft.kernel.bpf.flow_limits import FlowLimits
from weft.kernel.bpf.layouts import Flow, FlowFlag, FlowKey4, FlowKey6, FlowKind, FlowState
from weft.kernel.bpf.maps import Batch
from weft.observers.flows.screen import Columns, Screen, begun, is_ended, unused

LIMITS = FlowLimits()
HZ = 250
NOW = 1_000_000
TCP, UDP, ICMP, GRE = 6, 17, 1, 47


def batch(*entries: tuple[FlowKey4 | FlowKey6, Flow], behind: int = 3) -> Batch:
    """As the kernel gives it: with room behind the last entry."""
    keys = b"".join(key.encode() for key, _ in entries)
    values = b"".join(flow.encode() for _, flow in entries)
    room = behind * len(keys) // max(len(entries), 1), behind * len(Flow().encode())
    return Batch(bytearray(keys + bytes(room[0])), bytearray(values + bytes(room[1])), len(entries))


def entry(protocol: int, state: FlowState, idle_s: float, flags: int = 0) -> tuple[FlowKey4, Flow]:
    seen = int(NOW - idle_s * HZ) % 2**32
    return (
        FlowKey4(protocol=protocol, kind=FlowKind.FLOW_LEAVES, place=7),
        Flow(generation=9, seen=seen, created=seen, state=state, flags=flags),
    )


def over(*entries: tuple[FlowKey4, Flow], now: int = NOW) -> list[int]:
    return Screen(LIMITS, HZ).over(Columns.of(batch(*entries), False), now)


@pytest.mark.parametrize(
    "protocol, state, seconds",
    [
        (TCP, FlowState.FLOW_ESTABLISHED, LIMITS.tcp_established_s),
        (TCP, FlowState.FLOW_CLOSING, LIMITS.tcp_closing_s),
        (TCP, FlowState.FLOW_CLOSED, LIMITS.tcp_closed_s),
        (TCP, FlowState.FLOW_NEW, 5),
        (UDP, FlowState.FLOW_ESTABLISHED, LIMITS.udp_established_s),
        (UDP, FlowState.FLOW_NEW, 5),
        (132, FlowState.FLOW_ESTABLISHED, LIMITS.udp_established_s),
        (ICMP, FlowState.FLOW_ESTABLISHED, LIMITS.icmp_s),
        (58, FlowState.FLOW_ESTABLISHED, LIMITS.icmp_s),
        (GRE, FlowState.FLOW_ESTABLISHED, LIMITS.other_s),
    ],
)
def test_a_flow_is_looked_at_after_its_time(protocol: int, state: FlowState, seconds: int) -> None:
    """What nobody has answered as if there was a crowd: the program knows whether there is one."""
    assert over(entry(protocol, state, seconds - 1), entry(protocol, state, seconds + 1)) == [1]


def test_what_is_denied_is_always_looked_at() -> None:
    assert over(entry(TCP, FlowState.FLOW_NEW, 1, FlowFlag.FLOW_DENIED)) == [0]


def test_what_is_used_after_the_clock_was_read_is_not_old() -> None:
    assert over(entry(UDP, FlowState.FLOW_NEW, -2)) == []


def test_the_clock_may_pass_zero() -> None:
    key, flow = entry(UDP, FlowState.FLOW_NEW, 0)
    late = flow._replace(seen=2**32 - 100 * HZ), flow._replace(seen=2**32 - HZ)
    assert over((key, late[0]), (key, late[1]), now=HZ) == [0]


def between(kind: FlowKind, place: int, partner: FlowKind, its_place: int) -> tuple[FlowKey4, Flow]:
    """From one place to the other."""
    key, flow = entry(TCP, FlowState.FLOW_ESTABLISHED, 0)
    return (
        key._replace(kind=kind, place=place),
        flow._replace(partner_kind=partner, partner_place=its_place),
    )


def test_what_is_between_no_judged_ports_is_of_no_use() -> None:
    """A VNI may be the number of a device."""
    leaves, arrives, enters = FlowKind.FLOW_LEAVES, FlowKind.FLOW_ARRIVES, FlowKind.FLOW_ENTERS
    entries = [
        (True, between(leaves, 7, leaves, 8)),
        (True, between(leaves, 8, leaves, 7)),
        (False, between(leaves, 8, leaves, 9)),
        (True, between(arrives, 9, leaves, 7)),
        (False, between(arrives, 7, leaves, 9)),
        (False, between(leaves, 9, enters, 7)),
        (True, between(leaves, 7, enters, 9)),
    ]
    columns = Columns.of(batch(*(each for _, each in entries)), False)
    assert unused(columns, {7}) == [at for at, (is_used, _) in enumerate(entries) if not is_used]
    assert unused(columns, set()) == list(range(len(entries)))


def test_what_has_begun_since_the_last_sweep() -> None:
    columns = Columns.of(batch(*(entry(TCP, FlowState.FLOW_NEW, s) for s in (9, 5, 1))), False)
    assert begun(columns, NOW - 6 * HZ, NOW) == [1, 2]
    assert begun(columns, NOW - HZ // 2, NOW) == []


def test_of_two_sweeps_one_tells_of_what_began_in_the_tick_between() -> None:
    columns = Columns.of(batch(entry(TCP, FlowState.FLOW_NEW, 0)), False)
    assert begun(columns, NOW - HZ, NOW) == []
    assert begun(columns, NOW, NOW + HZ) == [0]
    assert begun(columns, NOW + 1, NOW + HZ) == []


@pytest.mark.parametrize("is_ipv6", [False, True])
def test_columns_are_what_the_entries_say(is_ipv6: bool) -> None:
    chance = random.Random(5)

    def number() -> int:
        return chance.randrange(2**32)

    entries = [
        (
            (FlowKey6 if is_ipv6 else FlowKey4)(
                place=number(), protocol=number() % 256, kind=number() % 4
            ),
            Flow(
                generation=chance.choice((0, number())),
                seen=number(),
                created=number(),
                flags=number() % 2**16,
                state=number() % 5,
            ),
        )
        for _ in range(100)
    ]
    columns = Columns.of(batch(*entries), is_ipv6)
    for at, (key, flow) in enumerate(entries):
        assert columns.seen[at] == flow.seen
        assert columns.created[at] == flow.created
        assert columns.state[at] == flow.flags | flow.state << 16
        assert columns.protocol[at] == key.protocol | key.kind << 8
        assert columns.place[at] == key.place
        assert is_ended(columns, at) is (flow.generation == 0)
    assert all(len(column) == len(entries) for column in columns)
