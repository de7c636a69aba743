"""What it costs a host that others share its networks and nobody says anything.

The prober is the real one, over the records of a cluster that does not exist, and in time that
passes at once while all wait. What is counted is weftd's own work: a probe that really leaves costs
two more system calls, and is answered by the other host's programs without its weftd.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping

from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.bench.skipping import Skipping
from weft.bench.synthetic import SyntheticCluster
from weft.kernel.bpf.layouts import ProbeMessage
from weft.kernel.probe_wire import Answer
from weft.kernel.tunnel_traffic import Used
from weft.model.addresses import IPAddress
from weft.model.ids import host_tag
from weft.model.records import Host
from weft.observers.paths.prober import Prober
from weft.store.memory import MemoryStore

_QUIET = Figure(
    "quiet_hosts",
    "Hosts on one network, none says anything: probing them",
    (Quantity("cpu", "% of a CPU", 3, 100), Quantity("probes_s", "probes/s", 2)),
)
_HOSTS = (30, 100, 1000)
_WARM_S, _COUNTED_S = 200.0, 600.0
_VXLAN_BYTES = 8


def measure(plan: Plan, results: Results) -> None:
    """Clusters of several sizes."""
    for hosts in _HOSTS:
        plan.say(f"paths: {hosts} hosts that say nothing")
        with asyncio.Runner(loop_factory=Skipping) as runner:
            results.add(_QUIET, f"{hosts} hosts", runner.run(_count(hosts)))
    for hosts in _HOSTS[:2]:
        share = results.median(_QUIET.key, f"{hosts} hosts", "cpu")
        percent = None if share is None else share * 100
        title = f"{hosts} hosts that say nothing, share of a CPU"
        results.checks.append(Check(title, percent, 0.5, "at most", "%"))


async def _count(hosts: int) -> Sample:
    cluster = SyntheticCluster(hosts, hosts)
    store = MemoryStore(cluster.records())
    wire = _Wire({a: host_tag(host.id) for host in store.list(Host) for a in host.underlay})
    prober = Prober(
        host_id=cluster.hosts[0],
        store=store,
        wire=wire,
        random_bytes=os.urandom,
        traffic=_Silence(),
        monotonic_ns=_now_ns,
    )
    async with asyncio.TaskGroup() as tasks:
        probing = tasks.create_task(prober.run())
        await asyncio.sleep(_WARM_S)
        sent, cpu_s = wire.sent, time.process_time()
        await asyncio.sleep(_COUNTED_S)
        spent_s, asked = time.process_time() - cpu_s, wire.sent - sent
        probing.cancel()
    return {"cpu": spent_s / _COUNTED_S, "probes_s": asked / _COUNTED_S}


def _now_ns() -> int:
    return int(asyncio.get_running_loop().time() * 1e9)


class _Wire:
    """Implements `prober.Wire`: every host answers at once."""

    def __init__(self, tags: Mapping[IPAddress, int]) -> None:
        self.sent = 0
        self._tags = tags
        self._answers: dict[tuple[int, int], Answer] = {}

    def source(self, destination: IPAddress) -> IPAddress | None:
        return None

    def send(self, source: IPAddress, destination: IPAddress, payload: bytes) -> bool:
        self.sent += 1
        message = ProbeMessage.decode(payload[_VXLAN_BYTES : _VXLAN_BYTES + 36])
        key = self._tags[destination], int.from_bytes(message.slot_be, "big")
        self._answers[key] = Answer(message.nonce, _now_ns())
        return True

    def answers(self, keys: Iterable[tuple[int, int]]) -> Mapping[tuple[int, int], Answer]:
        return {key: self._answers[key] for key in keys if key in self._answers}

    def close(self) -> None:
        """Nothing is held open."""


class _Silence:
    """Implements `talk.Traffic`: no tunnel carries anything."""

    def used(self) -> Mapping[int, Used]:
        return {}
