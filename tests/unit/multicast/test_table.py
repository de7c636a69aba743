"""Who is a member until when, what is asked when, and at what pace it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from weft.model.addresses import IPAddress
from weft.model.ids import NetworkId, PortId
from weft.observers.multicast import pace, table
from weft.observers.multicast.pace import Pace
from weft.observers.multicast.table import Table

FOO, BAR = NetworkId("foo"), NetworkId("bar")
A, B = PortId("a"), PortId("b")
GROUP, OTHER = IPv4Address("239.1.1.1"), IPv6Address("ff05::1")
GATEWAY = IPv4Address("10.1.0.1")


def test_members_stay_until_their_time_or_until_they_leave() -> None:
    members = Table()
    assert members.join(A, FOO, OTHER, 10.0) and members.join(A, FOO, GROUP, 20.0)
    assert members.groups(A) == (GROUP, OTHER)
    assert members.expire(10.0) == 20.0
    assert members.groups(A) == (GROUP,)
    members.join(A, FOO, GROUP, 30.0)
    assert members.expire(29.9) == 30.0
    members.leave(A, GROUP)
    members.leave(A, GROUP)
    assert members.groups(A) == () and not members.ports()
    assert members.expire(100.0) == math.inf


def test_only_what_is_new_is_noted_as_changed() -> None:
    members = Table()
    members.join(A, FOO, GROUP, 10.0)
    assert members.changed == {A}
    members.changed.clear()
    members.join(A, FOO, GROUP, 20.0)
    members.leave(A, OTHER)
    members.leave(B, GROUP)
    members.expire(15.0)
    assert members.changed == set()
    members.forget(A)
    assert members.changed == {A}


def test_a_doubted_member_goes_soon_unless_it_joins_again() -> None:
    members = Table()
    members.join(A, FOO, GROUP, 100.0)
    members.join(B, FOO, GROUP, 100.0)
    assert members.doubt(A, GROUP, 5.0) and members.doubt(B, GROUP, 5.0)
    assert not members.doubt(A, OTHER, 5.0)
    members.join(B, FOO, GROUP, 104.0)
    members.expire(5.0)
    assert members.groups(A) == () and members.groups(B) == (GROUP,)


def test_a_port_joins_so_many_groups_and_no_more() -> None:
    members = Table()
    groups = [IPv4Address(int(GROUP) + number) for number in range(table.PORT_GROUPS + 1)]
    joined = [members.join(A, FOO, group, 10.0) for group in groups]
    assert joined == [True] * table.PORT_GROUPS + [False]
    assert members.join(A, FOO, groups[0], 20.0)
    assert members.join(B, FOO, groups[-1], 10.0)
    members.leave(A, groups[0])
    assert members.join(A, FOO, groups[-1], 10.0)


def all_groups(members: Table, ports: Sequence[PortId]) -> set[IPAddress]:
    return {group for port in ports for group in members.groups(port)}


def test_the_ports_of_a_network_join_so_many_groups_and_no_more() -> None:
    members = Table()
    ports = [PortId(str(number)) for number in range(8)]
    groups = [IPv4Address(int(GROUP) + number) for number in range(table.NETWORK_GROUPS + 1)]
    for number, group in enumerate(groups[:-1]):
        assert members.join(ports[number % 8], FOO, group, 10.0)
    assert not members.join(ports[0], FOO, groups[-1], 10.0)
    assert members.join(A, FOO, groups[0], 10.0)
    assert members.join(B, BAR, groups[-1], 10.0)
    members.forget(PortId("1"))
    assert members.join(ports[0], FOO, groups[-1], 10.0)


def test_ports_that_join_all_there_is_take_no_group_from_a_port_that_wants_few() -> None:
    members = Table()
    greedy = [PortId(f"greedy{number}") for number in range(6)]
    groups = [IPv4Address(int(GROUP) + number) for number in range(2 * table.NETWORK_GROUPS)]
    wanted = groups[-4:]

    def flood() -> None:
        for number, group in enumerate(groups[: -len(wanted)]):
            members.join(greedy[number % len(greedy)], FOO, group, 10.0)

    flood()
    for group in wanted:
        assert members.join(A, FOO, group, 10.0)
    flood()
    assert members.groups(A) == tuple(wanted)
    assert len(all_groups(members, [*greedy, A])) <= table.NETWORK_GROUPS
    sizes = [len(members.groups(port)) for port in greedy]
    assert max(sizes) - min(sizes) <= table.PORT_GROUPS
    for port in (*greedy, A):
        members.forget(port)
    assert not members._members and not members._counts


def test_a_port_that_is_on_another_network_now_begins_anew() -> None:
    members = Table()
    members.join(A, FOO, GROUP, 10.0)
    members.join(A, BAR, OTHER, 10.0)
    assert members.groups(A) == (OTHER,)


steps = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "doubt", "forget", "expire"]),
        st.sampled_from([A, B]),
        st.integers(0, 3),
        st.integers(0, 20),
    ),
    max_size=30,
)


@given(steps)
def test_what_comes_and_goes_leaves_nothing_behind(
    steps: list[tuple[str, PortId, int, int]],
) -> None:
    members = Table()
    expected: dict[tuple[PortId, IPv4Address], float] = {}
    for what, port, number, at_s in steps:
        group = IPv4Address(int(GROUP) + number)
        match what:
            case "join":
                members.join(port, FOO, group, at_s)
                expected[port, group] = max(at_s, expected.get((port, group), 0))
            case "leave":
                members.leave(port, group)
                expected.pop((port, group), None)
            case "doubt":
                if members.doubt(port, group, at_s):
                    expected[port, group] = min(at_s, expected[port, group])
            case "forget":
                members.forget(port)
                expected = {key: until for key, until in expected.items() if key[0] != port}
            case "expire":
                members.expire(at_s)
                expected = {key: until for key, until in expected.items() if until > at_s}
        assert {(p, g) for p in members.ports() for g in members.groups(p)} == expected.keys()
    for port in (A, B):
        members.forget(port)
    assert not members.ports() and not members._counts and not members._networks


def test_the_pace_lets_a_burst_pass_and_then_one_at_a_time() -> None:
    told = Pace()
    for _ in range(pace.BURST):
        assert told.ready_s(A, 0.0) == 0.0
        told.told(A, 0.0)
    assert told.ready_s(A, 0.0) == pace.EVERY_S
    assert told.ready_s(B, 0.0) == 0.0
    told.told(A, 1.0)
    assert told.ready_s(A, 1.0) == 2 * pace.EVERY_S
    told.forget(1000.0)
    assert told.ready_s(A, 1000.0) == 1000.0
