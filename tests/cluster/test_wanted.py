"""Whom hosts choose to link to: the whole stays in one piece, and nobody has too many."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.cluster.wanted import SMALL, wanted
from weft.model.ids import HostId


def ids(count: int, seed: int) -> list[HostId]:
    chance = random.Random(seed)
    return [HostId(chance.randbytes(8).hex()) for _ in range(count)]


def links(hosts: list[HostId], silent: frozenset[HostId] = frozenset()) -> set[frozenset[HostId]]:
    """Between hosts that are awake; each knows the silent ones."""
    awake = [host for host in hosts if host not in silent]
    return {
        frozenset((host, other))
        for host in awake
        for other in wanted(host, hosts, silent)
        if other not in silent
    }


def is_in_one_piece(hosts: list[HostId], found: set[frozenset[HostId]]) -> bool:
    neighbours: dict[HostId, set[HostId]] = {host: set() for host in hosts}
    for link in found:
        one, other = link
        neighbours[one].add(other)
        neighbours[other].add(one)
    reached, frontier = {hosts[0]}, [hosts[0]]
    while frontier:
        for other in neighbours[frontier.pop()] - reached:
            reached.add(other)
            frontier.append(other)
    return len(reached) == len(hosts)


@given(st.integers(1, SMALL), st.integers())
def test_in_a_small_cluster_everybody_links_to_everybody(count: int, seed: int) -> None:
    hosts = ids(count, seed)
    assert wanted(hosts[0], hosts) == set(hosts[1:])


@given(st.integers(SMALL + 1, 200), st.integers())
def test_a_large_cluster_is_in_one_piece_with_few_links_each(count: int, seed: int) -> None:
    hosts = ids(count, seed)
    found = links(hosts)
    assert is_in_one_piece(hosts, found)
    degrees = Counter(host for link in found for host in link)
    bound = 4 + 5 * math.log2(count)
    assert max(degrees.values()) <= bound
    assert sum(degrees.values()) / count <= 2 * math.log2(count) + 3


@given(st.integers(SMALL + 1, 120), st.integers(), st.floats(0, 0.9))
def test_those_who_are_awake_stay_in_one_piece_however_many_are_silent(
    count: int, seed: int, part: float
) -> None:
    hosts = ids(count, seed)
    silent = frozenset(random.Random(seed).sample(hosts, int(count * part)))
    awake = [host for host in hosts if host not in silent]
    assert is_in_one_piece(awake, links(hosts, silent))


@given(st.integers(SMALL + 1, 120), st.integers())
def test_a_silent_host_is_still_sought_by_those_beside_it(count: int, seed: int) -> None:
    hosts = ids(count, seed)
    silent = frozenset(hosts[:1])
    seeking = [host for host in hosts[1:] if hosts[0] in wanted(host, hosts, silent)]
    assert len(seeking) >= 4


@pytest.mark.parametrize("count", [20, 200])
def test_one_more_host_changes_little(count: int) -> None:
    hosts = ids(count + 1, 5)
    changes = [len(wanted(host, hosts) ^ wanted(host, hosts[:-1])) for host in hosts[:-1]]
    assert sum(changes) / count < 2.5


def test_five_hundred_hosts_hold_about_eighteen_links_each() -> None:
    hosts = ids(500, 3)
    found = links(hosts)
    assert 14 <= 2 * len(found) / 500 <= 20
