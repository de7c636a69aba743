"""What is compared, what is skipped, and what is expected of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weft.bench import hosts, pinger
from weft.bench.comparison import RR_PINNED, Comparison
from weft.bench.plan import Plan
from weft.bench.results import Results
from weft.bench.topology import WEFT, Pair
from weft.bench.traffic import Traffic
from weft.bench.two_hosts import UNDERLAY, VXLAN_BRIDGE
from weft.errors import UnavailableError


@contextmanager
def _absent(mtu_bytes: int) -> Iterator[Pair]:
    raise UnavailableError(f"the kernel has none of MTU {mtu_bytes}")
    yield


def test_a_way_that_cannot_be_had_here_is_skipped_with_its_reason(tmp_path: Path) -> None:
    results = Results()
    plan = Plan(tmp_path, lambda _: None, is_quick=True)
    Comparison("hosts", "Two hosts: ", {"swarm": _absent}, 1450).measure(plan, results)
    assert results.skipped == {"hosts: swarm": "the kernel has none of MTU 1450"}
    assert not any(results.samples.values())


def test_figures_of_two_comparisons_are_kept_apart() -> None:
    one, other = Comparison("path", "", {}, 1450), Comparison("hosts", "", {}, 1450)
    assert one.figure(RR_PINNED) == "path_rr_pinned"
    assert one.stream(4, "bbr") != other.stream(4, "bbr")


def test_two_hosts_are_held_to_the_limit_and_to_what_others_use(tmp_path: Path) -> None:
    results = Results()
    comparison = Comparison("hosts", "", {}, 1450)
    rates = {UNDERLAY: 100.0, WEFT: 90.0, hosts.WEFT6: 80.0, VXLAN_BRIDGE: 60.0}
    figure = next(
        measured.figure
        for measured in comparison.measurements(Traffic(tmp_path), 1.0)
        if measured.figure.key == comparison.figure(RR_PINNED)
    )
    for variant, rate in rates.items():
        results.add(figure, variant, {"rate": rate, "p50_us": 1.0, "p99_us": 1.0})
    verdicts = {check.title: check.verdict for check in hosts.checks(comparison, results)}
    assert verdicts["two hosts, round trips on one CPU, to underlay"] == "met"
    assert verdicts["two hosts, round trips on one CPU, to VXLAN"] == "met"
    assert verdicts["two hosts, round trips on one CPU, IPv6 to IPv4"] == "missed"
    assert verdicts["two hosts, 1 stream, bbr, to underlay"] == "not measured"


def test_an_echo_request_has_a_checksum_that_adds_up() -> None:
    words = struct.unpack("!4H", pinger.echo_request(7))
    assert words[0] >> 8 == 8
    assert sum(words) & 0xFFFF == 0xFFFF
