"""Three hosts become one cluster, and go on as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.cluster import Cluster, api, has, networks, ports_of, reasons
from tests.system.pings import Pings
from tests.system.workload import Workload, add_network, until
from weft.cluster import token as tokens
from weft.errors import UnavailableError

pytestmark = pytest.mark.root
OTHER_TOKEN = tokens.encode(bytes(range(32)))


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
    pings = Pings(one.start, [two.address4])
    h2.kill_weftd()
    database = h2.layout.state / "weft/weft.db"
    database.write_bytes(b"no database at all" * 500)
    Path(f"{database}-wal").unlink(missing_ok=True)
    h2.start_weftd()
    until("h2 has the network again", has(h2, "foo"))
    cluster.wait_connected()
    until("h2 has its port again", lambda: bool(ports_of(h2, before.id if before else "")))
    pings.end_whole()
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
