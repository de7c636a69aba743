"""What only one host knows, asked of it on another: counters and drops of its ports."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.lines import lines_of
from tests.system.cluster import Cluster, api, has
from tests.system.shared_lab import SharedLab
from tests.system.workload import Workload, add_network, until
from weft.api.schema import CountersList, PortDetail
from weft.lab import faults
from weft.lab.host import LabHost

pytestmark = pytest.mark.root


@pytest.fixture
def workloads(joined: Cluster) -> Iterator[list[Workload]]:
    """One on each host, all on the network foo."""
    network = add_network(api(joined.hosts[0]), "foo", ["10.1.0.0/24"])
    made: list[Workload] = []
    try:
        for host in joined.hosts:
            until(f"{host.name} has the network", has(host, "foo"))
            made.append(Workload(host, api(host), "w"))
            made[-1].attach(network, names=(f"w-{host.name}",))
        for one in made[1:]:
            until("they reach each other", lambda one=one: made[0].reaches(one.address4))  # type: ignore[misc]
        for host in joined.hosts:
            until(f"{host.name} knows all ports", lambda host=host: len(told(host)) == 3)  # type: ignore[misc]
        yield made
    finally:
        for workload in made:
            workload.remove()
        joined.weft(joined.hosts[0], "network", "rm", "foo")


def counters(host: LabHost) -> CountersList:
    return api(host).get(CountersList, "counters", query={"all": "true"})


def told(host: LabHost) -> dict[str, int]:
    """Packets that the workload of each host has received, as a host is told."""
    return {one.host: one.rx_packets for one in counters(host).counters}


def detail(host: LabHost, workload: Workload) -> PortDetail:
    return api(host).get(PortDetail, "ports", workload.ports[0].id, "detail")


def test_every_host_shows_the_counters_of_all_hosts(
    joined: Cluster, workloads: list[Workload]
) -> None:
    one, two, _ = workloads
    before = {host.name: told(host) for host in joined.hosts}
    one.run("ping", "-c", "5", "-i", "0.2", two.address4)
    for host in joined.hosts:
        now = told(host)
        assert now["h2"] >= before[host.name]["h2"] + 5
        assert counters(host).unanswered == ()
    lines = joined.done(joined.hosts[2], "status", "ports", "--all").splitlines()
    assert {tuple(line.split()[:3]) for line in lines[1:]} >= {
        (f"w-{name}", name, "foo") for name in ("h1", "h2", "h3")
    }


def test_what_a_host_has_dropped_of_a_port_is_told_on_another(
    joined: Cluster, workloads: list[Workload]
) -> None:
    h1, _, _ = joined.hosts
    one, two, _ = workloads
    two.run("ip", "address", "add", "10.1.0.200/24", "dev", "eth0")
    two.try_run("ping", "-c", "3", "-i", "0.2", "-W", "1", "-I", "10.1.0.200", one.address4)
    assert joined.weft(h1, "why", "w-h2").code == 0
    until(
        "h1 is told of the drops",
        lambda: "packets that it sent from addresses" in joined.done(h1, "why", "w-h2"),
    )
    text = joined.done(h1, "port", "inspect", "w-h2")
    assert "spoofed" in text and "host h2" in " ".join(text.split())


def test_a_host_that_hangs_is_named_and_holds_up_none(
    joined: Cluster, workloads: list[Workload]
) -> None:
    h1, h2, h3 = joined.hosts
    weftd = h2.weftd
    assert weftd is not None
    os.kill(weftd.pid, signal.SIGSTOP)
    try:
        answer = counters(h1)
        assert {one.host for one in answer.counters} == {"h1", "h3"}
        assert [one.host for one in answer.unanswered] == ["h2"]
        assert answer.unanswered[0].reason
        assert "not told by host h2" in joined.done(h3, "status", "ports", "--all")
        silent = detail(h1, workloads[1])
        assert silent.counters is None and silent.unanswered is not None
        assert detail(h1, workloads[2]).counters is not None
    finally:
        os.kill(weftd.pid, signal.SIGCONT)
    until("h2 is asked again", lambda: not counters(h1).unanswered)


def test_hosts_without_a_link_ask_each_other_by_way_of_the_third(
    joined: Cluster, three_hosts: SharedLab, workloads: list[Workload]
) -> None:
    h1, _, h3 = joined.hosts
    faults.cut(three_hosts.lab, "h1", "h3")
    try:

        def is_indirect() -> bool:
            seen = joined.seen(h1, h3), joined.seen(h3, h1)
            return all(one is not None and one.state == "indirect" for one in seen)

        until("the link is gone", is_indirect, timeout_s=30)
        for host, workload in ((h1, workloads[2]), (h3, workloads[0])):
            found = detail(host, workload)
            assert found.unanswered is None
            assert found.counters is not None and found.counters.rx_packets > 0
        assert set(told(h1)) == {"h1", "h2", "h3"}
    finally:
        faults.heal(three_hosts.lab, "h1", "h3")
    joined.wait_connected()


def test_whoever_follows_the_records_hears_of_what_another_host_does(joined: Cluster) -> None:
    h1, h2, _ = joined.hosts
    with lines_of(h1.api_socket, "/v1/watch?kind=network") as watcher:
        while watcher.line()["event"] != "all":
            continue
        joined.done(h2, "network", "create", "bar", "--subnet", "10.2.0.0/24")
        made = watcher.line()
        assert (made["event"], made["record"]["name"]) == ("put", "bar")
        joined.done(h2, "network", "rm", "bar")
        while (gone := watcher.line())["event"] != "removed":
            assert gone["id"] == made["id"]
        assert gone["id"] == made["id"]
