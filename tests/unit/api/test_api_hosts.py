"""What the API says of several hosts: whose port is where, and what they did apart."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.cluster.fake_links import link
from tests.unit.conftest import FakeCounters, Weftd
from weft.api.schema import (
    ConflictList,
    CountersList,
    ExposeRequest,
    NetworkChanges,
    NetworkInfo,
    NetworkList,
    PortDetail,
    PortInfo,
    PortList,
    PortRequest,
    ProblemList,
    StatusInfo,
    WhyInfo,
)
from weft.cluster.inquiry import Answer, UnansweredError, Why
from weft.control.answers.port_states import PortsAsked, PortState, Tally
from weft.control.notices import Notice
from weft.control.specs import AttachSpec, NetworkSpec
from weft.errors import ConflictError
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import HostId, NetworkId, PortId, SubnetId, Vni
from weft.model.records import Host, HostPrefixes, Network, Port, Subnet
from weft.model.records.tenants import tenant_id
from weft.store.interface import Put
from weft.topology.routes import Route

FAR = Host(id=HostId("f" * 16), name="far")
GONE = Host(id=HostId("e" * 16), name="gone")


def make(weftd: Weftd) -> NetworkInfo:
    return weftd.client.send(NetworkInfo, "POST", "networks", body=NetworkSpec(name="foo"))


def test_ports_of_all_hosts_are_listed_with_their_host(weftd: Weftd) -> None:
    make(weftd)
    port = weftd.client.send(
        PortInfo, "POST", "ports", body=PortRequest(network="foo", names=("web",))
    )
    record = weftd.store.get(Port, port.id)
    assert record is not None
    far = replace(record, id=PortId("e" * 16), host_id=FAR.id, names=("db",), addresses=())
    weftd.run(lambda: weftd.store.write([Put(FAR), Put(far)]))
    listed = weftd.client.get(PortList, "ports").ports
    assert {(one.names[0], one.host) for one in listed} == {("web", port.host), ("db", "far")}
    (network,) = weftd.client.get(NetworkList, "networks").networks
    assert (network.port_count, network.total_port_count) == (1, 2)


def test_conflicts_are_shown_with_what_mends_them_until_it_is_done(weftd: Weftd) -> None:
    made = make(weftd)
    other = Network(id=NetworkId("f" * 16), name="foo", vni=Vni(9999))
    weftd.run(lambda: weftd.store.write([Put(other)]))
    (conflict,) = weftd.client.get(ConflictList, "conflicts").conflicts
    assert (conflict.kind, conflict.subject) == ("name", "foo")
    assert conflict.ids == tuple(sorted((made.id, other.id)))
    assert conflict.fix == f"weft network rename {other.id} NEW-NAME"
    assert weftd.client.get(StatusInfo, "status").conflict_count == 1
    with pytest.raises(ConflictError, match="several are called so"):
        weftd.client.get(NetworkInfo, "networks", "foo")
    body = NetworkChanges(name="bar")
    renamed = weftd.client.send(NetworkInfo, "PATCH", "networks", other.id, body=body)
    assert renamed.name == "bar"
    assert weftd.client.get(ConflictList, "conflicts").conflicts == ()


def test_a_prefix_that_this_host_has_itself_is_a_problem_here_and_a_conflict_everywhere(
    weftd: Weftd,
) -> None:
    made = make(weftd)
    (subnet,) = made.subnets
    host = weftd.client.get(StatusInfo, "status").host.id
    for id, is_here in ((FAR.id, False), (host, True)):
        record = HostPrefixes(id=HostId(id), host_id=HostId(id), links=(ip_network(subnet.cidr),))
        put = Put(record)
        weftd.run(lambda put=put: weftd.store.write([put]))  # type: ignore[misc]
        problems = weftd.client.get(ProblemList, "problems").problems
        assert [one.kind for one in problems] == ["host-prefix"] * is_here
    found = weftd.client.get(ConflictList, "conflicts").conflicts
    assert sorted(one.ids for one in found) == sorted((made.id, id) for id in (FAR.id, host))


def test_a_network_whose_prefix_another_has_is_a_problem_and_has_no_way_to_the_host(
    weftd: Weftd,
) -> None:
    made = make(weftd)
    (subnet,) = made.subnets
    other = Network(id=NetworkId("0" * 16), name="old", tenant_id=tenant_id("other"), vni=Vni(9999))
    twin = Subnet(
        id=SubnetId("0" * 16),
        cidr=ip_network(subnet.cidr),
        network_id=other.id,
        tenant_id=tenant_id("other"),
    )
    weftd.run(lambda: weftd.store.write([Put(other), Put(twin)]))
    (problem,) = weftd.client.get(ProblemList, "problems").problems
    assert problem.kind == "subnet"
    assert "/old has a way out" in problem.reason
    with pytest.raises(ConflictError, match=r"overlaps that of network .*/old"):
        weftd.client.send(PortInfo, "PUT", "networks", "foo", "host", body=ExposeRequest())


def test_what_a_frontend_cannot_do_is_a_problem_until_it_can(weftd: Weftd) -> None:
    notice = Notice("network", "1" * 16, "foo", "a bridge is called foo", "remove it")
    weftd.control.notices.put("docker", notice)
    (problem,) = weftd.client.get(ProblemList, "problems").problems
    assert (problem.kind, problem.name, problem.reason, problem.fix) == (
        "network",
        "foo",
        "a bridge is called foo",
        "remove it",
    )
    weftd.control.notices.take_back("docker", "1" * 16)
    assert weftd.client.get(ProblemList, "problems").problems == ()


def far_ports(weftd: Weftd) -> tuple[PortInfo, Port, Port]:
    """A port of this host, one of host far, and one of host gone."""
    make(weftd)
    own = weftd.client.send(
        PortInfo, "POST", "attachments", body=AttachSpec(target="web", network="foo")
    )
    record = weftd.store.get(Port, own.id)
    assert record is not None and own.device is not None
    weftd.engine.traffic = {own.device.ifname: FakeCounters(1, 60, 2, 120, {"ttl": 5})}
    far, gone = (
        replace(record, id=PortId(number * 16), host_id=host.id, names=(name,), addresses=())
        for host, number, name in ((FAR, "5", "db"), (GONE, "6", "old"))
    )
    weftd.run(lambda: weftd.store.write([Put(FAR), Put(GONE), Put(far), Put(gone)]))
    return own, far, gone


def test_counters_of_all_hosts_come_with_their_host_and_the_silent_are_named(weftd: Weftd) -> None:
    own, far, _ = far_ports(weftd)
    tally = Tally(10, 600, 20, 1200, {"isolated": 7})
    weftd.others.answers = {
        FAR.id: Answer([PortState(far.id, tally), PortState(own.id, tally)], is_whole=False),
        GONE.id: UnansweredError(Why.LATE, "no answer within 5 s"),
    }
    assert [one.host for one in weftd.client.get(CountersList, "counters").counters] == ["h1"]
    assert weftd.others.asked == []
    answer = weftd.client.get(CountersList, "counters", query={"all": "true"})
    assert {one.names[0]: (one.host, one.rx_bytes, one.drops) for one in answer.counters} == {
        "web": ("h1", 60, {"ttl": 5}),
        "db": ("far", 600, {"isolated": 7}),
    }
    assert [(one.host, one.host_id) for one in answer.unanswered] == [
        ("far", FAR.id),
        ("gone", GONE.id),
    ]
    assert "more ports than are taken" in answer.unanswered[0].reason
    assert "no answer within 5 s" in answer.unanswered[1].reason


def test_a_port_is_inspected_on_its_own_host(weftd: Weftd) -> None:
    own, far, gone = far_ports(weftd)
    weftd.others.answers = {
        FAR.id: Answer([PortState(far.id, Tally(1, 2, 3, 4, {"ttl": 9}), ("no netns",))], True)
    }
    here = weftd.client.get(PortDetail, "ports", own.id, "detail")
    assert here.counters is not None and here.counters.drops == {"ttl": 5}
    there = weftd.client.get(PortDetail, "ports", far.id, "detail")
    assert there.counters is not None and there.unanswered is None
    assert (there.host, there.counters.drops, there.problems) == ("far", {"ttl": 9}, ("no netns",))
    assert weftd.others.asked == [(FAR.id, PortsAsked((far.id,)))]
    silent = weftd.client.get(PortDetail, "ports", gone.id, "detail")
    assert silent.counters is None and silent.unanswered is not None
    assert (silent.unanswered.host, silent.names) == ("gone", ("old",))
    assert "there is no way to it" in silent.unanswered.reason
    weftd.others.answers[FAR.id] = Answer([], is_whole=True)
    unknown = weftd.client.get(PortDetail, "ports", far.id, "detail")
    assert (unknown.counters, unknown.unanswered) == (None, None)


def test_why_says_what_the_host_of_a_port_has_dropped(weftd: Weftd) -> None:
    _, far, gone = far_ports(weftd)
    lost = "; ".join(weftd.client.get(WhyInfo, "why", far.id).explanation)
    assert "dropped" not in lost and weftd.others.asked == []
    weftd.members.reached = {
        host.id: Route(host.id, host.id, ip_address("192.0.2.9"), 1, 0) for host in (FAR, GONE)
    }
    for host in (FAR, GONE):
        weftd.members.links[host.id] = link(host.id)
    weftd.others.answers = {
        FAR.id: Answer(
            [PortState(far.id, Tally(1, 2, 3, 4, {"spoofed_mac": 9}), ("no netns",))], True
        )
    }
    told = weftd.client.get(WhyInfo, "why", far.id)
    text = "; ".join(told.explanation)
    assert "9 packets that it sent from addresses or MACs which are not its own" in text
    assert "something of it is not in force: no netns" in text
    assert "a link to it is up" in text
    silent = "; ".join(weftd.client.get(WhyInfo, "why", gone.id).explanation)
    assert "host gone does not tell what it has dropped: ask host" in silent
