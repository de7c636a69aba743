"""A member whose programs are the enemy's writes what it likes: the others go on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.system.cluster import Cluster, api, has
from tests.system.encryption import KIND
from tests.system.pings import Pings
from tests.system.workload import PATIENCE, Workload, add_network, until
from weft.api.schema import NetworkInfo, NetworkList, ProblemList
from weft.lab.host import LabHost

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]
LISTINGS = (
    ("status",),
    ("status", "hosts"),
    ("status", "ports"),
    ("status", "ipam"),
    ("network", "ls"),
    ("ps",),
    ("dns", "ls"),
    ("multicast", "ls"),
    ("encrypt", "status"),
)


class World:
    """Two hosts that mean well, with a workload each, and one that does not."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.h1, self.h2, self.h3 = cluster.hosts
        self.network = add_network(api(self.h1), "foo", ("10.66.0.0/24",))
        until("h2 has the network", has(self.h2, "foo"))
        self.w1 = self.workload(self.h1, "w1", self.network)
        self.w2 = self.workload(self.h2, "w2", self.network)
        until("w1 reaches w2", lambda: self.w1.reaches(self.w2.address4))
        self.villain: subprocess.Popen[str] | None = None

    def workload(self, host: LabHost, name: str, network: NetworkInfo) -> Workload:
        made = Workload(host, api(host), name)
        made.attach(network, names=(name,))
        return made

    def attack(self) -> None:
        me = next(one for one in self.cluster.list(self.h3).hosts if one.is_local)
        ends = [self.cluster.seen(self.h3, host) for host in (self.h1, self.h2)]
        where = ",".join(end.underlay[0] for end in ends if end is not None)
        self.cluster.done(self.h3, "down")
        state = str(self.h3.layout.state / "weft")
        self.villain = subprocess.Popen(
            [
                *self.h3.enter,
                *(sys.executable, "-m", "tests.system.villain"),
                *(state, me.id, self.network.id, where),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.h3.environment | {"PYTHONPATH": str(ROOT)},
        )
        assert self.villain.stdout is not None
        assert self.villain.stdout.readline() == "done\n"
        for host in (self.h1, self.h2):
            until(f"{host.name} shows what it does not use", partial(_has_quarantined, host))

    def end(self) -> None:
        for workload in (self.w1, self.w2):
            workload.remove()
        if self.villain is not None:
            self.villain.communicate(timeout=20 * PATIENCE)


def _has_quarantined(host: LabHost) -> bool:
    problems = api(host).get(ProblemList, "problems").problems
    return sum("is not used" in one.reason for one in problems) > 20


@pytest.fixture
def world(cluster: Cluster) -> Iterator[World]:
    made = World(cluster)
    try:
        yield made
    finally:
        made.end()


def test_two_hosts_go_on_whatever_a_third_writes(world: World) -> None:
    cluster, h1, h2 = world.cluster, world.h1, world.h2
    logs = {host.name: len(host.weftd_log.read_text()) for host in (h1, h2)}
    pings = Pings(world.w1.start, [world.w2.address4])
    world.attack()
    for host in (h1, h2):
        for words in LISTINGS:
            assert cluster.weft(host, *words).code == 0, words
    names = {one.name for one in api(h2).get(NetworkList, "networks").networks}
    assert "foo" in names
    # What one writes reaches the other.
    later = add_network(api(h1), "later", ("203.0.113.0/24",))
    until("h2 has the next network", lambda: "later" in _networks(h2))
    cluster.done(h2, "network", "rm", later.name)
    until("h1 has it no more", lambda: "later" not in _networks(h1))
    pings.end_whole()
    for host in (h1, h2):
        said = host.weftd_log.read_text()[logs[host.name] :]
        assert "fault in weftd" not in said
        assert "Traceback" not in said
    # Who starts again finds all of it, and the other host.
    h1.kill_weftd()
    h1.start_weftd()
    until("h1 is linked to h2", lambda: _is_linked(cluster, h1, h2))
    assert world.w1.reaches(world.w2.address4)
    if KIND != "none":
        _encrypt_and_back(world)


def _networks(host: LabHost) -> set[str]:
    return {one.name for one in api(host).get(NetworkList, "networks").networks}


def _is_linked(cluster: Cluster, host: LabHost, other: LabHost) -> bool:
    found = cluster.seen(host, other)
    return found is not None and found.state == "connected"


def _encrypt_and_back(world: World) -> None:
    for word, stage in (("on", "refuses"), ("off", "off")):
        world.cluster.done(world.h1, "encrypt", word)
        until(f"encryption is {word}", partial(_is_at, world, stage))
        assert world.w1.reaches(world.w2.address4)


def _is_at(world: World, stage: str) -> bool:
    told = json.loads(world.cluster.done(world.h1, "encrypt", "status", "--json"))
    wanted = (world.h1.name, world.h2.name)
    return {each["stage"] for each in told["hosts"] if each["name"] in wanted} == {stage}
