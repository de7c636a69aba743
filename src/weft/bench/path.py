"""The packet path on one host: Weft beside the limit and beside what others use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from weft.bench import bare, topology
from weft.bench.bare import LIMIT, REDIRECT_PEER
from weft.bench.comparison import CONGESTION_CONTROLS, RR_PINNED, STREAM_COUNTS, Comparison
from weft.bench.plan import Plan
from weft.bench.programs import FROM_PORT
from weft.bench.results import Check, Results
from weft.bench.topology import BRIDGE, RAW_VETH, WEFT, Variant

OTHERS: Mapping[str, Variant] = {
    RAW_VETH: topology.raw_veth,
    REDIRECT_PEER: bare.redirect_peer,
    LIMIT: bare.redirect_limit,
    BRIDGE: topology.bridge,
    topology.MACVLAN: topology.macvlan,
    topology.LOOPBACK: topology.loopback,
    topology.OPENVSWITCH: topology.openvswitch,
}


def measure(plan: Plan, results: Results, variants: Mapping[str, Variant], mtu_bytes: int) -> None:
    """All variants, and what is expected of Weft."""
    comparison = Comparison("path", "", variants, mtu_bytes)
    comparison.measure(plan, results)
    results.checks.extend(checks(comparison, results))


def checks(path: Comparison, results: Results) -> Iterator[Check]:
    """What is expected of Weft on one host."""

    def ratio(figure: str, other: str, quantity: str = "rate") -> float | None:
        return results.ratio(figure, WEFT, other, quantity)

    pinned = path.figure(RR_PINNED)
    yield Check(f"round trips on one CPU, to {REDIRECT_PEER}", ratio(pinned, REDIRECT_PEER), 0.97)
    yield Check("round trips on one CPU, to bridge", ratio(pinned, BRIDGE), 1.10)
    yield path.beyond(results, FROM_PORT, WEFT, REDIRECT_PEER, 80)
    for count in STREAM_COUNTS:
        for control in CONGESTION_CONTROLS:
            stream = path.stream(count, control)
            title = results.figures[stream].title
            yield Check(f"{title}, Gbit/s to raw veth", ratio(stream, RAW_VETH, "gbit_s"), 0.95)
            yield Check(
                f"{title}, CPU to raw veth",
                ratio(stream, RAW_VETH, "cpu_s_per_gb"),
                1.05,
                "at most",
            )
