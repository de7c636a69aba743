"""A new host takes over all that a cluster knows: in real time, every byte of it.

Giver and taker run in one process and take turns, so the time is what both spend together; the
taker shows every record and keeps its journal as weftd does, which ends the time too.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.bench.simulated import INCARNATION, Common
from weft.bench.synthetic import SyntheticCluster
from weft.host import memory
from weft.mesh.exchange import Exchange
from weft.mesh.links import Links
from weft.mesh.replica import Replica
from weft.mesh.store import MeshStore
from weft.model.records import Port
from weft.store.batch import Saved
from weft.store.sqlite_journal import SqliteJournal

_RESYNC = Figure(
    "mesh_resync",
    "A new host takes over all records (s)",
    (
        Quantity("s", "seconds", 2),
        Quantity("cpu_s", "CPU-s", 2),
        Quantity("giver_s", "giver s", 2),
        Quantity("taker_s", "taker s", 2),
        Quantity("mb", "MB", 1),
    ),
    "giver and taker take turns in one process, until all is on disk; MB on the wire",
)
_HOSTS = 1000
_GIVER, _TAKER = "giver", "taker"


class _Message(NamedTuple):
    sender: str
    receiver: str
    data: bytes


class _Wire:
    """Carries messages from one end to the other in order."""

    def __init__(self) -> None:
        self.waiting: deque[_Message] = deque()
        self.sent_bytes = 0

    def end(self, name: str) -> _End:
        """One host's transport."""
        return _End(self, name)


class _End:
    """Implements `Transport`."""

    def __init__(self, wire: _Wire, name: str) -> None:
        self._wire = wire
        self._name = name

    def send(self, peer: str, data: bytes) -> None:
        """See `Transport.send`."""
        self._wire.sent_bytes += len(data)
        self._wire.waiting.append(_Message(self._name, peer, data))


def measure(plan: Plan, results: Results) -> None:
    """`plan.rounds` new hosts, one after the other."""
    hosts = min(_HOSTS, plan.remote_ports // 10)
    memory.collect_seldom()  # as weftd does
    common = Common(SyntheticCluster(hosts, plan.remote_ports))
    variant = f"{plan.remote_ports} ports"
    for number in range(plan.rounds):
        plan.say(f"mesh: new host {number + 1} of {plan.rounds}")
        with TemporaryDirectory(prefix="weft-bench-") as folder:
            results.add(_RESYNC, variant, asyncio.run(_resync(common, Path(folder))))
    took_s = results.median(_RESYNC.key, variant, "s")
    title = f"a new host takes over {plan.remote_ports} ports"
    results.checks.append(Check(title, took_s, 5, "at most", "s"))


async def _resync(common: Common, folder: Path) -> Sample:
    wire = _Wire()
    entries = tuple(common.held)
    saved = Saved(entries, common.marks, incarnation=INCARNATION)
    giver = Links(
        Replica(_GIVER, time.time, os.urandom, saved),
        wire.end(_GIVER),
        time.monotonic,
        lambda differences: None,
    )
    journal = SqliteJournal(folder / "records.db", "broken")
    replica = Replica(_TAKER, time.time, os.urandom, journal.load(is_continued=False))
    store = MeshStore(replica, journal)
    taker = Exchange(replica, store, wire.end(_TAKER), time.monotonic)
    ends: dict[str, Links | Exchange] = {_GIVER: giver, _TAKER: taker}
    spent_s = dict.fromkeys(ends, 0.0)
    saving = asyncio.create_task(taker.run())
    begin_s, cpu_s = time.perf_counter(), time.process_time()
    giver.link_up(_TAKER)
    taker.link_up(_GIVER)
    while wire.waiting or not taker.is_in_sync(_GIVER):
        if wire.waiting:
            message = wire.waiting.popleft()
            start_s = time.perf_counter()
            ends[message.receiver].receive(message.sender, message.data)
            spent_s[message.receiver] += time.perf_counter() - start_s
        await asyncio.sleep(0)
    await store.save()
    took_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - cpu_s
    saving.cancel()
    await asyncio.gather(saving, return_exceptions=True)
    await store.close()
    held = sum(1 for _ in store.list(Port))
    assert held == sum(map(len, common.ports.values())), f"{held} ports"
    return {
        "s": took_s,
        "cpu_s": cpu_s,
        "giver_s": spent_s[_GIVER],
        "taker_s": spent_s[_TAKER],
        "mb": wire.sent_bytes / 1e6,
    }
