"""The table of connections: very many of them, one workload's share, and what a full one does.

Every connection is real packets between workloads on one host, so it went through the programs: a
first packet of each, and then, so that it stands, an answer.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from weft.bench.daemon import cpu_seconds
from weft.bench.flow_memory import bpffs_of, counted_mb, entries, slab_mb
from weft.bench.host import NETWORK_MTU_BYTES
from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.bench.scenes import Scene, Scenes, scene_hosts
from weft.bench.topology import WEFT, Pair
from weft.bench.traffic import ECHO_PORT, ONE_CPU, TWO_CPUS, Traffic
from weft.kernel import netns
from weft.kernel.bpf import features
from weft.kernel.bpf.flow_limits import FlowLimits
from weft.kernel.bpf.flow_table import FlowTable
from weft.observers.flows.pace import rest_s
from weft.observers.flows.screen import Screen
from weft.observers.flows.sweep import Sweeper

RULES = "weft, 1 rule"
EMPTY, SHARE, FULL = "empty", "one has its share", "full"
_MADE = Figure(
    "flows_made",
    "Connections that begin, a second",
    (Quantity("rate", "per s"), Quantity("entries", "entries")),
    "first packets of UDP, one CPU sends; weft: without rules, nothing is remembered",
)
_MEMORY = Figure(
    "flows_memory",
    "Memory of connections (MB)",
    (
        Quantity("mb", "taken", 1),
        Quantity("map_mb", "counted", 1),
        Quantity("bytes", "bytes each"),
    ),
    "taken: empty tables, and what the allocator has more; counted: by the kernel",
)
_AMONG = Figure(
    "flows_among",
    "Round trips on one CPU, connections in the table",
    (Quantity("rate", "per s"), Quantity("p50_us", "p50 us", 1), Quantity("connects", "connects")),
    "of a connection that stands; connects: such as begin, a second",
)
_COLLECTION = Figure(
    "flows_collection",
    "Collection, from the end of a sweep to the next (% of a CPU)",
    (
        Quantity("share", "% of CPU", 2, 100),
        Quantity("weftd", "all weftd", 2, 100),
        Quantity("sweep_s", "sweep s", 2),
        Quantity("cycle_s", "watched s", 1),
    ),
    "less what weftd takes before; sweep: CPU of one, measured by itself",
)
_FULL = Figure(
    "flows_full",
    "Connections of others, by what is in the table",
    (
        Quantity("rate", "per s"),
        Quantity("standing_us", "standing", 1),
        Quantity("share", "one port %", 1, 100),
    ),
    "standing: p50 us of round trips of a connection from before",
)
_HOGS = 4
"""Workloads that begin the many connections, for one has at most a million entries."""
_ROOM = 1.3
"""Of a table, to what is put into it: below 80 % nothing is hurried."""
_ENTRIES, _SHARE = 131072, 65536
"""The defaults."""
_KEPT_S = 7200
_CYCLE_S = 300.0
"""The longest that is watched."""
_IDLE_S = 20.0
_STANDING = 2000
"""Round trips."""
_FEW_S = 0.05
"""Some thousand connections, so that what they leave fills no table."""


def measure(plan: Plan, results: Results) -> None:
    """On a host with a large table, then on one with an ordinary table."""
    load = Traffic(plan.folder)
    _measure_many(plan, results, load)
    _measure_full(plan, results, load)
    results.checks.extend(checks(plan, results))


def _measure_many(plan: Plan, results: Results, load: Traffic) -> None:
    room = max(4096, int(2 * plan.connections * _ROOM))
    settings = {
        "flow_entries": room,
        "flows_per_port": 1_000_000,
        "flow_udp_new_s": _KEPT_S,
        "flow_udp_established_s": _KEPT_S,
    }
    variant = _many(plan)
    results.announce(_MADE, (WEFT, RULES))
    with (
        scene_hosts(plan, 1, NETWORK_MTU_BYTES, 10, settings) as scenes,
        ExitStack() as stack,
    ):
        plain = stack.enter_context(scenes.variant(Scene())(NETWORK_MTU_BYTES))
        judged = [
            stack.enter_context(scenes.variant(Scene(1))(NETWORK_MTU_BYTES)) for _ in range(_HOGS)
        ]
        among = stack.enter_context(scenes.variant(Scene(1))(NETWORK_MTU_BYTES))
        idle = _cpu_share(scenes.pid, 1.0 if plan.is_quick else _IDLE_S)
        for _ in range(plan.rounds):
            results.add(_AMONG, EMPTY, _round_trips(plan, load, among))
        each = plan.connections // _HOGS
        begin_mb = counted_mb(scenes.pid) - slab_mb()
        begun = entries(scenes.pid)
        for number, pair in enumerate(judged):
            plan.say(f"flows: {each} connections, {number + 1} of {_HOGS} workloads")
            for name, hog in ((WEFT, plain), (RULES, pair)):
                made = entries(scenes.pid)
                rate = load.flood(hog, 0, each, TWO_CPUS[1])["rate"]
                made = entries(scenes.pid) - made
                results.add(_MADE, name, {"rate": rate, "entries": made})
        _answer(plan, load, judged, each)
        count = entries(scenes.pid) - begun
        taken_mb, map_mb = begin_mb + slab_mb(), counted_mb(scenes.pid)
        sample = {"mb": taken_mb, "map_mb": map_mb, "bytes": taken_mb * 2e6 / max(1, count)}
        results.add(_MEMORY, variant, sample)
        for _ in range(plan.rounds):
            results.add(_AMONG, variant, _round_trips(plan, load, among))
        plan.say("flows: a cycle of collection")
        _add_cycle(plan, results, scenes.pid, idle)


def _many(plan: Plan) -> str:
    return f"{plan.connections} conns"


def _answer(plan: Plan, load: Traffic, pairs: list[Pair], each: int) -> None:
    """Once more, and whoever is asked answers, so that all stand."""
    for number, pair in enumerate(pairs):
        plan.say(f"flows: answers for {each}, {number + 1} of {len(pairs)} workloads")
        with load.reflector(pair, TWO_CPUS[0]):
            load.flood(pair, 0, each, TWO_CPUS[1])


def _round_trips(plan: Plan, load: Traffic, pair: Pair) -> Sample:
    found = load.round_trips(pair, plan.short_s, ONE_CPU)
    begun = load.connects(pair, plan.short_s, ONE_CPU)
    return {"rate": found["rate"], "p50_us": found["p50_us"], "connects": begun["rate"]}


def _cpu_share(pid: int, duration_s: float) -> float:
    begin, begin_s = cpu_seconds(pid), time.monotonic()
    time.sleep(duration_s)
    return (cpu_seconds(pid) - begin) / (time.monotonic() - begin_s)


def _add_cycle(plan: Plan, results: Results, pid: int, idle: float) -> None:
    """What weftd spends in as long as it is from one sweep to the next, in which one sweep falls
    wherever that begins. How long it is follows from what the same sweep costs here."""
    sweep_s = median(_sweep_s(pid) for _ in range(plan.rounds))
    wanted_s = sweep_s + rest_s(sweep_s, is_followed=False, is_crowded=False)
    cycle_s = min(wanted_s, 1.0 if plan.is_quick else _CYCLE_S)
    if cycle_s < wanted_s:
        results.remarks.append(
            f"Collection was watched for {cycle_s:.0f} s, and its cycle is {wanted_s:.0f} s here: "
            "its share may be of none."
        )
    whole = _cpu_share(pid, cycle_s)
    sample = {"share": max(0.0, whole - idle), "weftd": whole}
    results.add(_COLLECTION, _many(plan), {**sample, "sweep_s": sweep_s, "cycle_s": cycle_s})


def _sweep_s(pid: int) -> float:
    """CPU seconds of one sweep, in which nothing is over."""
    limits = FlowLimits(udp_new_s=_KEPT_S, udp_established_s=_KEPT_S)
    sweeper = Sweeper(Screen(limits, features.jiffies_per_s()))
    with FlowTable(bpffs_of(pid)) as table:
        return sweeper.sweep(table, tells_begun=False).cost_s


def _measure_full(plan: Plan, results: Results, load: Traffic) -> None:
    room = 4096 if plan.is_quick else _ENTRIES
    share = room * _SHARE // _ENTRIES
    settings = {"flow_entries": room, "flows_per_port": share}
    with (
        scene_hosts(plan, 1, NETWORK_MTU_BYTES, 10, settings) as scenes,
        ExitStack() as stack,
    ):
        variant = scenes.variant(Scene(1))
        others, *hogs = (stack.enter_context(variant(NETWORK_MTU_BYTES)) for _ in range(3))
        standing = stack.enter_context(_standing(load, others))
        _look(plan, results, load, scenes, EMPTY, others, standing, lambda: None)
        for name, hog in zip((SHARE, FULL), hogs, strict=True):
            plan.say(f"flows: {share} connections of one workload, {name}")
            if name == FULL:  # those that are answered stay
                for each in hogs:
                    stack.enter_context(load.reflector(each))
                load.flood(hogs[0], 0, share)

            def fill(hog: Pair = hog) -> None:
                load.flood(hog, 0, share)  # twice as many entries as it may have

            _look(plan, results, load, scenes, name, others, standing, fill)


@contextmanager
def _standing(load: Traffic, pair: Pair) -> Iterator[socket.socket]:
    """A connection between two workloads, whose server answers every byte with one."""
    with load.echo(pair):
        with netns.entered(netns.path_of(pair.client.pid)):
            one = socket.create_connection((pair.address, ECHO_PORT), timeout=5)
        with one:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield one


def _look(
    plan: Plan,
    results: Results,
    load: Traffic,
    scenes: Scenes,
    name: str,
    others: Pair,
    standing: socket.socket,
    fill: Callable[[], None],
) -> None:
    """What others' connections get as the table is now. fill: before each sample, for what they
    leave in the table goes and makes room."""
    for _ in range(plan.rounds):
        fill()
        refused = _refused(scenes.pid)
        begun = load.connects(others, _FEW_S, ONE_CPU)
        sample = {
            "rate": begun["rate"],
            "p50_us": begun["p50_us"],
            "standing_us": _standing_us(standing),
            "entries": float(entries(scenes.pid)),
            "share": _largest_share(scenes.pid),
            "refused": float(_refused(scenes.pid) - refused),
        }
        results.add(_FULL, name, sample)


def _standing_us(standing: socket.socket) -> float:
    found = []
    for _ in range(_STANDING):
        begin = time.perf_counter()
        standing.sendall(b"w")
        standing.recv(1)
        found.append(time.perf_counter() - begin)
    return median(found) * 1e6


def _largest_share(pid: int) -> float:
    """Of the table, what counts for the port for which most does."""
    with FlowTable(bpffs_of(pid)) as table:
        held = (hold.entries for hold in table.holds().values())
        return max(held, default=0) / table.room(is_ipv6=False)


def _refused(pid: int) -> int:
    """Entries for which the table, or a port's share of it, had no room."""
    with FlowTable(bpffs_of(pid)) as table:
        return table.counts().refused + sum(hold.refused for hold in table.holds().values())


def checks(plan: Plan, results: Results) -> Iterator[Check]:
    """What is expected of the table."""

    def of(figure: Figure, variant: str, quantity: str) -> float | None:
        return results.median(figure.key, variant, quantity)

    many = _many(plan)
    found = [of(_MEMORY, many, key) for key in ("mb", "map_mb")]
    memory_mb = max((each for each in found if each is not None), default=None)
    yield Check(f"flows, memory of {many}", memory_mb, 450, "at most", "MB")
    share = of(_COLLECTION, many, "share")
    percent = None if share is None else share * 100
    yield Check(f"flows, collection of {many}", percent, 1, "at most", "%")
    share = of(_FULL, SHARE, "share")
    percent = None if share is None else share * 100
    yield Check("flows, of the table, what one port takes", percent, 50, "at most", "%")
    ratio = results.ratio(_FULL.key, SHARE, EMPTY, "rate")
    yield Check("flows, connects of others, one has its share", ratio, 0.95)
    ratio = results.ratio(_FULL.key, FULL, EMPTY, "standing_us")
    yield Check("flows, table full, round trips that stand, us", ratio, 1.05, "at most")
