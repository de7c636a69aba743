"""Large logical networks: how long they take to compile, what they weigh, and how soon a change of
the rules is in force on all hosts."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from weft.bench import effect
from weft.bench.cluster import lab_hosts
from weft.bench.daemon import resident_mb, restart
from weft.bench.host import WeftHost
from weft.bench.logical import LABEL, LogicalCluster, Size
from weft.bench.plan import Plan
from weft.bench.prefilled import fill
from weft.bench.results import Check, Figure, Quantity, Results
from weft.bench.simulated import Common
from weft.engine.compiler import Compiler
from weft.engine.ebpf.plane import functions
from weft.model.records import Port, Record, SecurityRule
from weft.store.interface import Change, Put
from weft.store.memory import MemoryStore

HERE, SPREAD = "one host", "10 hosts"
ALONE, PORTS, WHOLE = "alone", "ports alone", "ports and groups"
_COMPILE = Figure(
    "groups_compile",
    "Compile from nothing (s)",
    (Quantity("s", "CPU s", 2), Quantity("rows", "rows")),
)
_CHANGE = Figure(
    "groups_change",
    "Compile a change (ms)",
    (Quantity("ms", "ms", 2), Quantity("worst_ms", "slowest", 1), Quantity("rows", "rows", 1)),
    "each of many, one after the other, with all else there",
)
_WEIGHT = Figure(
    "groups_memory",
    "weftd with large logical networks (MB)",
    (Quantity("rss_mb", "RSS MB", 1), Quantity("ready_s", "start s", 2)),
    "others are not there; ports alone: on few networks, without groups",
)
_HOSTS = 10
_PORTS_A_NETWORK = 1000
"""Of ports alone."""
_SETTLE_S = 10.0
Make = Callable[[int], Change]
"""From the number of a change to the change."""


def measure(plan: Plan, results: Results) -> None:
    """All of it."""
    for name, hosts in ((HERE, 1), (SPREAD, _HOSTS)):
        plan.say(f"groups: compile, {name}")
        measure_compile(plan, results, name, LogicalCluster(plan.logical_size, hosts))
    ports = plan.logical_size.ports
    few = Size(max(1, ports // _PORTS_A_NETWORK), ports, 0)
    for name, size in ((ALONE, Size(1, 0, 0)), (PORTS, few), (WHOLE, plan.logical_size)):
        plan.say(f"groups: weftd, {name}")
        _measure_weight(plan, results, name, LogicalCluster(size, _HOSTS))
    effect.measure(plan, results)
    results.checks.extend(checks(results))


def measure_compile(plan: Plan, results: Results, name: str, cluster: LogicalCluster) -> None:
    """All of it from nothing, and then change after change."""
    records = list(cluster.records())
    host = cluster.hosts[0]
    store = MemoryStore(records)
    compiler = None
    for _ in range(plan.rounds):
        compiler = None
        gc.collect()
        gc.disable()  # as weftd does while it starts
        begin_s = time.process_time()
        compiler = Compiler(functions(host), store)
        took_s = time.process_time() - begin_s
        gc.enable()
        rows = sum(map(len, compiler.rows().values()))
        results.add(_COMPILE, name, {"s": took_s, "rows": rows})
    assert compiler is not None
    gc.freeze()  # as weftd does once it has started
    for what, make in _changes(cluster, records):
        done = [_one_change(store, compiler, make(number)) for number in range(plan.policy_changes)]
        worst_ms = max(ms for ms, _ in done)
        for ms, rows in done:
            sample = {"ms": ms, "rows": float(rows), "worst_ms": worst_ms}
            results.add(_CHANGE, f"{what}, {name}", sample)
    gc.unfreeze()


def _one_change(store: MemoryStore, compiler: Compiler, change: Change) -> tuple[float, int]:
    """(ms, rows that it changes)."""
    changed = store.apply([change])
    begin_s = time.perf_counter()
    changes = compiler.update(changed)
    return (time.perf_counter() - begin_s) * 1e3, len(changes.upserts) + len(changes.deletes)


def _changes(cluster: LogicalCluster, records: list[Record]) -> Iterator[tuple[str, Make]]:
    """Each of its own ports, so that none finds what another has left."""
    own = [each for each in records if isinstance(each, Port) and each.host_id == cluster.hosts[0]]
    ports = iter(own)
    step = len(cluster.hosts)

    def labelled(number: int) -> Change:
        port = next(ports)
        others = cluster.label(number * step + step)
        labels = tuple((key, others if key == LABEL else value) for key, value in port.labels)
        return Put(replace(port, labels=labels))

    def ruled(number: int) -> Change:
        rule = rules[number]
        return Put(replace(rule, priority=rule.priority + 1))

    rules = [each for each in records if isinstance(each, SecurityRule)]
    yield "new port", lambda number: Put(cluster.port(number * step))
    yield "label", labelled
    yield "rule", ruled


def _measure_weight(plan: Plan, results: Results, name: str, cluster: LogicalCluster) -> None:
    with lab_hosts(plan.say, 1, 1500, settings={"docker": False}) as lab:
        host = lab.host("h1")
        fill(host, Common(cluster))
        weft = WeftHost(host)
        ready_s = restart(weft)
        time.sleep(0 if plan.is_quick else _SETTLE_S)
        results.add(_WEIGHT, name, {"rss_mb": resident_mb(weft.pid), "ready_s": ready_s})


def checks(results: Results) -> Iterator[Check]:
    """What is expected of large logical networks."""

    def memory_mb(variant: str) -> float | None:
        return results.median(_WEIGHT.key, variant, "rss_mb")

    for name in (HERE, SPREAD):
        measured = results.median(_COMPILE.key, name, "s")
        yield Check(f"groups, compile from nothing, {name}", measured, 3, "at most", "s")
    for what in ("new port", "label"):
        for name in (HERE, SPREAD):
            measured = results.median(_CHANGE.key, f"{what}, {name}", "ms")
            title = f"groups, compile one {what}, {name}"
            yield Check(title, measured, 5, "at most", "ms")
    alone, ports, whole = map(memory_mb, (ALONE, PORTS, WHOLE))
    less = None if alone is None or ports is None or whole is None else whole - (ports - alone)
    yield Check("groups, weftd less its ports, memory", less, 80, "at most", "MB")
    yield from effect.checks(results)
