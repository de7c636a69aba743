"""The kernel's own count of how often programs ran, and for how long."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from weft.kernel.bpf import run_stats, syscall
from weft.kernel.bpf.assembly import end, load_classifier, move
from weft.kernel.bpf.run_stats import RunTime

PACKET = bytes(64)


@pytest.fixture
def two_programs() -> Iterator[tuple[int, int]]:
    programs = (load_classifier((move(0, 0), end())), load_classifier((move(0, 1), end())))
    yield programs
    for fd in programs:
        os.close(fd)


def test_runs_of_several_programs_are_counted_together(two_programs: tuple[int, int]) -> None:
    one, other = two_programs
    with run_stats.counted():
        before = run_stats.of(two_programs)
        syscall.run_program(one, PACKET, repeat=5)
        syscall.run_program(other, PACKET, repeat=2)
        added = run_stats.of(two_programs).since(before)
    assert added.runs == 7
    assert added.ns > 0


def test_who_did_not_run_has_no_time() -> None:
    assert RunTime(3, 90).since(RunTime(3, 90)).ns_a_run is None
    assert RunTime(5, 150).since(RunTime(3, 90)).ns_a_run == 30
