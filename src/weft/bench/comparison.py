"""Pairs of workloads, measured alike: every figure of every variant in turn, several times.

Variants are interleaved, in an order that changes each round, so that whatever else the machine
does meanwhile meets all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from weft.bench import cpu, topology, traffic
from weft.bench.plan import Plan
from weft.bench.programs import FROM_PORT, spent
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.bench.topology import WEFT, Pair, Variant
from weft.bench.traffic import FREE, ONE_CPU, TWO_CPUS, Traffic
from weft.errors import WeftError

CONGESTION_CONTROLS = ("bbr", "cubic")
STREAM_COUNTS = (1, 4)
RR_PINNED, RR_FREE = "rr_pinned", "rr_free"
CONNECT_PINNED, CONNECT_FREE = "connect_pinned", "connect_free"
UDP = "udp"
PROGRAMS = "programs"

_RATE = Quantity("rate", "per s")
_LATENCIES = (Quantity("p50_us", "p50 us", 1), Quantity("p99_us", "p99 us", 1))
_STREAM = (
    Quantity("gbit_s", "Gbit/s", 1),
    Quantity("cpu_s_per_gb", "CPU-s/GB", 3),
    Quantity("mss_bytes", "MSS"),
)
_IDLE = Figure("idle", "CPU use of the machine before each run", (Quantity("share", "CPUs", 2),))


@dataclass(frozen=True)
class Measurement:
    """A figure and how one sample of it is taken; the machine's idle CPU use is passed in."""

    figure: Figure
    take: Callable[[Pair, float], Sample]
    is_of_programs: bool = False
    """Of variants alone whose programs are known."""

    def variants(self, pairs: Mapping[str, Pair]) -> list[str]:
        """Those that can be measured so. Of programs the bare ones come first, as what others are
        related to."""
        if not self.is_of_programs:
            return list(pairs)
        known = [name for name, pair in pairs.items() if pair.programs]
        return sorted(known, key=lambda name: name.startswith(WEFT))


@dataclass(frozen=True)
class Comparison:
    """Variants that carry the same traffic. The first is the limit."""

    key: str
    """Begins the keys of its figures."""
    title: str
    """Begins their titles; empty: nothing does."""
    variants: Mapping[str, Variant]
    mtu_bytes: int
    roles: Sequence[str] = (FROM_PORT,)
    """Programs that a packet meets on its way, whose time is measured."""

    def measure(self, plan: Plan, results: Results) -> None:
        """Run every measurement for every variant, `plan.rounds` times, interleaved."""
        measurements = list(self.measurements(Traffic(plan.folder), self.seconds(plan)))
        with ExitStack() as stack:
            pairs = dict(self._pairs(stack, plan, results))
            for measurement in measurements:
                results.announce(measurement.figure, measurement.variants(pairs))
            for number in range(plan.rounds):
                said = f"round {number + 1} of {plan.rounds}, {len(pairs)} variants"
                plan.say(f"{self.key}: {said}")
                _round(measurements, pairs, plan, results)

    def seconds(self, plan: Plan) -> float:
        """Of one sample."""
        return plan.seconds

    def figure(self, key: str) -> str:
        """The key of one of its figures in the results."""
        return f"{self.key}_{key}"

    def stream(self, count: int, control: str) -> str:
        """The same of TCP bulk over so many connections."""
        return self.figure(f"stream{count}_{control}")

    def beyond(self, results: Results, role: str, one: str, bare: str, limit_ns: float) -> Check:
        """A packet is to spend at most so much in a variant's program beyond a bare one's time."""
        own_ns, bare_ns = (
            results.median(self.figure(PROGRAMS), each, role) for each in (one, bare)
        )
        beyond_ns = None if own_ns is None or bare_ns is None else own_ns - bare_ns
        return Check(f"{self.title}{role} beyond {bare}", beyond_ns, limit_ns, "at most", "ns")

    def _pairs(self, stack: ExitStack, plan: Plan, results: Results) -> Iterator[tuple[str, Pair]]:
        for name, variant in self.variants.items():
            if plan.beside and name not in {WEFT, *plan.beside}:
                continue
            attempt = ExitStack()
            plan.say(f"{self.key}: setting up {name}")
            try:
                with attempt:
                    pair = attempt.enter_context(variant(self.mtu_bytes))
                    topology.check_mtu(pair, self.mtu_bytes)
                    stack.enter_context(attempt.pop_all())
            except WeftError as error:
                results.skipped[f"{self.key}: {name}"] = str(error)
            else:
                yield name, pair

    def _figure(self, key: str, title: str, quantities: tuple[Quantity, ...]) -> Figure:
        return Figure(self.figure(key), f"{self.title}{title}", quantities)

    def measurements(self, load: Traffic, seconds: float) -> Iterator[Measurement]:
        """All of it, in order."""
        for count in STREAM_COUNTS:
            for control in CONGESTION_CONTROLS:
                streams = "1 stream" if count == 1 else f"{count} streams"
                yield Measurement(
                    self._figure(f"stream{count}_{control}", f"TCP, {streams}, {control}", _STREAM),
                    partial(_stream, seconds, count, control),
                )
        answered = (_RATE, *_LATENCIES)
        for title, cpus, rr, connect in (
            ("both ends on one CPU", ONE_CPU, RR_PINNED, CONNECT_PINNED),
            ("free", FREE, RR_FREE, CONNECT_FREE),
        ):
            yield Measurement(
                self._figure(rr, f"TCP round trips of 1 byte, {title}", answered),
                partial(_small, load.round_trips, seconds, cpus),
            )
            yield Measurement(
                self._figure(connect, f"TCP connections, one round trip each, {title}", answered),
                partial(_small, load.connects, seconds, cpus),
            )
        title = "UDP packets of 64 bytes that arrive, each end on a CPU"
        yield self.packets(UDP, title, seconds, load.packets)
        if self.roles:
            yield self._time_of_programs(load, seconds)

    def packets(
        self,
        key: str,
        title: str,
        seconds: float,
        take: Callable[[Pair, float, tuple[int, int] | None], Sample],
    ) -> Measurement:
        """UDP packets that are sent as fast as they go."""
        lost = Quantity("lost", "lost %", 1, 100)
        figure = self._figure(key, title, (_RATE, lost))
        return Measurement(figure, partial(_small, take, seconds, TWO_CPUS))

    def _time_of_programs(self, load: Traffic, seconds: float) -> Measurement:
        return Measurement(
            Figure(
                self.figure(PROGRAMS),
                f"{self.title}time of programs in round trips on one CPU (ns a packet)",
                tuple(Quantity(role, role) for role in self.roles),
                "by the kernel's statistics, which are part of it: compare",
            ),
            partial(_programs, load, seconds),
            is_of_programs=True,
        )


def _round(
    measurements: list[Measurement], pairs: dict[str, Pair], plan: Plan, results: Results
) -> None:
    for measurement in measurements:
        order = measurement.variants(pairs)
        random.shuffle(order)  # so that nobody always runs after the same neighbour
        for name in order:
            idle = cpu.idle_rate(plan.idle_s)
            results.add(_IDLE, "machine", {"share": idle})
            results.add(measurement.figure, name, measurement.take(pairs[name], idle))


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


def _programs(load: Traffic, seconds: float, pair: Pair, idle: float) -> Sample:
    with spent(pair.programs) as ns_a_packet:
        load.round_trips(pair, seconds, ONE_CPU)
    return ns_a_packet
