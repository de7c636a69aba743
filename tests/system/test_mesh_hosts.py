"""Three hosts become one cluster, and what can happen to its members."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.system.workload import Workload, add_network, ping_counts, until
from weft.api.client import Client
from weft.api.schema import HostInfo, HostList, NetworkList, PortList, ProblemList
from weft.cluster import token as tokens
from weft.errors import UnavailableError
from weft.lab.host import LabHost, weft_command
from weft.lab.lab import Lab

pytestmark = pytest.mark.root

SETTINGS = {"docker": False, "reconcile_s": 2.0, "rest_s": 0.2}
OTHER_TOKEN = tokens.encode(bytes(range(32)))


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Cluster:
    """The hosts of the lab, as members."""

    def __init__(self, hosts: list[LabHost]) -> None:
        self.hosts = hosts
        self.join: list[str] = []
        """Words of the line that the first host printed."""

    def weft(self, host: LabHost, *words: str, text: str = "", **environment: str) -> Ran:
        """Run a command on a host, whatever comes of it."""
        done = subprocess.run(
            [*host.enter, *weft_command(), *words],
            input=text,
            capture_output=True,
            text=True,
            env=host.environment | environment,
            timeout=90,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def done(self, host: LabHost, *words: str) -> str:
        """Run a command that works."""
        ran = self.weft(host, *words)
        assert ran.code == 0, (words, ran)
        return ran.out

    def begin(self) -> None:
        """The first host alone, the others without weftd."""
        for host in self.hosts:
            self.weft(host, "down", "--purge")
        lines = self.done(self.hosts[0], "up").splitlines()
        line = next(line for line in lines if "--join" in line)
        self.join = shlex.split(line)[1:]

    def gather(self) -> None:
        """All of them, by the line."""
        self.begin()
        for host in self.hosts[1:]:
            self.done(host, *self.join)
        self.wait_connected()

    def wait_connected(self) -> None:
        """Everybody is linked to everybody."""
        for host in self.hosts:
            until(f"{host.name} is linked to all", self.is_linked_to_all(host))

    def is_linked_to_all(self, host: LabHost) -> Callable[[], bool]:
        linked = ["connected"] * (len(self.hosts) - 1)
        return lambda: [one.state for one in self.others(host)] == linked

    def is_linked(self, host: LabHost) -> Callable[[], bool]:
        return lambda: any(one.state == "connected" for one in self.others(host))

    def is_lost(self, host: LabHost, other: LabHost) -> Callable[[], bool]:
        def is_so() -> bool:
            found = self.seen(host, other)
            return found is not None and found.state == "lost"

        return is_so

    def knows_no_more(self, host: LabHost, other: LabHost) -> Callable[[], bool]:
        return lambda: self.seen(host, other) is None

    def knows_address(self, host: LabHost, other: LabHost, address: str) -> Callable[[], bool]:
        def is_so() -> bool:
            found = self.seen(host, other)
            return found is not None and address in found.underlay

        return is_so

    def has_other_token(self, host: LabHost, old: str) -> Callable[[], bool]:
        return lambda: self.done(host, "token", "show").strip() != old

    def others(self, host: LabHost) -> list[HostInfo]:
        return [one for one in self.list(host).hosts if not one.is_local]

    def list(self, host: LabHost) -> HostList:
        return api(host).get(HostList, "hosts")

    def seen(self, host: LabHost, other: LabHost) -> HostInfo | None:
        """One host as another shows it."""
        found = [one for one in self.list(host).hosts if one.name == other.name]
        return found[0] if found else None


def api(host: LabHost) -> Client:
    return Client(host.api_socket, timeout_s=20)


def networks(host: LabHost) -> set[str]:
    return {one.name for one in api(host).get(NetworkList, "networks").networks}


def reasons(host: LabHost) -> str:
    problems = api(host).get(ProblemList, "problems").problems
    return "\n".join(f"{one.name}: {one.reason} {one.fix}" for one in problems)


def has(host: LabHost, *names: str) -> Callable[[], bool]:
    return lambda: networks(host) == set(names)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab(f"mesh-{os.getpid()}")
    try:
        made.up(3, settings=SETTINGS, has_weftd=False)
        yield made
    finally:
        made.down()


@pytest.fixture
def fresh(lab: Lab) -> Iterator[Cluster]:
    """A first host, and two that never ran weftd."""
    cluster = Cluster(lab.hosts())
    cluster.begin()
    yield cluster


@pytest.fixture
def cluster(lab: Lab) -> Iterator[Cluster]:
    """Three hosts that are one cluster."""
    cluster = Cluster(lab.hosts())
    cluster.gather()
    yield cluster


def test_hosts_join_by_the_printed_line_and_see_each_others_networks(fresh: Cluster) -> None:
    h1, h2, h3 = fresh.hosts
    fresh.done(h1, "network", "create", "foo", "--subnet", "10.1.0.0/24")
    fresh.done(h3, "up")
    fresh.done(h3, "network", "create", "bar", "--subnet", "10.2.0.0/24")
    assert fresh.join[:2] == ["up", "--join"]
    joined = fresh.weft(h2, *fresh.join)
    assert joined.code == 0
    assert "Joined the cluster: 2 hosts" in joined.err
    until("h2 has the network", has(h2, "foo"))
    # One that ran alone brings its own along.
    fresh.done(h3, *fresh.join)
    for host in fresh.hosts:
        until(f"{host.name} has both", has(host, "foo", "bar"))
    fresh.done(h2, "network", "rm", "foo")
    for host in fresh.hosts:
        until(f"{host.name} has it no more", has(host, "bar"))
    shown = fresh.seen(h1, h2)
    assert shown is not None
    assert shown.path == "direct"
    until("a round trip is known", lambda: fresh.others(h1)[0].rtt_s is not None)
    text = fresh.done(h1, "status", "hosts")
    assert max(len(line) for line in text.splitlines()) <= 80
    assert fresh.done(h1, "why", "h2").startswith("h2: reached\n")


def test_the_token_comes_from_a_file_standard_input_or_the_environment(fresh: Cluster) -> None:
    h1, h2, h3 = fresh.hosts
    *join, token = fresh.join
    assert join[-1] == "--token"
    file = h3.layout.state / "token"
    file.write_text(f"{token}\n")
    assert fresh.weft(h2, *join, "-", text=f"{token}\n").code == 0
    assert fresh.weft(h3, *join[:-1], "--token-file", str(file)).code == 0
    file.unlink()
    fresh.wait_connected()
    fresh.weft(h3, "leave")
    assert fresh.weft(h3, *join[:-1], WEFT_JOIN_TOKEN=token).code == 0
    for host in fresh.hosts:
        assert host.weftd is not None
        process = Path(f"/proc/{host.weftd.pid}")
        assert token.encode() not in process.joinpath("environ").read_bytes()
        assert token.encode() not in process.joinpath("cmdline").read_bytes()
        assert token not in host.weftd_log.read_text()
        secret = host.layout.state / "weft/cluster/secret.json"
        assert secret.stat().st_mode & 0o077 == 0
        assert secret.parent.stat().st_mode & 0o077 == 0
        assert token not in fresh.done(host, "status", "--json")
    assert fresh.done(h1, "token", "show").strip() == token


def test_a_wrong_token_is_refused_with_what_to_do(fresh: Cluster) -> None:
    h1, h2, _ = fresh.hosts
    address = fresh.join[2]
    missing = fresh.weft(h2, "up", "--join", address)
    assert missing.code == 1
    assert "the cluster's token is needed" in missing.err
    assert h2.weftd is None
    slip = fresh.weft(h2, "up", "--join", address, "--token", OTHER_TOKEN[:-1] + "q")
    assert slip.code == 1
    assert "checksum" in slip.err
    assert OTHER_TOKEN[5:30] not in slip.err
    wrong = fresh.weft(h2, "up", "--join", address, "--token", OTHER_TOKEN)
    assert wrong.code == 1
    assert "weft token show" in wrong.err
    assert h2.weftd is not None
    until("h1 says who was refused", lambda: bool(fresh.list(h1).attempts))
    assert len(fresh.list(h1).hosts) == 1
    # With the right one it joins; nothing else is needed.
    fresh.done(h2, *fresh.join)
    until("h1 has two hosts", lambda: len(fresh.list(h1).hosts) == 2)


def test_a_member_is_not_taken_to_another_cluster_without_leaving(cluster: Cluster) -> None:
    h1, h2, _ = cluster.hosts
    moved = cluster.weft(h2, "up", "--join", "192.0.2.1", "--token", OTHER_TOKEN)
    assert moved.code == 1
    assert "weft leave" in moved.err
    cluster.wait_connected()
    assert cluster.seen(h1, h2) is not None


def test_a_killed_weftd_finds_the_others_again_and_what_they_did(cluster: Cluster) -> None:
    h1, h2, h3 = cluster.hosts
    h2.kill_weftd()
    until("h1 has noticed", cluster.is_lost(h1, h2))
    cluster.done(h1, "network", "create", "foo")
    h2.start_weftd()
    until("h2 has the network", has(h2, "foo"))
    for host in cluster.hosts:
        host.kill_weftd()
    for host in cluster.hosts:
        host.start_weftd()
    cluster.wait_connected()
    assert networks(h3) == {"foo"}


@pytest.fixture
def workloads(cluster: Cluster) -> Iterator[list[Workload]]:
    """One on each host, all on the network foo."""
    network = add_network(api(cluster.hosts[0]), "foo", ["10.1.0.0/24"])
    made: list[Workload] = []
    try:
        for host in cluster.hosts:
            until(f"{host.name} has the network", has(host, "foo"))
            made.append(Workload(host, api(host), "w"))
            made[-1].attach(network)
        yield made
    finally:
        for workload in made:
            workload.remove()


def test_a_database_that_is_broken_is_filled_again_by_the_others_and_no_packet_lost(
    cluster: Cluster, workloads: list[Workload]
) -> None:
    h1, h2, _ = cluster.hosts
    one, two, _ = workloads
    until("they reach each other", lambda: one.reaches(two.address4))
    before = cluster.seen(h1, h2)
    ping = one.start("ping", "-n", "-q", "-i", "0.02", two.address4)
    h2.kill_weftd()
    database = h2.layout.state / "weft/weft.db"
    database.write_bytes(b"no database at all" * 500)
    Path(f"{database}-wal").unlink(missing_ok=True)
    h2.start_weftd()
    until("h2 has the network again", has(h2, "foo"))
    cluster.wait_connected()
    until("h2 has its port again", lambda: bool(ports_of(h2, before.id if before else "")))
    ping.send_signal(signal.SIGINT)
    sent, answered = ping_counts(ping.communicate(timeout=10)[0])
    assert sent >= 20
    assert answered == sent
    after = cluster.seen(h1, h2)
    assert before is not None
    assert after is not None
    assert after.id == before.id
    assert "set aside" in reasons(h2)


def test_a_new_token_replaces_the_old_one_on_all_hosts(cluster: Cluster) -> None:
    h1, h2, h3 = cluster.hosts
    old = cluster.join[-1]
    cluster.done(h2, "token", "rotate")
    for host in cluster.hosts:
        until(f"{host.name} has it", cluster.has_other_token(host, old))
    assert len({cluster.done(host, "token", "show") for host in cluster.hosts}) == 1
    until(
        "the old one is refused",
        lambda: '"is_rotating":false' in api(h1).request("GET", ("token",)).decode(),
    )
    cluster.wait_connected()
    cluster.done(h3, "leave")
    late = cluster.weft(h3, *cluster.join)
    assert late.code == 1
    assert "rotated" in late.err
    new = cluster.done(h1, "token", "show").strip()
    cluster.done(h3, *cluster.join[:-1], new)
    cluster.wait_connected()


def test_a_host_that_leaves_is_gone_everywhere_and_begins_afresh(cluster: Cluster) -> None:
    h1, h2, h3 = cluster.hosts
    cluster.done(h1, "network", "create", "foo")
    until("h3 has the network", has(h3, "foo"))
    h3.run(["ip", "netns", "add", "web"])
    try:
        cluster.done(h3, "attach", "/run/netns/web", "foo")
        h3_id = next(one.id for one in cluster.list(h3).hosts if one.is_local)
        until("h1 knows the port", lambda: bool(ports_of(h1, h3_id)))
        assert "has left its cluster" in cluster.done(h3, "leave")
        for host in (h1, h2):
            until(f"{host.name} knows h3 no more", cluster.knows_no_more(host, h3))
            assert not ports_of(host, h3_id)
        assert h3.weftd is None
        assert not (h3.layout.state / "weft/weft.db").exists()
        assert "weft" not in h3.run(["ip", "-o", "link"])
    finally:
        h3.run(["ip", "netns", "del", "web"])
    assert "--join" in cluster.done(h3, "up")
    assert len(cluster.list(h3).hosts) == 1
    assert networks(h3) == set()
    cluster.done(h3, *cluster.join)
    cluster.wait_connected()


def ports_of(host: LabHost, host_id: str) -> list[str]:
    found = api(host).get(PortList, "ports").ports
    return [one.id for one in found if one.host_id == host_id]


def test_who_nobody_hears_leaves_only_by_force(cluster: Cluster) -> None:
    h1, h2, h3 = cluster.hosts
    for host in (h1, h2):
        host.kill_weftd()
    until("h3 is alone", lambda: {one.state for one in cluster.others(h3)} == {"lost"})
    refused = cluster.weft(h3, "leave")
    assert refused.code == 1
    assert "--force" in refused.err
    assert "weft forget h3" in cluster.done(h3, "leave", "--force")
    h1.start_weftd()
    assert cluster.weft(h1, "forget", "h2").code == 0
    assert cluster.weft(h1, "forget", "h3").code == 0
    assert [one.name for one in cluster.list(h1).hosts] == ["h1"]


def test_a_forgotten_host_that_returns_is_refused_and_says_so_itself(cluster: Cluster) -> None:
    h1, h2, h3 = cluster.hosts
    alive = cluster.weft(h1, "forget", "h3")
    assert alive.code == 1
    assert "weft leave" in alive.err
    h3.kill_weftd()
    until("h3 is lost", cluster.is_lost(h1, h3))
    until("h3 can be forgotten", lambda: cluster.weft(h1, "forget", "h3").code == 0)
    for host in (h1, h2):
        until(f"{host.name} knows h3 no more", cluster.knows_no_more(host, h3))
    h3.start_weftd()
    until("h3 knows", lambda: cluster.list(h3).is_removed)
    assert "weft leave" in reasons(h3)
    assert "removed from its cluster" in cluster.done(h3, "status")
    until("h1 says who was refused", lambda: "was removed" in cluster.done(h1, "status", "hosts"))
    assert cluster.seen(h1, h3) is None
    cluster.done(h3, "leave")
    cluster.done(h3, *cluster.join)
    cluster.wait_connected()


def test_a_clone_is_refused_and_both_show_it(cluster: Cluster) -> None:
    h1, h2, h3 = cluster.hosts
    cluster.done(h3, "leave")
    until("h1 knows h3 no more", cluster.knows_no_more(h1, h3))
    original, copy = h2.layout.state / "weft", h3.layout.state / "weft"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("log"))
    cluster.done(h3, "up")
    until("the copy knows", lambda: "two live machines" in reasons(h3))
    until("h1 shows it", lambda: "two live machines" in cluster.done(h1, "status", "hosts"))
    shown = cluster.seen(h1, h2)
    assert shown is not None
    assert shown.state == "connected"
    cluster.weft(h3, "down", "--purge")
    cluster.done(h3, *cluster.join)
    cluster.wait_connected()


def test_two_hosts_of_one_name_are_told_apart_by_their_ids(cluster: Cluster) -> None:
    h1, _, h3 = cluster.hosts
    cluster.done(h3, "down")
    cluster.done(h3, "up", "--name", "h2")
    until("h1 shows it", lambda: "2 hosts are called so" in reasons(h1))
    assert "give one of the ids" in cluster.weft(h1, "why", "h2").err
    cluster.done(h3, "down")
    cluster.done(h3, "up")
    until("it is over", lambda: "2 hosts" not in reasons(h1))


def test_a_host_that_gets_another_address_is_found_there(cluster: Cluster) -> None:
    h1, h2, h3 = cluster.hosts
    layout = h3.layout
    other = str(layout.address4).rpartition(".")[0] + ".77"
    h3.run(["ip", "address", "add", f"{other}/24", "dev", "eth0"])
    try:
        for host in (h1, h2):
            until(f"{host.name} knows the address", cluster.knows_address(host, h3, other))
        cluster.wait_connected()
    finally:
        h3.run(["ip", "address", "del", f"{other}/24", "dev", "eth0"])
    until("it is known no more", lambda: not cluster.knows_address(h1, h3, other)())


def test_a_host_that_knows_nobody_keeps_trying(fresh: Cluster) -> None:
    h1, h2, _ = fresh.hosts
    h1.kill_weftd()
    early = fresh.weft(h2, *fresh.join)
    assert early.code == 1
    assert "keeps trying" in early.err
    h1.start_weftd()
    until("they are linked", fresh.is_linked(h2))
    h2.kill_weftd()
    with pytest.raises(UnavailableError):
        fresh.list(h2)
    fresh.done(h2, "up")
    until("they are linked again", fresh.is_linked(h2))
