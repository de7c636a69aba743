"""What the API says of several hosts: whose port is where, and what they did apart."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.conftest import Weftd
from weft.api.schema import (
    ConflictList,
    ExposeRequest,
    NetworkChanges,
    NetworkInfo,
    NetworkList,
    PortInfo,
    PortList,
    PortRequest,
    ProblemList,
    StatusInfo,
)
from weft.control.notices import Notice
from weft.control.specs import NetworkSpec
from weft.errors import ConflictError
from weft.model.addresses import ip_network
from weft.model.ids import HostId, NetworkId, PortId, SubnetId, Vni
from weft.model.records import Host, HostPrefixes, Network, Port, Subnet
from weft.model.records.tenants import tenant_id
from weft.store.interface import Put

FAR = Host(id=HostId("f" * 16), name="far")


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
    assert "only old has a way out" in problem.reason
    with pytest.raises(ConflictError, match="overlaps that of network old"):
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
