"""Rules, members and ways change under load while daemons die and hosts are cut off: nothing passes
that no version of the rules allowed, and what all of them allow goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.system.cluster import Cluster, api, has
from tests.system.load import HELD, Claims, Flow, Load, Seen
from tests.system.shared_lab import SharedLab
from tests.system.tcp import call
from tests.system.workload import PATIENCE, Workload, add_network, until
from weft.api.schema import NetworkDetail
from weft.lab import faults
from weft.lab.host import LabHost, weft_command
from weft.lab.lab import Lab

pytestmark = pytest.mark.root

NEVER, ONE, OTHER = 81, 82, 83
"""Ports: the first is in no version of the rules, the others come and go."""
SETTLES_S = 30.0
_ASK = """
import socket, sys
for address in sys.argv[3:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(float(sys.argv[2]))
        one.sendto(b"ask - 0", (address, int(sys.argv[1])))
        try:
            one.recv(64)
        except OSError:
            sys.exit(print("silent"))
print("answered")
"""


class Town:
    """Servers on the first and the third host, and clients: two that may come, on the second and on
    the third, one that may and is behind a router, and one that may never."""

    def __init__(self, joined: Cluster, lab: Lab) -> None:
        self.cluster = joined
        self.lab = lab
        self.hosts = joined.hosts
        h1, h2, h3 = self.hosts
        near = add_network(api(h1), "near", ["10.81.0.0/24", "fd81::/64"])
        beyond = add_network(api(h1), "beyond", ["10.82.0.0/24", "fd82::/64"])
        self.done(h1, "router", "create", "mid", "--network", "near", "--network", "beyond")
        for name in ("srv", "ops"):
            self.done(h1, "group", "create", name)
        self.done(h1, "group", "default", "deny", "--ingress", "--group", "srv")
        for protocol in ("udp", "tcp"):
            self.done(h1, "group", "rule", "add", "srv", self.rule(HELD, protocol))
        for host in (h2, h3):
            until(f"{host.name} has the networks", has(host, "near", "beyond"))
            until(
                f"{host.name} knows the groups",
                lambda host=host: "srv" in joined.weft(host, "group", "ls").out,  # type: ignore[misc]
            )
        self.made: list[Workload] = []
        self.srv1 = self._plug(h1, "srv1", near.name, "srv")
        self.srv3 = self._plug(h3, "srv3", near.name, "srv")
        self.ops2 = self._plug(h2, "ops2", near.name, "ops")
        self.ops3 = self._plug(h3, "ops3", near.name, "ops")
        self.rover = self._plug(h3, "rover", beyond.name, "ops")
        self.spy = self._plug(h2, "spy", near.name)
        self.servers = (self.srv1, self.srv3)
        self.load = Load(
            self.servers,
            (self.ops2, self.ops3, self.rover, self.spy),
            (HELD, NEVER, ONE, OTHER),
        )
        for client in (self.ops2, self.ops3, self.rover):
            for server in self.servers:
                for address in (server.address4, server.address6):
                    until(
                        f"{client.name} reaches {address}",
                        lambda c=client, a=address: call(c, a, HELD) == "answered",  # type: ignore[misc]
                        SETTLES_S,
                    )
        self.claims = Claims()

    def _plug(self, host: LabHost, name: str, network: str, *groups: str) -> Workload:
        made = Workload(host, api(host), name)
        self.made.append(made)
        made.attach(api(host).get(NetworkDetail, "networks", network), groups=groups)
        return made

    def done(self, host: LabHost, *words: str) -> None:
        self.cluster.done(host, *words)

    @staticmethod
    def rule(port: int, protocol: str = "udp") -> str:
        return f"allow ingress {protocol} {port} from group:ops"

    def allow(self, host: LabHost, port: int) -> None:
        self.done(host, "group", "rule", "add", "srv", self.rule(port))

    def forbid(self, host: LabHost, port: int) -> None:
        self.done(host, "group", "rule", "rm", "srv", self.rule(port))

    def has_rule(self, host: LabHost, port: int) -> bool:
        return f"udp {port} " in self.cluster.weft(host, "group", "rule", "ls", "srv").out

    def passes(self, client: Workload, server: Workload, port: int) -> bool:
        """Whether new datagrams do, to both addresses."""
        words = (sys.executable, "-c", _ASK, str(port), str(0.5 * PATIENCE))
        return client.run(*words, server.address4, server.address6) == "answered\n"

    def begin_command(self, host: LabHost, *words: str) -> subprocess.Popen[bytes]:
        """One of which nobody waits for the end."""
        return subprocess.Popen(
            [*host.enter, *weft_command(), *words],
            env=host.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self, seconds: float) -> None:
        """Let the load go on for so long, which is what a claim is about."""
        time.sleep(seconds * PATIENCE)

    def remove(self) -> None:
        for host in self.hosts:
            faults.heal(self.lab, host.name)
            host.start_weftd()
        for workload in self.made:
            workload.remove()


@pytest.fixture
def town(three_hosts: SharedLab, joined: Cluster) -> Iterator[Town]:
    made = Town(joined, three_hosts.lab)
    try:
        yield made
    finally:
        made.remove()
        h1 = joined.hosts[0]
        for words in (
            ("router", "rm", "mid"),
            ("group", "rm", "srv"),
            ("group", "rm", "ops"),
            ("network", "rm", "near"),
            ("network", "rm", "beyond"),
        ):
            joined.weft(h1, *words)


def finish(town: Town, *, cut: Sequence[Workload] = ()) -> None:
    """End the load: all claims hold, nothing ever passed that was never allowed, and no connection
    was cut. `cut`: whose connections stood still for a while."""
    flows, connections = town.load.end()
    town.claims.check(flows)
    check_never(town, flows)
    assert len(connections) == 3 * 4
    for each in connections:
        assert not each.error, each
        if each.client not in {one.name for one in cut}:
            assert each.longest_s < 5 * PATIENCE, each


def check_never(town: Town, flows: dict[Flow, list[Seen]]) -> None:
    checked = 0
    for flow, seen in flows.items():
        if flow.port == NEVER or flow.client == town.spy.name:
            checked += len(seen)
            got = [each for each in seen if each.got_s is not None]
            assert not got, (flow, got[:3])
    assert checked > 100


def test_what_changes_while_daemons_die(town: Town) -> None:
    """Each change is in force when its command returns, on the host where it was given; one that is
    interrupted is made or not made, and nothing else."""
    h1, h2, h3 = town.hosts
    chance = random.Random(4)
    town.load.begin((town.ops2, town.ops3, town.rover))
    clients = (town.ops2, town.ops3, town.rover)
    near = (town.ops2, town.ops3)
    with town.claims.while_so("in all versions", near, town.servers, HELD, passes=True):
        for _ in range(2):
            town.allow(h1, ONE)
            with town.claims.while_so("allowed", near, [town.srv1], ONE, passes=True):
                town.wait(2)
            town.forbid(h1, ONE)
            with town.claims.while_so("forbidden", clients, [town.srv1], ONE, passes=False):
                town.wait(0.5)
        # A weftd that is away: what it knew holds, and what it missed is in force when it is back.
        with town.claims.while_so("not known there", clients, [town.srv1], ONE, passes=False):
            assert h1.kill_weftd()
            town.allow(h2, ONE)
            until("the third host knows", lambda: town.has_rule(h3, ONE), SETTLES_S)
            town.wait(0.5)
        h1.start_weftd()
        until("the first host knows", lambda: town.has_rule(h1, ONE), SETTLES_S)
        until("it is in force", lambda: town.passes(town.ops2, town.srv1, ONE), SETTLES_S)
        with town.claims.while_so("learnt", near, [town.srv1], ONE, passes=True):
            town.wait(2)
        # A weftd that dies amidst a change.
        for turn in range(3):
            words = ("group", "rule", "rm" if turn % 2 == 0 else "add", "srv", town.rule(ONE))
            child = town.begin_command(h1, *words)
            time.sleep(chance.uniform(0, 0.6))
            assert h1.kill_weftd()
            child.wait(60 * PATIENCE)
            h1.start_weftd()
        if town.has_rule(h1, ONE):
            town.forbid(h1, ONE)
        with town.claims.while_so("forbidden at last", clients, [town.srv1], ONE, passes=False):
            town.wait(0.5)
        # Members, and ways.
        town.done(h2, "port", "set", town.ops2.ports[0].id, "--group", "none")
    until("no member any more", lambda: not town.passes(town.ops2, town.srv1, HELD), SETTLES_S)
    with town.claims.while_so("no member", [town.ops2], [town.srv1], HELD, passes=False):
        town.wait(0.5)
    town.done(h2, "port", "set", town.ops2.ports[0].id, "--group", "ops")
    town.done(h3, "router", "disconnect", "mid", "beyond")
    with town.claims.while_so("no way", [town.rover], town.servers, HELD, passes=False):
        assert h3.kill_weftd()
        town.wait(0.5)
    h3.start_weftd()
    town.done(h3, "router", "connect", "mid", "beyond")
    until("the way is back", lambda: town.passes(town.rover, town.srv1, HELD), SETTLES_S)
    until("a member again", lambda: town.passes(town.ops2, town.srv1, HELD), SETTLES_S)
    finish(town, cut=(town.ops2, town.rover))


def test_a_host_that_is_cut_off_applies_what_it_knows_and_converges(town: Town) -> None:
    h1, h2, h3 = town.hosts
    town.allow(h1, ONE)
    for host in (h2, h3):
        until(f"{host.name} knows", lambda host=host: town.has_rule(host, ONE), SETTLES_S)  # type: ignore[misc]
    local = [town.ops3]
    until("it is in force", lambda: town.passes(town.ops3, town.srv3, ONE), SETTLES_S)
    town.load.begin((town.ops2, town.ops3, town.rover))
    stays = town.claims.while_so("here and there", local, [town.srv3], HELD, passes=True)
    with (
        stays,
        town.claims.while_so("what it knows", local, [town.srv3], ONE, passes=True),
        town.claims.while_so("on this side", [town.ops2], [town.srv1], HELD, passes=True),
    ):
        faults.cut(town.lab, h3.name)
        until("it is lost", town.cluster.is_lost(h1, h3), SETTLES_S)
        town.forbid(h2, ONE)
        until("the first host knows", lambda: not town.has_rule(h1, ONE), SETTLES_S)
        until("it is in force", lambda: not town.passes(town.ops2, town.srv1, ONE), SETTLES_S)
        town.allow(h3, OTHER)
        with (
            town.claims.while_so("forbidden", [town.ops2], [town.srv1], ONE, passes=False),
            town.claims.while_so("not known", [town.ops2], [town.srv1], OTHER, passes=False),
            town.claims.while_so("its own change", local, [town.srv3], OTHER, passes=True),
        ):
            assert h3.kill_weftd()
            town.wait(1)
            h3.start_weftd()
            town.wait(1)
    faults.heal(town.lab, h3.name)
    until("the first host learns", lambda: town.has_rule(h1, OTHER), SETTLES_S)
    until("the third host learns", lambda: not town.has_rule(h3, ONE), SETTLES_S)
    until("that is in force", lambda: town.passes(town.ops2, town.srv1, OTHER), SETTLES_S)
    until("that is, too", lambda: not town.passes(town.ops3, town.srv3, ONE), SETTLES_S)
    until("they reach each other", lambda: town.passes(town.ops3, town.srv1, HELD), SETTLES_S)
    clients = (town.ops2, town.ops3)
    with (
        town.claims.while_so("in all versions", clients, town.servers, HELD, passes=True),
        town.claims.while_so("the other's change", clients, town.servers, OTHER, passes=True),
        town.claims.while_so("the first's change", clients, town.servers, ONE, passes=False),
    ):
        town.wait(2)
    until("all connections go on", lambda: town.passes(town.rover, town.srv1, HELD), SETTLES_S)
    finish(town, cut=(town.ops2, town.ops3, town.rover))
