"""weftd of one host in a large cluster: what it weighs, and how soon it forwards after a start.

The host finds the records of all others in its database, as after any restart. It needs a way to
every port of the networks that it has one on itself, and of the others only the records; measured
is a host on every tenth network, and one on all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from weft.bench.cluster import lab_hosts
from weft.bench.daemon import idle, resident_mb, restart
from weft.bench.host import WeftHost
from weft.bench.plan import Plan
from weft.bench.prefilled import fill
from weft.bench.results import Check, Figure, Quantity, Results
from weft.bench.simulated import Common
from weft.bench.synthetic import SyntheticCluster

PORTS_A_HOST = 100
_ALONE, _SOME, _ALL = "alone", "a tenth of nets", "all networks"
_REMOTE = Figure(
    "weftd_remote",
    "weftd that knows the ports of other hosts",
    (
        Quantity("rss_mb", "RSS MB", 1),
        Quantity("ready_s", "start s", 2),
        Quantity("cpu", "% of a CPU", 2, 100),
    ),
    "start: until the kernel has all of it; none of the other hosts is there",
)
_IDLE_S = 35.0
"""A periodic look at the kernel and a little more."""
_SETTLE_S = 10.0


def measure(plan: Plan, results: Results) -> None:
    """With what a host alone knows, then with everything."""
    many = plan.remote_ports
    hosts = many // PORTS_A_HOST
    for name, cluster in (
        (_ALONE, SyntheticCluster(1, PORTS_A_HOST)),
        (_SOME, SyntheticCluster(hosts, many, hosts // 10)),
        (_ALL, SyntheticCluster(hosts, many)),
    ):
        plan.say(f"weftd: {cluster.ports} ports in the cluster, {name}")
        _measure(plan, results, name, cluster)
    results.checks.extend(_checks(plan, results))


def _measure(plan: Plan, results: Results, name: str, cluster: SyntheticCluster) -> None:
    with lab_hosts(plan.say, 1, 1500, settings={"docker": False}) as lab:
        host = lab.host("h1")
        fill(host, Common(cluster))
        weft = WeftHost(host)
        ready_s = restart(weft)
        time.sleep(0 if plan.is_quick else _SETTLE_S)
        sample = idle(weft.pid, 1.0 if plan.is_quick else _IDLE_S)
        most = {"rss_mb": max(sample["rss_mb"], resident_mb(weft.pid))}
        results.add(_REMOTE, name, {**sample, **most, "ready_s": ready_s})


def _checks(plan: Plan, results: Results) -> Iterator[Check]:
    for name in (_SOME, _ALL):
        memory = results.median(_REMOTE.key, name, "rss_mb")
        title = f"weftd, {plan.remote_ports} ports, {name}, memory"
        yield Check(title, memory, 400, "at most", "MB")
