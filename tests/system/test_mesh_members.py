"""Hosts that leave, are removed, copied, called alike or moved."""

from __future__ import annotations

import shutil

import pytest

from tests.system.cluster import Cluster, has, networks, ports_of, reasons
from tests.system.workload import until

pytestmark = pytest.mark.root


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
