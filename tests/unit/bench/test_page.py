"""The page that shows a report: landscape, of one size, its paths side by side."""

from __future__ import annotations

import struct
from pathlib import Path

import msgspec
import pytest

from weft.bench import page, report
from weft.bench.comparison import PROGRAMS, UDP, Comparison
from weft.bench.page import Report
from weft.bench.results import Check, Figure, Quantity, Results

PATHS = (Comparison("path", "", {}, 1450), Comparison("hosts", "Two hosts: ", {}, 1450))
RATE = (Quantity("rate", "per s"),)
TIMES = (Quantity("from_port", "from_port"), Quantity("from_wire", "from_wire"))


def stored(results: Results) -> Report:
    return msgspec.convert(report.as_json(results), Report)


@pytest.fixture
def results() -> Results:
    """A whole run in small: both paths, another comparison, expectations."""
    found = Results(environment={"title": "weft on a test machine", "kernel": "6.18"})
    for path in PATHS:
        udp = Figure(path.figure(UDP), f"{path.title}UDP packets", RATE)
        programs = Figure(path.figure(PROGRAMS), f"{path.title}time of programs", TIMES)
        found.announce(udp, ("raw veth", "weft", "openvswitch"))
        for variant, rate in (("raw veth", 100.0), ("weft", 90.0)):
            found.add(udp, variant, {"rate": rate})
            found.add(programs, variant, {"from_port": rate, "from_wire": 2 * rate})
    dns = Figure("dns", "DNS", RATE)
    for variant in ("dnsmasq", "weft"):
        found.add(dns, variant, {"rate": 5.0})
    found.add(Figure("start", "Start", RATE), "weftd", {"rate": 1.0})
    found.checks = [Check(f"expectation {number}", 0.5, 1.0) for number in range(30)]
    return found


def test_a_path_is_known_by_its_key_and_each_of_its_programs_is_a_row(results: Results) -> None:
    shown = [(each.path, each.title) for each in page.comparisons(stored(results))]
    rows = ["UDP packets", "from_port: time of programs", "from_wire: time of programs"]
    assert shown == [
        *(("path", row) for row in rows),
        *(("hosts", row) for row in rows),
        (None, "DNS"),
    ]


def test_what_was_not_measured_or_compared_with_nothing_is_left_out(results: Results) -> None:
    udp, *_ = page.comparisons(stored(results))
    assert list(udp.spreads) == ["raw veth", "weft"]
    assert udp.ratio(udp.spreads["weft"].median) == pytest.approx(0.9)


@pytest.mark.parametrize("kept", ["path", "hosts", "dns", ""])
def test_whatever_was_measured_fits_one_landscape_page(
    results: Results, kept: str, tmp_path: Path
) -> None:
    results.figures = {key: one for key, one in results.figures.items() if key.startswith(kept)}
    file = tmp_path / "bench.png"
    page.draw(stored(results), file)
    width, height = struct.unpack(">II", file.read_bytes()[16:24])
    assert (width, height) == (1800, 1000)


def test_paths_with_rules_are_in_a_band_of_their_own(results: Results, tmp_path: Path) -> None:
    for key, prefix in (("policy", "Policy: "), ("policyhosts", "Policy, two hosts: ")):
        udp = Figure(f"{key}_udp", f"{prefix}UDP packets", RATE)
        for variant, rate in (("raw veth", 100.0), ("weft, 10k rules", 80.0)):
            results.add(udp, variant, {"rate": rate})
    found = [(each.path, each.title) for each in page.comparisons(stored(results))]
    assert found[-2:] == [("policy", "UDP packets"), ("policyhosts", "UDP packets")]
    drawn = page.drawn(stored(results))
    plain, judged = (axes.get_position() for axes in drawn.axes[:2])
    assert judged.y1 <= plain.y0
    names = [text.get_text() for text in drawn.axes[1].texts]
    assert {"one host, rules and routers", "two hosts, rules and routers"} <= set(names)
