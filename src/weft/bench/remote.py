"""weftd of one host in a large cluster: what it weighs, and how soon it forwards after a start.

The host finds the records of all others in its database, as after any restart, and has a port of
its own on every network, so it needs a way to every port there is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from weft.bench.cluster import lab_hosts
from weft.bench.daemon import idle, resident_mb, restart
from weft.bench.host import WeftHost
from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results
from weft.bench.simulated import Common
from weft.bench.synthetic import SyntheticCluster
from weft.mesh.ledger import Batch
from weft.mesh.sqlite_journal import SqliteJournal

PORTS_A_HOST = 100
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
    """Once with what a host alone knows, once with everything."""
    for ports in (PORTS_A_HOST, plan.remote_ports):
        plan.say(f"weftd: {ports} ports in the cluster")
        _measure(plan, results, ports)
    results.checks.extend(_checks(plan, results))


def _measure(plan: Plan, results: Results, ports: int) -> None:
    cluster = SyntheticCluster(ports // PORTS_A_HOST, ports)
    with lab_hosts(plan.say, 1, 1500, settings={"docker": False}) as lab:
        host = lab.host("h1")
        state = host.layout.state / "weft"
        state.mkdir(mode=0o700, parents=True)
        (state / "host-id").write_text(f"{cluster.hosts[0]}\n")
        asyncio.run(_write(Common(cluster), state / "weft.db"))
        weft = WeftHost(host)
        ready_s = restart(weft)
        time.sleep(0 if plan.is_quick else _SETTLE_S)
        sample = idle(weft.pid, 1.0 if plan.is_quick else _IDLE_S)
        most = {"rss_mb": max(sample["rss_mb"], resident_mb(weft.pid))}
        results.add(_REMOTE, _variant(ports), {**sample, **most, "ready_s": ready_s})


def _variant(ports: int) -> str:
    return f"{ports} ports"


async def _write(common: Common, path: Path) -> None:
    """The database of a host that was a member and has seen everything."""
    journal = SqliteJournal(path, "broken")
    try:
        await journal.append(Batch(puts=tuple(common.held), marks=common.marks))
    finally:
        await journal.close()


def _checks(plan: Plan, results: Results) -> Iterator[Check]:
    memory = results.median(_REMOTE.key, _variant(plan.remote_ports), "rss_mb")
    title = f"weftd that knows {plan.remote_ports} ports, memory"
    yield Check(title, memory, 400, "at most", "MB")
