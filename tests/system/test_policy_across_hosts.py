"""Security groups between workloads on several hosts: each host judges its own ports, by what the
records of all say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.cluster import Cluster, api, has
from tests.system.tcp import Connection, call, serve
from tests.system.workload import Workload, add_network, until

pytestmark = pytest.mark.root


@pytest.fixture
def ends(joined: Cluster) -> Iterator[tuple[Workload, Workload, Workload]]:
    """A member of web, which denies what comes, on the first host; one of ops and a stranger on the
    second."""
    one, two = joined.hosts[:2]
    network = add_network(api(one), "foo", ["10.1.0.0/24", "fd00:1::/64"])
    for name in ("ops", "web"):
        joined.done(one, "group", "create", name)
    joined.done(one, "group", "default", "deny", "--ingress", "--group", "web")
    until("the other host has the network", has(two, "foo"))
    until("it knows the groups", lambda: "web" in joined.weft(two, "group", "ls").out)
    made: list[Workload] = []
    try:
        for host, name, groups in (
            (one, "web", ("web",)),
            (two, "ops", ("ops",)),
            (two, "any", ()),
        ):
            made.append(Workload(host, api(host), name))
            made[-1].attach(network, groups=groups)
        web, ops, stranger = made
        serve(web, 80)
        serve(ops, 80)
        until("they reach each other", lambda: call(web, ops.address4, 80) == "answered")
        yield web, ops, stranger
    finally:
        for workload in made:
            workload.remove()
        for name in ("web", "ops"):
            joined.weft(one, "group", "rm", name)
        joined.weft(one, "network", "rm", "foo")


def test_rules_hold_for_who_comes_from_another_host(
    ends: tuple[Workload, Workload, Workload], joined: Cluster
) -> None:
    web, ops, stranger = ends
    other = joined.hosts[1]
    addresses = web.address4, web.address6
    for address in addresses:
        assert (call(ops, address, 80), call(stranger, address, 80)) == ("silent", "silent")
    rule = "allow ingress tcp 80 from group:ops"
    joined.done(other, "group", "rule", "add", "web", rule)
    until("the rule is known there", lambda: call(ops, web.address4, 80) == "answered")
    assert call(ops, web.address6, 80) == "answered"
    for address in addresses:
        assert call(stranger, address, 80) == "silent"
    connection = Connection(ops, web.address4, 80)
    joined.done(other, "port", "set", stranger.ports[0].id, "--group", "ops")
    until("it is known to be a member", lambda: call(stranger, web.address4, 80) == "answered")
    joined.done(other, "port", "set", stranger.ports[0].id, "--group", "none")
    until("it is known to be none", lambda: call(stranger, web.address4, 80) == "silent")
    assert connection.use() == "answered"
    joined.done(other, "group", "rule", "rm", "web", rule)
    until("the connection has ended", lambda: connection.use() == "silent")


def test_egress_is_judged_where_it_begins(
    ends: tuple[Workload, Workload, Workload], joined: Cluster
) -> None:
    web, ops, stranger = ends
    rule = "drop egress tcp 80 to group:ops"
    joined.done(joined.hosts[1], "group", "rule", "add", "web", rule)
    until("the rule is known there", lambda: call(web, ops.address4, 80) == "silent")
    assert call(web, ops.address6, 80) == "silent"
    assert web.drops("policy")
    assert call(stranger, ops.address4, 80) == "answered"
    joined.done(joined.hosts[1], "group", "rule", "rm", "web", rule)
    until("it is known to be gone", lambda: call(web, ops.address4, 80) == "answered")
