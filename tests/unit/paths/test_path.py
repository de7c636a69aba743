"""What a path's probes say, without a network."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.observers.paths import path as rules
from weft.observers.paths.path import Path
from weft.observers.paths.search import Search


class Line:
    """A path that carries packets up to `mtu_bytes`, and a clock."""

    def __init__(self, mtu_bytes: int, ceiling: int = 1500) -> None:
        self.mtu_bytes = mtu_bytes
        self.now_s = 100.0
        self.path = Path(ceiling, self.now_s)
        self.trip_s = 0.001
        self.sent: list[int] = []

    def probe(self, *, is_lost: bool = False) -> None:
        """One probe, as the prober sends them."""
        size = self.path.size(self.now_s)
        self.sent.append(size)
        if is_lost or size > self.mtu_bytes:
            self.now_s += self.path.timeout_s
            self.path.lost(size, self.now_s)
        else:
            self.now_s += self.trip_s
            self.path.arrived(size, self.trip_s, self.now_s)

    def until(self, claim: Callable[[], bool], within_s: float) -> None:
        """Probe on, at most a second apart, until it holds."""
        deadline_s = self.now_s + within_s
        while not claim():
            assert self.now_s < deadline_s
            self.probe()
            self.now_s += rules.RAISE_FIRST_S / 5 if self.path.is_settled else 0.0


def test_one_probe_of_full_size_says_all_of_a_sound_path() -> None:
    line = Line(1500)
    line.probe()
    assert line.sent == [1500]
    assert line.path.is_settled and line.path.is_broken is False
    assert line.path.mtu_bytes == 1500


@given(st.integers(700, 9000), st.sampled_from([1500, 9000]))
def test_what_a_path_carries_is_found_to_the_byte(mtu_bytes: int, ceiling: int) -> None:
    line = Line(mtu_bytes, ceiling)
    line.until(lambda: line.path.is_settled, within_s=30)
    assert line.path.mtu_bytes == min(mtu_bytes, ceiling)


@given(st.integers(700, 1499))
def test_a_path_that_shrinks_is_never_called_broken(mtu_bytes: int) -> None:
    line = Line(1500)
    line.probe()
    line.mtu_bytes = mtu_bytes

    def is_found() -> bool:
        assert not line.path.is_broken
        return line.path.is_settled and line.path.mtu_bytes == mtu_bytes

    line.until(is_found, within_s=20)


def test_what_is_told_of_a_shrinking_path_changes_once() -> None:
    line = Line(1500)
    line.probe()
    line.mtu_bytes = 1400
    told = [1500]

    def is_found() -> bool:
        if line.path.mtu_bytes != told[-1]:
            told.append(line.path.mtu_bytes)
        return line.path.mtu_bytes == 1400

    line.until(is_found, within_s=20)
    assert told == [1500, 1400]


def test_a_path_that_grows_is_found_later() -> None:
    line = Line(1400)
    line.until(lambda: line.path.mtu_bytes == 1400, within_s=20)
    line.mtu_bytes = 1500
    line.until(lambda: line.path.mtu_bytes == 1500, within_s=2 * rules.RAISE_FIRST_S + 5)


def test_looking_for_more_becomes_rare() -> None:
    line = Line(1400)
    line.until(lambda: line.path.mtu_bytes == 1400, within_s=20)
    line.sent.clear()
    began_s = line.now_s
    while line.now_s < began_s + 600:
        line.probe()
        line.now_s += 1 if line.path.is_settled else 0
    assert sum(size > 1400 for size in line.sent) < 150


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_a_few_lost_probes_change_nothing(lost: int) -> None:
    line = Line(1500)
    line.probe()
    for _ in range(lost):
        line.probe(is_lost=True)
    assert line.path.is_broken is False
    line.probe()
    line.probe()
    assert line.path.is_settled and line.path.mtu_bytes == 1500


def test_a_path_that_loses_all_is_broken_within_seconds_and_works_again_at_once() -> None:
    line = Line(1500)
    line.probe()
    broke_s = line.now_s
    while not line.path.is_broken:
        line.probe(is_lost=True)
    assert rules.BROKEN_AFTER_S <= line.now_s - broke_s <= 2 * rules.BROKEN_AFTER_S
    assert line.path.mtu_bytes == 1500
    line.probe()
    assert line.path.is_broken
    line.probe()
    assert not line.path.is_broken


def test_a_path_that_never_answered_is_given_more_time() -> None:
    line = Line(1500)
    while not line.path.is_broken:
        line.probe(is_lost=True)
    assert line.now_s - 100 >= rules.NEW_AFTER_S
    assert line.path.is_known and line.path.mtu_bytes == 0


def test_devices_that_take_more_are_tried_at_once_and_less_is_believed_at_once() -> None:
    line = Line(9000)
    line.probe()
    line.path.set_ceiling(9000, line.now_s)
    line.probe()
    assert line.path.mtu_bytes == 9000
    line.path.set_ceiling(1400, line.now_s)
    assert line.path.mtu_bytes == 1400


@pytest.mark.parametrize("loss", [3, 5])
def test_a_path_that_loses_every_third_packet_is_neither_broken_nor_small(loss: int) -> None:
    line = Line(1500)
    for number in range(1, 500):
        line.probe(is_lost=number % loss == 0)
        assert not line.path.is_broken
        assert line.path.mtu_bytes in (0, 1500)


@pytest.mark.parametrize("loss", [0.1, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_a_path_that_loses_at_random_is_neither_broken_nor_small(seed: int, loss: float) -> None:
    line, chance = Line(1500), random.Random(seed)
    for _ in range(20_000):
        line.probe(is_lost=chance.random() < loss)
        assert not line.path.is_broken
        assert line.path.mtu_bytes in (0, 1500)


@pytest.mark.parametrize("trips", [1.0, 200.0])
@pytest.mark.parametrize("seed", range(5))
def test_on_a_path_that_loses_at_random_what_it_carries_is_found_all_the_same(
    seed: int, trips: float
) -> None:
    """And told when it shrinks and grows, without a word of its being broken."""
    line, chance = Line(1500, ceiling=9000), random.Random(seed)
    line.trip_s *= trips
    for mtu_bytes in (1500, 1400, 1450, 4000):
        line.mtu_bytes = mtu_bytes
        began_s = line.now_s
        while line.path.mtu_bytes != mtu_bytes:
            assert line.now_s < began_s + 2 * rules.RAISE_LAST_S
            line.probe(is_lost=chance.random() < 0.1)
            line.now_s += 1 if line.path.is_settled else 0
            assert not line.path.is_broken


def test_what_is_lost_in_an_outage_is_not_held_against_the_path() -> None:
    line = Line(1500)
    line.probe()
    for _ in range(1000):
        line.probe(is_lost=True)
    line.until(lambda: line.path.is_settled, within_s=1)
    line.mtu_bytes = 1400
    line.until(lambda: line.path.mtu_bytes == 1400, within_s=5)


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000))
def test_a_search_ends_at_the_largest_that_passes(low: int, ceiling: int, largest: int) -> None:
    search = Search(low, ceiling)
    for _ in range(60):
        if search.is_over:
            break
        size = search.size
        assert low < size <= ceiling
        if size <= largest:
            search.passed(size)
        else:
            search.lost(size, 1)
    assert search.is_over
    assert search.largest == (max(low, min(largest, ceiling)))
