"""What is compared, what is skipped, and what is expected of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner

from weft.bench import encryption, hosts, pinger
from weft.bench.bare import BPF_VXLAN, REDIRECT_PEER
from weft.bench.command import bench
from weft.bench.comparison import PROGRAMS, RR_PINNED, Comparison, Measurement
from weft.bench.namespace import Namespace
from weft.bench.plan import Plan
from weft.bench.programs import FROM_PORT, FROM_WIRE
from weft.bench.results import Results
from weft.bench.topology import RAW_VETH, WEFT, Pair
from weft.bench.traffic import Traffic
from weft.bench.two_hosts import UNDERLAY, VXLAN_BRIDGE, WIREGUARD
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


def test_only_what_was_asked_for_is_measured_beside_weft(tmp_path: Path) -> None:
    results = Results()
    plan = Plan(tmp_path, lambda _: None, is_quick=True, beside=frozenset({UNDERLAY}))
    variants = {UNDERLAY: _absent, WEFT: _absent, VXLAN_BRIDGE: _absent, hosts.WEFT6: _absent}
    Comparison("hosts", "", variants, 1450).measure(plan, results)
    assert results.skipped.keys() == {f"hosts: {UNDERLAY}", f"hosts: {WEFT}"}


def test_a_variant_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    done = CliRunner().invoke(bench, ["--beside", "swarm"])
    assert done.exit_code == 2
    assert "'swarm': there is no such variant" in done.output
    assert BPF_VXLAN in done.output and REDIRECT_PEER in done.output


def test_figures_of_two_comparisons_are_kept_apart() -> None:
    one, other = Comparison("path", "", {}, 1450), Comparison("hosts", "", {}, 1450)
    assert one.figure(RR_PINNED) == "path_rr_pinned"
    assert one.stream(4, "bbr") != other.stream(4, "bbr")


def _measured(comparison: Comparison, key: str, folder: Path) -> Measurement:
    figure = comparison.figure(key)
    measurements = comparison.measurements(Traffic(folder), 1.0)
    return next(each for each in measurements if each.figure.key == figure)


def test_two_hosts_are_held_to_bare_programs_and_to_what_others_use(tmp_path: Path) -> None:
    results = Results()
    comparison = Comparison("hosts", "", {}, 1450)
    rates = {UNDERLAY: 120.0, WEFT: 98.0, hosts.WEFT6: 80.0, BPF_VXLAN: 100.0, VXLAN_BRIDGE: 60.0}
    figure = _measured(comparison, RR_PINNED, tmp_path).figure
    for variant, rate in rates.items():
        results.add(figure, variant, {"rate": rate, "p50_us": 1.0, "p99_us": 1.0})
    verdicts = {check.title: check.verdict for check in hosts.checks(comparison, results)}
    assert verdicts["two hosts, round trips on one CPU, to bpf vxlan"] == "met"
    assert verdicts["two hosts, round trips on one CPU, to VXLAN"] == "met"
    assert verdicts["two hosts, round trips on one CPU, IPv6 to IPv4"] == "missed"
    assert verdicts["two hosts, 1 stream, bbr, to underlay"] == "not measured"


def test_encrypted_streams_are_held_to_wireguard_alone(tmp_path: Path) -> None:
    results = Results()
    comparison = Comparison("encryption", "Two hosts, encrypted: ", {}, 1450, ())
    figure = _measured(comparison, "stream1_bbr", tmp_path).figure
    for variant, gbit_s in ((WIREGUARD, 1.0), (encryption.WEFT_ENCRYPTED, 0.92)):
        results.add(figure, variant, {"gbit_s": gbit_s, "cpu_s_per_gb": 1.0, "mss_bytes": 1398})
    verdicts = {check.title: check.verdict for check in encryption.checks(comparison, results)}
    assert verdicts["two hosts, 1 stream, bbr, encrypted to wireguard"] == "met"
    assert verdicts["two hosts, 4 streams, cubic, encrypted to wireguard"] == "not measured"
    keys = [each.figure.key for each in comparison.measurements(Traffic(tmp_path), 1.0)]
    assert comparison.figure(PROGRAMS) not in keys


def test_time_of_programs_is_held_to_what_a_bare_one_takes(tmp_path: Path) -> None:
    results = Results()
    comparison = Comparison("hosts", "Two hosts: ", {}, 1450, hosts.ROLES)
    figure = _measured(comparison, PROGRAMS, tmp_path).figure
    results.add(figure, BPF_VXLAN, {FROM_PORT: 240.0, FROM_WIRE: 320.0})
    results.add(figure, WEFT, {FROM_PORT: 325.0, FROM_WIRE: 430.0})
    checks = {check.title: check for check in hosts.checks(comparison, results)}
    encapsulation = checks["Two hosts: from_port beyond bpf vxlan"]
    assert (encapsulation.measured, encapsulation.unit, encapsulation.verdict) == (85, "ns", "met")
    assert checks["Two hosts: from_wire beyond bpf vxlan"].verdict == "missed"


def test_time_of_programs_is_asked_only_where_they_are_known_and_bare_ones_come_first(
    tmp_path: Path,
) -> None:
    comparison = Comparison("path", "", {}, 1450)
    none, some = Namespace("none"), {FROM_PORT: (3,)}
    pairs = {
        RAW_VETH: Pair(none, none, ""),
        WEFT: Pair(none, none, "", some),
        REDIRECT_PEER: Pair(none, none, "", some),
    }
    assert _measured(comparison, PROGRAMS, tmp_path).variants(pairs) == [REDIRECT_PEER, WEFT]
    assert _measured(comparison, RR_PINNED, tmp_path).variants(pairs) == list(pairs)


def test_an_echo_request_has_a_checksum_that_adds_up() -> None:
    words = struct.unpack("!4H", pinger.echo_request(7))
    assert words[0] >> 8 == 8
    assert sum(words) & 0xFFFF == 0xFFFF
