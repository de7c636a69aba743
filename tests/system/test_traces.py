"""`weft trace` on several hosts: what programs say they would do is what they do, and it leaves
nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from tests.system.cluster import Cluster, api, has
from tests.system.encryption import KIND
from tests.system.tcp import call, serve
from tests.system.workload import Workload, add_network, until
from weft.api.schema import FlowList, NetworkList, PortDetail, TraceInfo
from weft.api.traces import SOURCE_PORT
from weft.cli.trace import trace_lines
from weft.lab.host import LabHost

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


class Place(NamedTuple):
    """Two networks that a router joins; of the second one's port a group denies what comes."""

    joined: Cluster
    web: Workload
    store: Workload
    beside: Workload
    """On the host and the network of the first one."""

    @property
    def hosts(self) -> tuple[LabHost, LabHost, LabHost]:
        one, two, three = self.joined.hosts
        return one, two, three


@pytest.fixture(scope="module")
def place(joined: Cluster) -> Iterator[Place]:
    one, two = joined.hosts[:2]
    front = add_network(api(one), "front", ["10.1.0.0/24", "fd00:1::/64"])
    back = add_network(api(one), "back", ["10.2.0.0/24", "fd00:2::/64"])
    joined.done(one, "router", "create", "r1", "--network", "front", "--network", "back")
    joined.done(one, "group", "create", "db")
    joined.done(one, "group", "default", "deny", "--ingress", "--group", "db")
    until("the other host has the networks", has(two, "front", "back"))
    made = []
    try:
        for host, name, network, groups in (
            (one, "web", front, ()),
            (two, "store", back, ("db",)),
            (one, "beside", front, ()),
        ):
            made.append(Workload(host, api(host), name))
            made[-1].attach(network, names=(name,), groups=groups)
        web, store, beside = made
        serve(store, 80)
        yield Place(joined, web, store, beside)
    finally:
        for workload in made:
            workload.remove()
        joined.weft(one, "router", "disconnect", "r1", "front")
        joined.weft(one, "router", "disconnect", "r1", "back")
        joined.weft(one, "router", "rm", "r1")
        joined.weft(one, "group", "rm", "db")
        for name in ("front", "back"):
            joined.weft(one, "network", "rm", name)


def trace(host: LabHost, source: str, destination: str, **query: str) -> TraceInfo:
    query |= {"source": source, "destination": destination}
    return api(host).get(TraceInfo, "trace", query=query)


def shown(answer: TraceInfo) -> str:
    return "\n".join(trace_lines(answer))


def counted(place: Place, workload: Workload) -> object:
    """What the host of a workload says of it, and of connections."""
    host = place.hosts[workload is place.store]
    id = workload.ports[0].id
    detail = api(host).get(PortDetail, "ports", id, "detail")
    assert detail.counters is not None
    flows = api(host).get(FlowList, "flows", query={"port": id, "since_s": "600"}).flows
    traced = [flow for flow in flows if SOURCE_PORT in (flow.source.port, flow.destination.port)]
    return detail.counters.drops.get("policy"), traced


def test_a_trace_says_what_a_packet_meets(place: Place) -> None:
    joined, web, store = place.joined, place.web, place.store
    before = counted(place, store)
    for host in place.hosts:
        for family in ("4", "6"):
            denied = trace(host, "web", "store", protocol="tcp", port="80", family=family)
            assert [leg.host for leg in denied.legs] == ["h1", "h2"]
            assert (denied.verdict, denied.legs[1].reason) == ("dropped", "policy")
            assert denied.obstacle == "the packet is dropped on host h2 (policy)"
            assert denied.fix.startswith("if it shall pass: weft group rule add db allow ingress")
            text = shown(denied)
            assert "group db denies ingress, and no rule allows it" in text
            assert "r1: " in text and "is network back, to which it is connected" in text
            assert all(len(line) <= 80 for line in text.splitlines() if "->" not in line), text
    assert counted(place, store) == before, "a trace has been counted, or remembered"
    assert call(web, store.address4, 80) == "silent"
    joined.done(place.hosts[0], *denied_fix(denied))
    until("it is let in by IPv6", lambda: call(web, store.address6, 80) == "answered")
    rule = "allow ingress tcp 80 from 10.1.0.0/24"
    joined.done(place.hosts[0], "group", "rule", "add", "db", rule)
    until("it is let in", lambda: call(web, store.address4, 80) == "answered")
    for host in place.hosts:
        for family in ("4", "6"):
            allowed = trace(host, "web", "store", protocol="tcp", port="80", family=family)
            assert (allowed.verdict, allowed.answer, allowed.is_through) == (
                "delivered",
                "delivered",
                True,
            ), shown(allowed)
            ways = [(leg.host, leg.is_answer) for leg in allowed.legs]
            assert ways == [("h1", False), ("h2", False), ("h2", True), ("h1", True)]
            kinds = {stage.kind for leg in allowed.legs for stage in leg.stages}
            assert {"port", "host", "router", "network", "security-rule"} <= kinds
    ran = joined.weft(place.hosts[2], "why", "web", "store", "--tcp", "22")
    assert ran.code == 1 and "by the programs: the packet is dropped on host h2" in ran.out
    ran = joined.weft(place.hosts[2], "why", "web", "store", "--tcp", "80")
    assert ran.code == 0 and "ingress of store: allowed: rule" in ran.out


def denied_fix(denied: TraceInfo) -> list[str]:
    """The command that the trace gives."""
    return denied.fix.partition("weft ")[2].split()


def test_each_way_that_a_packet_may_end(place: Place) -> None:
    one = place.hosts[0]
    beside = trace(one, "web", "beside")
    assert [(leg.host, leg.end) for leg in beside.legs] == [("h1", "delivered")] * 2
    outside = trace(one, "web", "198.51.100.1", protocol="udp", port="9")
    assert (outside.verdict, outside.answer) == ("host", "delivered")
    assert "this host sends it on by eth0, from " in shown(outside)
    assert trace(one, "web", "198.51.100.1", one_way="true").answer is None
    assert trace(one, "web", "10.1.0.1").verdict == "answered"
    query = trace(one, "web", "10.1.0.1", protocol="udp", port="53")
    assert "dns" in [stage.stage for stage in query.legs[0].stages]
    nobody = trace(one, "web", "10.1.0.77")
    assert (nobody.verdict, nobody.legs[0].reason) == ("dropped", "unknown_neighbour")
    nobody = trace(one, "web", "10.2.0.77")
    assert (nobody.verdict, nobody.legs[0].reason) == ("rejected", "unknown_address")
    told = nobody.legs[0].stages[-1].decision
    assert told == "dropped: unknown address; its sender is told by ICMP 3/1 from 10.1.0.1"
    came_in = trace(one, "203.0.113.9", "store", protocol="tcp", port="23")
    assert [(leg.host, leg.end) for leg in came_in.legs] == [("h2", "dropped")]
    came_in = trace(one, "203.0.113.9", "web", protocol="tcp", port="23")
    assert [(leg.host, leg.end) for leg in came_in.legs] == [("h1", "delivered"), ("h1", "host")]


def knows(host: LabHost, network_id: str) -> Callable[[], bool]:
    return lambda: (
        network_id in {each.id for each in api(host).get(NetworkList, "networks").networks}
    )


def test_equal_addresses_of_two_tenants_are_kept_apart(place: Place) -> None:
    joined = place.joined
    one, two = place.hosts[:2]
    made: list[Workload] = []
    try:
        for tenant in ("red", "blue"):
            network = add_network(api(one), "lan", ["10.77.0.0/24"], tenant=tenant)
            until("the other host has it", knows(two, network.id))
            for host, last in ((one, 5), (two, 6)):
                made.append(Workload(host, api(host), f"{tenant}{last}"))
                made[-1].attach(
                    replace(network, name=f"{tenant}/lan"),
                    names=(f"{tenant}{last}",),
                    addresses=(ip_address(f"10.77.0.{last}"),),
                )
        for tenant in ("red", "blue"):
            found = trace(place.hosts[2], f"{tenant}5", f"{tenant}6", protocol="tcp", port="80")
            assert found.is_through, shown(found)
            assert f"from host h1, network {tenant}/lan" in shown(found)
        astray = trace(one, "red5", "blue6", protocol="tcp", port="80")
        assert not astray.is_through
        assert "goes to red6 on lan, which has 10.77.0.6 there" in astray.obstacle
    finally:
        for workload in made:
            workload.remove()
        for tenant in ("red", "blue"):
            joined.weft(one, "network", "rm", f"{tenant}/lan")


def test_of_a_host_that_is_down_it_says_how_far_it_got(place: Place) -> None:
    joined = place.joined
    one, two, three = place.hosts
    try:
        joined.done(two, "down")
        until("it is lost", joined.is_lost(one, two))
        found = trace(one, "web", "store", protocol="tcp", port="80")
        assert ([leg.host for leg in found.legs], found.verdict) == (["h1"], "unknown")
        assert found.unanswered is not None and found.unanswered.host == "h2"
        assert "what becomes of the packet on host h2 is not known" in found.obstacle
        assert not trace(three, "store", "web").legs
    finally:
        joined.done(two, "up")
        joined.wait_connected()


@pytest.mark.skipif(KIND == "none", reason="no WireGuard here")
def test_an_encrypted_way_is_traced_through(place: Place) -> None:
    one = place.hosts[0]

    def goes_by(how: str) -> Callable[[], bool]:
        def is_so() -> bool:
            found = trace(one, "store", "web", protocol="tcp", port="80")
            tunnels = [
                stage.decision
                for leg in found.legs
                for stage in leg.stages
                if stage.stage == "tunnel"
            ]
            return (
                found.is_through
                and all(each.startswith(how) for each in tunnels)
                and len(tunnels) == 2
            )

        return is_so

    until("it goes plain", goes_by("VXLAN to host"))
    place.joined.done(one, "encrypt", "on")
    try:
        until("it goes encrypted", goes_by("WireGuard to host"), 30)
        assert call(place.store, place.web.address4, 1) == "refused"
    finally:
        place.joined.done(one, "encrypt", "off")
    until("it goes plain again", goes_by("VXLAN to host"), 30)
