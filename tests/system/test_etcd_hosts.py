"""Three hosts whose records are in an etcd: all is as in a mesh, and goes on while etcd is away."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.system.cluster import Cluster, api, has, networks, reasons
from tests.system.pings import Pings
from tests.system.workload import Workload, add_network, until
from weft.api.schema import NetworkInfo, NetworkList, StatusInfo
from weft.lab.host import LabHost
from weft.lab.lab import Lab
from weft.lab.node import Node

SETTINGS = {"docker": False, "reconcile_s": 2.0, "rest_s": 0.2}

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed"),
]


class EtcdOutside:
    """An etcd beyond the hosts of a lab."""

    def __init__(self, node: Node) -> None:
        self.address = str(node.layout.address4)
        self._node = node
        self._folder = node.layout.state / "etcd"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        url = f"http://{self.address}:2379"
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(*self._node.enter, "etcd", "--data-dir", str(self._folder / "data")),
                    *("--listen-client-urls", url, "--advertise-client-urls", url),
                    *("--log-level", "error"),
                ],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """The process that entered the node is the one that became etcd."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab(f"etcd-{os.getpid()}")
    try:
        address = made.outside.layout.address4
        made.up(3, settings=SETTINGS | {"store": f"etcd://{address}"}, has_weftd=False)
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def etcd(lab: Lab) -> Iterator[EtcdOutside]:
    server = EtcdOutside(lab.outside)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def cluster(lab: Lab, etcd: EtcdOutside) -> Cluster:
    cluster = Cluster(lab.hosts())
    cluster.gather()
    return cluster


@pytest.fixture
def workloads(cluster: Cluster, etcd: EtcdOutside) -> Iterator[list[Workload]]:
    """One on each host, all on the network foo."""
    network = add_network(api(cluster.hosts[0]), "foo", ["10.1.0.0/24"])
    made: list[Workload] = []
    try:
        for host in cluster.hosts:
            until(f"{host.name} has the network", has(host, "foo"))
            made.append(Workload(host, api(host), "w"))
            made[-1].attach(network, names=(f"w-{host.name}",))
        for one in made[1:]:
            until("they reach each other", lambda one=one: made[0].reaches(one.address4))  # type: ignore[misc]
        yield made
    finally:
        for workload in made:
            workload.remove()
        cluster.weft(cluster.hosts[0], "network", "rm", "foo")


def network(host: LabHost, name: str) -> NetworkInfo:
    found = api(host).get(NetworkList, "networks").networks
    return next(one for one in found if one.name == name)


def status(host: LabHost) -> StatusInfo:
    return api(host).get(StatusInfo, "status")


def test_hosts_find_each_other_and_share_networks_by_way_of_etcd(
    cluster: Cluster, etcd: EtcdOutside
) -> None:
    h1, h2, h3 = cluster.hosts
    assert cluster.join[:3] == ["up", "--store", f"etcd://{etcd.address}"]
    cluster.done(h3, "network", "create", "bar", "--subnet", "10.2.0.0/24")
    for host in cluster.hosts:
        until(f"{host.name} has it", has(host, "bar"))
    cluster.done(h2, "network", "rm", "bar")
    until("h1 has it no more", has(h1))
    text = cluster.done(h1, "status")
    assert f"etcd http://{etcd.address}:2379, in step" in text
    assert "problems none" in " ".join(text.split())


def test_while_etcd_is_away_all_goes_on_and_what_a_host_does_is_known_later(
    cluster: Cluster, etcd: EtcdOutside, workloads: list[Workload]
) -> None:
    h1, h2, h3 = cluster.hosts
    one, two, three = workloads
    pings = Pings(one.start, [two.address4])
    etcd.kill()
    until("h2 has noticed", lambda: bool(status(h2).store.reason))
    refused = cluster.weft(h1, "network", "create", "bar")
    assert refused.code == 1
    assert f"etcd http://{etcd.address}:2379: Connection refused" in refused.err
    assert "majority" in refused.err
    assert "cannot be changed" in reasons(h1)
    assert "does not serve since" in cluster.done(h1, "status")
    # What hosts ask each other goes over their links, as everywhere.
    text = cluster.done(h1, "status", "ports", "--all")
    assert all(f"w-{host.name}" in text for host in cluster.hosts) and "not told" not in text
    # A restart goes on from what was known last.
    h2.kill_weftd()
    h2.start_weftd()
    assert networks(h2) == {"foo"}
    assert three.address4 in cluster.done(h2, "dns", "lookup", "w-h3.foo.weft.internal")
    late = Workload(h2, api(h2), "late")
    try:
        late.attach(network(h2, "foo"), names=("late",))
        assert late.reaches(two.address4)
        assert status(h2).store.waiting_count > 0
        etcd.start()
        until("h3 reaches the port", lambda: three.reaches(late.address4))
        until("nothing waits", lambda: not status(h2).store.waiting_count)
        found = cluster.done(h3, "dns", "lookup", "late.foo.weft.internal")
        assert late.address4 in found
    finally:
        late.remove()
        if status(h1).store.reason:
            etcd.start()
    until("h1 has noticed", lambda: not status(h1).store.reason)
    cluster.done(h1, "network", "create", "bar")
    until("h2 has it", has(h2, "foo", "bar"))
    cluster.done(h1, "network", "rm", "bar")
    pings.end_whole(50)
