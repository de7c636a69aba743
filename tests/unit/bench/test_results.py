from pathlib import Path

import msgspec
import pytest

from weft.bench import report
from weft.bench.cpu import Busy, busy_seconds, spent
from weft.bench.results import Check, Figure, Quantity, Results, Spread

FIGURE = Figure("rr", "Round trips", (Quantity("rate", "per s"), Quantity("p99_us", "p99 us", 1)))


@pytest.fixture
def results() -> Results:
    found = Results(environment={"title": "weft on a test machine"})
    found.announce(FIGURE, ("raw veth", "weft", "bridge"))
    for weft, raw in ((90.0, 100.0), (95.0, 300.0), (99.0, 50.0)):
        found.add(FIGURE, "weft", {"rate": weft, "p99_us": 5.0})
        found.add(FIGURE, "raw veth", {"rate": raw, "p99_us": 4.0})
    found.checks.append(
        Check("weft to raw veth", found.ratio("rr", "weft", "raw veth", "rate"), 0.9)
    )
    return found


def test_spread_is_median_and_extremes(results: Results) -> None:
    assert results.spread("rr", "raw veth", "rate") == Spread(100.0, 50.0, 300.0, 3)


def test_ratio_is_of_medians(results: Results) -> None:
    assert results.ratio("rr", "weft", "raw veth", "rate") == pytest.approx(0.95)


def test_ratio_to_what_was_not_measured_is_none(results: Results) -> None:
    assert results.ratio("rr", "weft", "bridge", "rate") is None
    assert results.ratio("nothing", "weft", "raw veth", "rate") is None


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        (Check("a", 1.0, 1.0), "met"),
        (Check("a", 0.9, 1.0), "missed"),
        (Check("a", 1.0, 1.0, "at most"), "met"),
        (Check("a", 1.1, 1.0, "at most"), "missed"),
        (Check("a", None, 1.0), "not measured"),
    ],
)
def test_verdict(check: Check, verdict: str) -> None:
    assert check.verdict == verdict


def test_table_fits_80_columns_and_relates_to_the_announced_first(results: Results) -> None:
    lines = report.table(results).splitlines()
    assert max(map(len, lines)) <= 80
    weft = next(line.split() for line in lines if line.startswith("  weft  "))
    assert weft == ["weft", "95", "90..99", "0.95", "5.0"]
    assert not any(line.startswith("  bridge") for line in lines)


def test_report_is_written_as_text_json_and_plot(results: Results, tmp_path: Path) -> None:
    written = report.write(results, tmp_path)
    assert [path.name for path in written] == ["bench.txt", "bench.json", "bench.png"]
    read = msgspec.json.decode((tmp_path / "bench.json").read_bytes())
    assert read["figures"]["rr"]["spreads"]["weft"]["rate"]["median"] == 95.0
    assert read["expected"][0]["verdict"] == "met"
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_compared_with_nothing_gets_no_page(tmp_path: Path) -> None:
    alone = Results()
    alone.add(FIGURE, "weft", {"rate": 90.0, "p99_us": 5.0})
    assert [path.name for path in report.write(alone, tmp_path)] == ["bench.txt", "bench.json"]


def test_busy_time_leaves_out_idle_steal_and_guests() -> None:
    # user nice system idle iowait irq softirq steal guest guest_nice, in ticks of 10 ms
    stat = "cpu  100 10 50 9999 9999 5 35 7777 3333 3333\ncpu0 0 0 0 0 0 0 0 0 0 0\n"
    assert busy_seconds(stat) == pytest.approx(2.0)


def test_spent_time_is_less_what_the_idle_machine_would_have_spent() -> None:
    begin, end = Busy(10.0, 100.0), Busy(13.0, 102.0)
    assert spent(begin, end, idle=0.5) == pytest.approx(2.0)
    assert spent(begin, end, idle=9.0) == 0.0
