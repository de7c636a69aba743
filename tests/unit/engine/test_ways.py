"""Every host keeps its way, and no way is two hosts'."""

from __future__ import annotations

import pytest

from weft.engine.ebpf.ways import NONE, Ways
from weft.errors import NotFoundError


def test_a_host_keeps_its_way() -> None:
    ways = Ways()
    first, second = ways.of(70), ways.of(80)
    assert NONE not in (first, second) and first != second
    ways.hold(70)
    ways.release(70)
    assert (ways.of(70), ways.known(70), ways.known(90)) == (first, first, NONE)
    assert ways.of(0) == NONE


def test_what_the_array_has_is_kept() -> None:
    ways = Ways()
    assert ways.found(70, 5)
    assert ways.found(70, 5)
    assert not ways.found(70, 6), "a host has one way"
    assert not ways.found(80, 5), "a way leads to one host"
    assert not ways.found(80, NONE)
    assert ways.of(70) == 5
    assert ways.of(80) not in (5, NONE)


def test_hosts_without_a_tunnel_lose_their_ways_when_there_is_no_room() -> None:
    ways = Ways(room=4)
    taken = [ways.of(tag) for tag in (70, 80, 90)]
    assert sorted(taken) == [1, 2, 3]
    ways.hold(70)
    ways.hold(90)
    assert ways.of(100) == taken[1]
    assert ways.known(80) == NONE
    ways.hold(100)
    with pytest.raises(NotFoundError, match="no more than 3"):
        ways.of(80)
    ways.release(90)
    assert ways.of(80) == taken[2]
