"""Four hosts with an etcd that three of them run, and what becomes of its members."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.cluster import Cluster, api, has, networks
from tests.system.pings import Pings
from tests.system.workload import Workload, add_network, until
from weft.api.schema import HostList, StatusInfo
from weft.lab.host import LabHost, Setting
from weft.lab.lab import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed"),
]
SETTINGS: dict[str, Setting] = {
    "docker": False,
    "reconcile_s": 2.0,
    "rest_s": 0.2,
    "store": "etcd-managed",
}
PORT = 6785
PATIENT_S = 40
"""Etcd changes its members only when all of them have been well for a while."""


@pytest.fixture(scope="module")
def formed() -> Iterator[Cluster]:
    lab = Lab(f"managed-{os.getpid()}")
    try:
        lab.up(4, settings=SETTINGS, has_weftd=False)
        cluster = Cluster(lab.hosts())
        cluster.gather()
        until("three are members", lambda: len(members(cluster.hosts[0])) == 3, PATIENT_S)
        yield cluster
    finally:
        lab.down()


@pytest.fixture
def cluster(formed: Cluster) -> Cluster:
    """What the test before did to etcd is over, and three are members."""
    for host in formed.hosts:
        until(f"{host.name} is well", lambda host=host: is_well(host), PATIENT_S)  # type: ignore[misc]
    return formed


def is_well(host: LabHost) -> bool:
    """Whether a host has no problem, and knows three members."""
    found = status(host)
    is_quiet = not found.problem_count and not found.store.reason and not found.lost_host_count
    return is_quiet and len(members(host)) == 3


def status(host: LabHost) -> StatusInfo:
    return api(host).get(StatusInfo, "status")


def members(host: LabHost) -> set[str]:
    """Names of those that are more than learners."""
    lines = [line for line in status(host).store.members if line.endswith(f":{PORT}")]
    return {line.removeprefix("member ").partition(":")[0] for line in lines}


def etcd_pid(host: LabHost) -> int | None:
    """The etcd of a host, by its data."""
    data = f"--data-dir={host.layout.state}/weft/etcd/data".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if data in (process / "cmdline").read_bytes().split(b"\0"):
                return int(process.name)
        except OSError:
            continue
    return None


def is_served(host: LabHost, *words: str) -> bool:
    """Whether the etcd of the host serves a curl with these arguments there."""
    url = f"https://{host.layout.address4}:{PORT}/version"
    curl = ["curl", "--silent", "--insecure", "--max-time", "5", *words, url]
    done = subprocess.run([*host.enter, *curl], capture_output=True, text=True, check=False)
    return "etcdserver" in done.stdout


def trusts_one_but(host: LabHost, old: str) -> Callable[[], bool]:
    """Whether a host trusts one authority in etcd's connections, and another than that."""
    file = host.layout.state / "weft/etcd/tls/ca.pem"
    return lambda: (text := file.read_text()).count("BEGIN") == 1 and text != old


def test_three_hosts_are_members_and_one_may_die(cluster: Cluster) -> None:
    h1, h2, _, h4 = cluster.hosts
    assert cluster.join[:3] == ["up", "--store", "etcd-managed"]
    assert "h1" in members(h4)
    assert "problems none" in " ".join(cluster.done(h1, "status").split())
    dying = next(host for host in cluster.hosts if host.name in members(h1) - {"h1"})
    other = next(host for host in (h2, h4) if host is not dying)
    network = add_network(api(h1), "foo", ["10.1.0.0/24"])
    until("the other has it", has(other, "foo"))
    one, two = Workload(h1, api(h1), "w"), Workload(other, api(other), "w")
    try:
        for each in (one, two):
            each.attach(network)
        until("they reach each other", lambda: one.reaches(two.address4))
        pings = Pings(one.start, [two.address4])
        dying.kill_weftd()
        until("its etcd has ended with it", lambda: etcd_pid(dying) is None)

        def is_made() -> bool:
            # Etcd takes nothing until another leads, if the one that died did.
            cluster.weft(other, "network", "create", "bar", "--subnet", "10.2.0.0/24")
            return "bar" in networks(other)

        until("two can change what is shared", is_made, PATIENT_S)
        until("h1 has the network", has(h1, "foo", "bar"))
        dying.start_weftd()
        until("it has it too", has(dying, "foo", "bar"))
        until("its etcd runs", lambda: etcd_pid(dying) is not None)
        pid = etcd_pid(dying)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until("it runs again", lambda: etcd_pid(dying) not in (None, pid))
        pings.end_whole(50)
    finally:
        one.remove()
        two.remove()
        cluster.weft(h1, "network", "rm", "foo")
        cluster.weft(h1, "network", "rm", "bar")
    cluster.wait_connected()


def test_who_has_no_certificate_of_the_cluster_is_not_served(cluster: Cluster) -> None:
    (h1, *_) = cluster.hosts
    folder = h1.layout.state / "weft/etcd/tls"
    assert folder.stat().st_mode & 0o077 == 0
    assert not any(file.stat().st_mode & 0o077 for file in folder.iterdir())
    assert not is_served(h1)
    assert is_served(h1, "--cert", str(folder / "client.pem"))


def test_a_new_token_is_one_for_etcd_too(cluster: Cluster) -> None:
    h1, h2, *_ = cluster.hosts
    old = (h1.layout.state / "weft/etcd/tls/ca.pem").read_text()
    cluster.done(h2, "token", "rotate")
    for host in cluster.hosts:
        until(f"{host.name} trusts the new one alone", trusts_one_but(host, old), PATIENT_S)

    def is_made() -> bool:
        # One that etcd has taken without a word is there the next time.
        cluster.weft(h1, "network", "create", "new")
        return "new" in networks(h1)

    until("h1 may change what is shared", is_made, PATIENT_S)
    for host in cluster.hosts:
        until(f"{host.name} has it", has(host, "new"))
    cluster.done(h1, "network", "rm", "new")


def test_a_member_that_is_forgotten_or_leaves_is_replaced(cluster: Cluster) -> None:
    h1 = cluster.hosts[0]
    until("three are members", lambda: len(members(h1)) == 3, PATIENT_S)
    gone = next(host for host in cluster.hosts if host.name in members(h1) - {"h1"})
    spare = next(host for host in cluster.hosts if host.name not in members(h1))
    cluster.done(gone, "down")
    until("h1 has noticed", cluster.is_lost(h1, gone))

    def is_forgotten() -> bool:
        # Etcd takes nothing until another leads, if the one that went did.
        cluster.weft(h1, "forget", gone.name)
        return gone.name not in [host.name for host in api(h1).get(HostList, "hosts").hosts]

    until("h1 forgets it", is_forgotten, PATIENT_S)
    until("another took its place", lambda: spare.name in members(h1), PATIENT_S)
    assert gone.name not in members(h1)
    assert len(members(h1)) == 3
    until(f"{spare.name} is well", lambda: is_well(spare), PATIENT_S)
    cluster.done(spare, "leave")
    until("two are left", lambda: len(members(h1)) == 2)
    assert etcd_pid(spare) is None
    cluster.done(h1, "network", "create", "last", "--subnet", "10.3.0.0/24")
    cluster.done(h1, "network", "rm", "last")
    # Both come back as new hosts.
    token = cluster.done(h1, "token", "show").strip()
    cluster.done(gone, "down", "--purge")
    for host in (gone, spare):
        cluster.done(host, *cluster.join[:-1], token)
    cluster.wait_connected()
    until("three are members", lambda: len(members(h1)) == 3, PATIENT_S)
