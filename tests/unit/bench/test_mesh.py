"""The simulated clusters of the benchmark, in small."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from weft.bench import mesh, report, resync
from weft.bench.plan import Plan
from weft.bench.results import Results
from weft.bench.shared_held import SharedHeld
from weft.bench.simulated import Common, SimulatedMesh, links_between
from weft.bench.synthetic import PORTS_PER_NETWORK, SyntheticCluster
from weft.mesh.held import Held
from weft.model import codec
from weft.model.records import Network, Port, Subnet
from weft.store.entry import Entry, Key, Origin


def test_ports_of_a_synthetic_cluster_are_spread_over_hosts_and_fit_their_subnets() -> None:
    cluster = SyntheticCluster(7, PORTS_PER_NETWORK + 10)
    records = list(cluster.records())
    ports = [record for record in records if isinstance(record, Port)]
    subnets = {r.network_id: r.cidr for r in records if isinstance(r, Subnet)}
    assert len(ports) == len({port.addresses for port in ports}) == PORTS_PER_NETWORK + 10
    assert {port.host_id for port in ports} == set(cluster.hosts)
    assert len([record for record in records if isinstance(record, Network)]) == 2
    assert all(port.addresses[0] in subnets[port.network_id] for port in ports)
    assert all(codec.decode(r.KIND, codec.encode(r)) == r for r in records)


def test_what_hosts_share_looks_like_what_each_would_hold_alone() -> None:
    source = random.Random(5)
    shared, alone = Held(), Held()
    for entry in _writes(source, 1):
        shared.place(entry.key, entry)
        alone.place(entry.key, entry)
    view = SharedHeld(shared)
    before = sorted(view, key=_order)
    for step, entry in enumerate(_writes(source, 2)):
        for held in (view, alone):
            if step % 5:
                held.place(entry.key, entry)
            else:
                held.remove(entry.key)
    assert sorted(view, key=_order) == sorted(alone, key=_order)
    assert len(view) == len(alone)
    assert view.checksum == alone.checksum
    assert view.tombstones == alone.tombstones
    for origin in alone.origins():
        assert view.of(origin) == alone.of(origin)
        assert view.between(origin, 2, 9) == alone.between(origin, 2, 9)
    for entry in before:
        assert view.get(entry.key) == alone.get(entry.key)
    assert sorted(SharedHeld(shared), key=_order) == before


def _writes(source: random.Random, incarnation: int) -> list[Entry]:
    """Over few keys of two hosts, tombstones among them."""
    counts = {"a": 0, "b": 0}
    made = []
    for _ in range(40):
        host = source.choice("ab")
        counts[host] += 1
        body = source.choice((None, b"x", b"y"))
        key = Key("port", str(source.randrange(12)), "")
        origin = Origin(host, incarnation)
        made.append(Entry(key.kind, key.id, 0, origin, counts[host], body))
    return made


def _order(entry: Entry) -> tuple[str, int, int]:
    return (*entry.origin, entry.sequence)


def test_a_change_reaches_every_host_and_costs_the_same_beside_many_ports() -> None:
    sent = []
    for ports in (100, 2000):
        common = Common(SyntheticCluster(20, ports))
        cluster = SimulatedMesh(common)
        cluster.connect()
        before = cluster.network.sent_bytes
        writer = cluster.hosts[3]
        writer.write([common.ports[writer.name][0]])
        marks = cluster.marks_of([writer])
        assert cluster.run_until(lambda c=cluster, m=marks: c.has_everywhere(m)) > 0  # type: ignore[misc]
        cluster.run_until(cluster.is_quiet)
        sent.append(cluster.network.sent_bytes - before)
    assert sent[1] == pytest.approx(sent[0], rel=0.05)


def test_halves_that_meet_again_hold_the_same() -> None:
    common = Common(SyntheticCluster(20, 100))
    cluster = SimulatedMesh(common)
    cluster.connect()
    cluster.split()
    for number in (0, 19):
        host = cluster.hosts[number]
        host.write([common.ports[host.name][0]])
    cluster.run_until(cluster.is_quiet)
    assert len({host.replica.checksum for host in cluster.hosts}) == 2
    cluster.unite()
    cluster.run_until(cluster.is_quiet)
    assert len({host.replica.checksum for host in cluster.hosts}) == 1


def test_hosts_of_a_large_cluster_hold_few_links_and_all_hang_together() -> None:
    hosts = SyntheticCluster(200, 0).hosts
    links = links_between(hosts)
    assert len(links) == len(set(links))
    assert 2 * len(links) / len(hosts) < 25
    reached, frontier = {0}, {0}
    while frontier:
        frontier = {b for a, b in (*links, *((b, a) for a, b in links)) if a in frontier} - reached
        reached |= frontier
    assert len(reached) == len(hosts)


def test_the_part_reports_every_size(tmp_path: Path) -> None:
    results = Results()
    mesh.measure(Plan(tmp_path, lambda _: None, is_quick=True), results)
    assert {check.verdict for check in results.checks} == {"met"}
    shown = report.table(results)
    for size in ("4 x 100", "4 x 1000", "20 x 100", "20 x 1000"):
        assert shown.count(f"  {size} ") == 4


def test_a_new_host_takes_over_all_records_in_real_time(tmp_path: Path) -> None:
    results = Results()
    resync.measure(Plan(tmp_path, lambda _: None, is_quick=True), results)
    (check,) = results.checks
    assert check.verdict == "met"
    assert results.median("mesh_resync", "1000 ports", "mb") == pytest.approx(0.6, rel=0.3)
