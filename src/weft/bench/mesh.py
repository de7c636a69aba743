"""Replication: what a change costs in clusters of all sizes, and how that grows.

The clusters are simulated (`simulated`), so seconds of convergence are the network's alone; CPU
seconds are real.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, product

import msgspec

from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.bench.simulated import Common, SimulatedHost, SimulatedMesh
from weft.bench.synthetic import SyntheticCluster

_COST = (
    Quantity("bytes", "bytes/host"),
    Quantity("ms", "ms", 1),
    Quantity("cpu_ms", "CPU-ms", 2),
)
_CHANGE = Figure(
    "mesh_change",
    "Mesh, hosts x ports: one port changes",
    _COST,
    "ms: until all have it, at 0.5 to 2 ms a hop; CPU-ms: of each host",
)
_BURST = Figure(
    "mesh_burst",
    "Mesh, hosts x ports: each of 20 at once",
    _COST,
    "on different hosts, where there are so many",
)
_HEAL = Figure(
    "mesh_heal",
    "Mesh, hosts x ports: two halves meet again",
    _COST,
    "each has changed 10 ports; a new link begins with 30 bytes for every host",
)
_IDLE = Figure(
    "mesh_idle",
    "Mesh, hosts x ports: nothing changes, a second",
    (Quantity("bytes_s", "bytes/host", 1), Quantity("cpu_ms_s", "CPU-ms", 3)),
)
_AT_ONCE = 20
_CHANGES_A_HALF = 10
_IDLE_S = 20.0


def measure(plan: Plan, results: Results) -> None:
    """All sizes."""
    sizes = list(product(plan.mesh_hosts, plan.mesh_ports))
    for figure in (_CHANGE, _BURST, _HEAL, _IDLE):
        results.announce(figure, [_variant(*size) for size in sizes])
    for hosts, ports in sizes:
        plan.say(f"mesh: {hosts} hosts, {ports} ports")
        _measure_size(plan, results, hosts, ports)
    results.checks.extend(_checks(plan, results))


def _variant(hosts: int, ports: int) -> str:
    return f"{hosts} x {ports}"


def _measure_size(plan: Plan, results: Results, hosts: int, ports: int) -> None:
    variant = _variant(hosts, ports)
    common = Common(SyntheticCluster(hosts, ports))
    mesh = SimulatedMesh(common)
    mesh.connect()
    results.add(_IDLE, variant, _idle(mesh))
    load = _Load(mesh, common)
    for _ in range(plan.mesh_changes):
        results.add(_CHANGE, variant, load.change([load.random.choice(mesh.hosts)]))
    burst = load.change([mesh.hosts[number % hosts] for number in range(_AT_ONCE)])
    each = {key: burst[key] / _AT_ONCE for key in ("bytes", "cpu_ms")}
    results.add(_BURST, variant, {**burst, **each})
    results.add(_HEAL, variant, load.heal())


class _Load:
    """Changes ports, and says what the cluster spends until all hosts know."""

    def __init__(self, mesh: SimulatedMesh, common: Common) -> None:
        self.random = random.Random(len(mesh.hosts))
        self._mesh = mesh
        self._ports = {host: cycle(ports) for host, ports in common.ports.items()}

    def change(self, writers: Sequence[SimulatedHost]) -> Sample:
        """One port of each of these, all at once."""
        sent, cpu_s = self._mesh.network.sent_bytes, time.process_time()
        for host in writers:
            self._write(host)
        return self._until_everywhere(writers, sent, cpu_s)

    def heal(self) -> Sample:
        """Changes on two sides of a partition, and its end."""
        mesh = self._mesh
        mesh.split()
        half = len(mesh.hosts) // 2
        for side in (mesh.hosts[:half], mesh.hosts[half:]):
            for number in range(_CHANGES_A_HALF):
                self._write(side[number % half])
        mesh.run_until(mesh.is_quiet)
        sent, cpu_s = mesh.network.sent_bytes, time.process_time()
        mesh.unite()
        return self._until_everywhere(mesh.hosts, sent, cpu_s)

    def _write(self, host: SimulatedHost) -> None:
        """A port gets another name, as when its container is renamed."""
        port = next(self._ports[host.name])
        name = f"renamed-{self.random.randrange(10**6):06}"
        host.write([msgspec.structs.replace(port, names=(name,))])

    def _until_everywhere(
        self, writers: Sequence[SimulatedHost], sent: int, cpu_s: float
    ) -> Sample:
        """Bytes and CPU until nobody has anything to say, time until all have seen all."""
        mesh = self._mesh
        marks = mesh.marks_of(writers)
        took_s = mesh.run_until(lambda: mesh.has_everywhere(marks))
        mesh.run_until(mesh.is_quiet)
        return {
            "bytes": (mesh.network.sent_bytes - sent) / len(mesh.hosts),
            "ms": took_s * 1e3,
            "cpu_ms": (time.process_time() - cpu_s) * 1e3 / len(mesh.hosts),
        }


def _idle(mesh: SimulatedMesh) -> Sample:
    sent, cpu_s = mesh.network.sent_bytes, time.process_time()
    mesh.network.run_until(mesh.network.now_s + _IDLE_S)
    share = 1 / _IDLE_S / len(mesh.hosts)
    return {
        "bytes_s": (mesh.network.sent_bytes - sent) * share,
        "cpu_ms_s": (time.process_time() - cpu_s) * 1e3 * share,
    }


def _checks(plan: Plan, results: Results) -> Iterator[Check]:
    few, *_, many = plan.mesh_ports
    for hosts in plan.mesh_hosts:
        one, other = _variant(hosts, many), _variant(hosts, few)
        ratio = results.ratio(_CHANGE.key, one, other, "bytes")
        yield Check(f"bytes a change, {one} to {other}", ratio, 1.05, "at most")
