"""The packet path on one host: Weft beside the limit and beside what others use."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from weft.bench import cpu, topology, traffic
from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.bench.topology import BRIDGE, RAW_VETH, WEFT, Pair, Variant
from weft.bench.traffic import FREE, ONE_CPU, TWO_CPUS, Traffic
from weft.errors import WeftError

CONGESTION_CONTROLS = ("bbr", "cubic")
STREAM_COUNTS = (1, 4)

_RATE = Quantity("rate", "per s")
_LATENCIES = (Quantity("p50_us", "p50 us", 1), Quantity("p99_us", "p99 us", 1))
_STREAM = (
    Quantity("gbit_s", "Gbit/s", 1),
    Quantity("cpu_s_per_gb", "CPU-s/GB", 3),
    Quantity("mss_bytes", "MSS"),
)

OTHERS: Mapping[str, Variant] = {
    RAW_VETH: topology.raw_veth,
    topology.REDIRECT_PEER: topology.redirect_peer,
    BRIDGE: topology.bridge,
    topology.MACVLAN: topology.macvlan,
    topology.LOOPBACK: topology.loopback,
    topology.OPENVSWITCH: topology.openvswitch,
}


@dataclass(frozen=True)
class Measurement:
    """A figure and how one sample of it is taken; the machine's idle CPU use is passed in."""

    figure: Figure
    take: Callable[[Pair, float], Sample]


def measure(plan: Plan, results: Results, variants: Mapping[str, Variant], mtu_bytes: int) -> None:
    """Run every measurement for every variant, `plan.rounds` times, interleaved."""
    measurements = list(_measurements(Traffic(plan.folder), plan.seconds))
    with ExitStack() as stack:
        pairs = dict(_pairs(stack, variants, mtu_bytes, results))
        for measurement in measurements:
            results.announce(measurement.figure, pairs)
        for number in range(plan.rounds):
            plan.say(f"path: round {number + 1} of {plan.rounds}, {len(pairs)} variants")
            _round(measurements, pairs, plan, results)
    results.checks.extend(_checks(results))


def _round(
    measurements: list[Measurement], pairs: dict[str, Pair], plan: Plan, results: Results
) -> None:
    for measurement in measurements:
        order = list(pairs)
        random.shuffle(order)  # so that nobody always runs after the same neighbour
        for name in order:
            idle = cpu.idle_rate(plan.idle_s)
            results.add(_IDLE, "machine", {"share": idle})
            results.add(measurement.figure, name, measurement.take(pairs[name], idle))


def _pairs(
    stack: ExitStack, variants: Mapping[str, Variant], mtu_bytes: int, results: Results
) -> Iterator[tuple[str, Pair]]:
    for name, variant in variants.items():
        attempt = ExitStack()
        try:
            with attempt:
                pair = attempt.enter_context(variant(mtu_bytes))
                topology.check_mtu(pair, mtu_bytes)
                stack.enter_context(attempt.pop_all())
        except WeftError as error:
            results.skipped[name] = str(error)
        else:
            yield name, pair


_IDLE = Figure("idle", "CPU use of the machine before each run", (Quantity("share", "CPUs", 2),))


def _measurements(load: Traffic, seconds: float) -> Iterator[Measurement]:
    for count in STREAM_COUNTS:
        for control in CONGESTION_CONTROLS:
            yield Measurement(
                stream_figure(count, control), partial(_stream, seconds, count, control)
            )
    for where, cpus in (("both ends on one CPU", ONE_CPU), ("free", FREE)):
        yield Measurement(
            Figure(
                "rr_pinned" if cpus else "rr_free",
                f"TCP round trips of 1 byte, {where}",
                (_RATE, *_LATENCIES),
            ),
            partial(_small, load.round_trips, seconds, cpus),
        )
        yield Measurement(
            Figure(
                "connect_pinned" if cpus else "connect_free",
                f"TCP connections, one round trip each, {where}",
                (_RATE, *_LATENCIES),
            ),
            partial(_small, load.connects, seconds, cpus),
        )
    yield Measurement(
        Figure(
            "udp",
            "UDP packets of 64 bytes that arrive, each end on a CPU",
            (_RATE, Quantity("lost", "lost %", 1, 100)),
        ),
        partial(_small, load.packets, seconds, TWO_CPUS),
    )


def stream_figure(count: int, control: str) -> Figure:
    """TCP bulk over so many connections."""
    streams = "1 stream" if count == 1 else f"{count} streams"
    return Figure(f"stream{count}_{control}", f"TCP, {streams}, {control}", _STREAM)


def _stream(seconds: float, count: int, control: str, pair: Pair, idle: float) -> Sample:
    return traffic.stream(pair, seconds, count, control, idle)


def _small(
    take: Callable[[Pair, float, tuple[int, int] | None], Sample],
    seconds: float,
    cpus: tuple[int, int] | None,
    pair: Pair,
    idle: float,
) -> Sample:
    return take(pair, seconds, cpus)


def _checks(results: Results) -> Iterator[Check]:
    def ratio(figure: str, other: str, quantity: str = "rate") -> float | None:
        return results.ratio(figure, WEFT, other, quantity)

    yield Check("round trips on one CPU, to raw veth", ratio("rr_pinned", RAW_VETH), 0.95)
    yield Check("round trips on one CPU, to bridge", ratio("rr_pinned", BRIDGE), 1.10)
    for count in STREAM_COUNTS:
        for control in CONGESTION_CONTROLS:
            figure = stream_figure(count, control)
            yield Check(
                f"{figure.title}, Gbit/s to raw veth", ratio(figure.key, RAW_VETH, "gbit_s"), 0.95
            )
            yield Check(
                f"{figure.title}, CPU-s/GB to raw veth",
                ratio(figure.key, RAW_VETH, "cpu_s_per_gb"),
                1.05,
                "at most",
            )
