"""Ways between hosts, from what they publish."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address

from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Host, Neighbour, Neighbours, Record
from weft.store.memory import MemoryStore
from weft.topology.first import first, goes_first
from weft.topology.routes import Route, data_routes, routes


def a(number: int) -> IPv4Address:
    return IPv4Address(f"192.0.2.{number}")


def host(number: int) -> HostId:
    return HostId(f"h{number}")


def link(number: int, mtu_bytes: int = 1500, *, is_path_broken: bool = False) -> Neighbour:
    return Neighbour(
        host_id=host(number),
        address=a(number),
        path_mtu_bytes=mtu_bytes,
        is_path_broken=is_path_broken,
    )


def world(neighbours: dict[int, list[Neighbour]], *more: Record) -> MemoryStore:
    hosts = [Host(id=host(number), name=f"h{number}") for number in neighbours]
    stated = [
        Neighbours(id=host(number), host_id=host(number), neighbours=tuple(links))
        for number, links in neighbours.items()
    ]
    return MemoryStore([*hosts, *stated, *more])


def test_a_link_that_both_ends_state_is_a_direct_way() -> None:
    view = world({1: [link(2, 1500)], 2: [link(1, 9000)]})
    assert view.ask(routes, host(1)) == {host(2): Route(host(2), host(2), a(2), 1, 1500)}


def test_a_link_that_one_end_states_is_none() -> None:
    assert world({1: [link(2)], 2: []}).ask(routes, host(1)) == {}


def test_a_host_behind_another_is_reached_through_it_with_the_least_mtu() -> None:
    view = world({1: [link(2, 9000)], 2: [link(1, 9000), link(3, 1400)], 3: [link(2, 1500)]})
    assert view.ask(routes, host(1))[host(3)] == Route(host(3), host(2), a(2), 2, 1400)


def test_an_unknown_mtu_says_nothing_about_the_way() -> None:
    view = world({1: [link(2, 0)], 2: [link(1, 0), link(3, 1400)], 3: [link(2, 0)]})
    assert view.ask(routes, host(1))[host(3)].path_mtu_bytes == 1400


def test_among_equal_ways_the_smallest_host_relays() -> None:
    view = world(
        {
            1: [link(3), link(2)],
            2: [link(1), link(4)],
            3: [link(1), link(4)],
            4: [link(3), link(2)],
        }
    )
    assert view.ask(routes, host(1))[host(4)].via == host(2)


def test_data_goes_round_a_path_that_one_end_calls_broken() -> None:
    view = world(
        {
            1: [link(2), link(3)],
            2: [link(1), link(3)],
            3: [link(1, is_path_broken=True), link(2)],
        }
    )
    assert view.ask(routes, host(1))[host(3)].hops == 1
    assert view.ask(data_routes, host(1))[host(3)].via == host(2)


def test_a_forgotten_host_is_not_reached_and_relays_nothing() -> None:
    neighbours = {1: [link(2)], 2: [link(1), link(3)], 3: [link(2)]}
    assert world(neighbours, ForgottenHost(id=host(2))).ask(routes, host(1)) == {}


def test_a_path_without_a_link_carries_data_and_no_records() -> None:
    bare = Neighbour(host_id=host(2), address=a(2), has_link=False)
    back = Neighbour(host_id=host(1), address=a(1), has_link=False)
    view = world({1: [bare], 2: [back]})
    assert view.ask(routes, host(1)) == {}
    assert view.ask(data_routes, host(1))[host(2)].hops == 1


def test_all_that_reach_each_other_agree_who_goes_first_and_halves_have_one_each() -> None:
    halves = {1: [link(2)], 2: [link(1), link(3)], 3: [link(2)], 8: [link(9)], 9: [link(8)]}
    view = world(halves)
    for key in ("", "vnis", "gateway of web"):
        assert len({first(host(number), view, key) for number in (1, 2, 3)}) == 1
        assert len({first(host(number), view, key) for number in (8, 9)}) == 1
        for number in halves:
            assert goes_first(host(number), view, key) == (
                first(host(number), view, key) == host(number)
            )
    assert first(host(3), view) == host(1) and first(host(9), view) == host(8)
    assert first(host(7), view, "alone") == host(7)


def test_who_goes_first_differs_by_key_and_a_host_that_goes_changes_it_for_nobody_else() -> None:
    def whole(numbers: range) -> MemoryStore:
        return world({one: [link(other) for other in numbers if other != one] for one in numbers})

    keys = [f"network {number}" for number in range(300)]
    before = {key: first(host(0), whole(range(10)), key) for key in keys}
    counts = Counter(before.values())
    assert len(counts) == 10 and max(counts.values()) < 60
    after = {key: first(host(0), whole(range(9)), key) for key in keys}
    assert all(after[key] == before[key] for key in keys if before[key] != host(9))
