"""``weft flows`` of all hosts: what two have seen of one connection is one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.cluster import Cluster, api, has
from tests.system.followed_flows import followed
from tests.system.tcp import Connection, call, serve
from tests.system.workload import Workload, add_network, until

pytestmark = pytest.mark.root


@pytest.fixture
def ends(joined: Cluster) -> Iterator[tuple[Workload, Workload]]:
    """Members of app on two hosts: they may talk on port 80, and port 81 is rejected."""
    one, two = joined.hosts[:2]
    network = add_network(api(one), "flowing", ["10.3.0.0/24", "fd00:3::/64"])
    joined.done(one, "group", "create", "app")
    joined.done(one, "group", "rule", "add", "app", "allow ingress tcp 80")
    joined.done(one, "group", "rule", "add", "app", "reject ingress tcp 81")
    until("the other host has the network", has(two, "flowing"))
    until("it knows the group", lambda: "app" in joined.weft(two, "group", "ls").out)
    made: list[Workload] = []
    try:
        for host, name in ((one, "fserver"), (two, "fclient")):
            made.append(Workload(host, api(host), name))
            made[-1].attach(network, groups=("app",))
        server, client = made
        serve(server, 80, 81)
        until("they reach each other", lambda: call(client, server.address4, 80) == "answered")
        yield server, client
    finally:
        for workload in made:
            workload.remove()
        joined.weft(one, "group", "rm", "app")
        joined.weft(one, "network", "rm", "flowing")


def flows(joined: Cluster, *options: str) -> list[dict[str, Any]]:
    """As the third host tells, which has seen none of it."""
    answer = json.loads(joined.done(joined.hosts[2], "flows", "--json", *options))
    assert answer["unanswered"] == []
    found: list[dict[str, Any]] = answer["flows"]
    return found


def test_a_connection_between_hosts_is_one_line(
    ends: tuple[Workload, Workload], joined: Cluster
) -> None:
    server, client = ends
    connection = Connection(client, server.address6, 80)
    assert connection.use() == "answered"
    port = client.ports[0].id
    assert flows(joined, "--port", port) == []
    found = [
        flow
        for flow in flows(joined, "--all", "--port", port)
        if flow["destination"]["address"] == server.address6
    ]
    (flow,) = found
    assert flow["hosts"] == sorted(host.name for host in joined.hosts[:2])
    assert flow["source"]["host"] == joined.hosts[1].name
    assert flow["destination"]["host"] == joined.hosts[0].name
    assert flow["ingress_rule"]["text"] == "allow ingress tcp 80 from any"
    assert flow["state"] == "established"
    (there,) = (
        flow
        for flow in flows(joined, "--host", joined.hosts[0].name, "--port", port)
        if flow["destination"]["address"] == server.address6
    )
    assert there["hosts"] == [joined.hosts[0].name]


def test_what_is_rejected_elsewhere_is_refused_and_shown(
    ends: tuple[Workload, Workload], joined: Cluster
) -> None:
    server, client = ends
    for address in (server.address4, server.address6):
        assert call(client, address, 81) == "refused"
    denied = flows(joined, "--all", "--verdict", "denied", "--port", client.ports[0].id)
    assert {flow["destination"]["address"] for flow in denied} == {
        server.address4,
        server.address6,
    }
    for flow in denied:
        assert flow["denied_by"] == "ingress"
        assert flow["ingress_rule"]["text"] == "reject ingress tcp 81 from any"


def test_who_follows_all_hosts_is_told_of_each_connection_once(
    ends: tuple[Workload, Workload], joined: Cluster
) -> None:
    """By the third host, which has seen none of it."""
    server, client = ends
    port = client.ports[0].id
    with followed(joined.hosts[2], "--all", "--port", port) as lines:

        def told(event: str) -> list[dict[str, Any]]:
            flows = [line["flow"] for line in list(lines) if line["event"] == event]
            return [flow for flow in flows if flow["destination"]["address"] == server.address6]

        until(
            "it is told of one that began, which was made after it began to follow",
            lambda: call(client, server.address6, 80) == "answered" and bool(told("began")),
        )
        assert call(client, server.address6, 81) == "refused"
        until("it is told of what was denied", lambda: bool(told("denied")))
        assert told("denied")[0]["ingress_rule"]["text"] == "reject ingress tcp 81 from any"
        until("it is told that one ended", lambda: bool(told("ended")), timeout_s=60)
        began = [flow["source"]["port"] for flow in told("began") if flow["verdict"] == "allowed"]
        assert len(began) == len(set(began))
