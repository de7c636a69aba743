"""Members of groups by hand, who is a member by what, and networks that flood."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.api.schema import (
    MulticastGroupInfo,
    MulticastGroupList,
    NetworkInfo,
    PortInfo,
    PortRequest,
)
from weft.control.specs import NetworkSpec
from weft.errors import NotFoundError
from weft.model.addresses import ip_address
from weft.model.ids import HostId, PortId
from weft.model.records import Host, MulticastMembership, Network, Port
from weft.store.interface import Put

A, B = ip_address("239.1.1.1"), ip_address("ff05::1")
FAR = Host(id=HostId("f" * 16), name="far")


@pytest.fixture
def port(weftd: Weftd) -> Port:
    """A port ``web`` on foo; on bar is another of the name."""
    for network in ("foo", "bar"):
        weftd.client.send(NetworkInfo, "POST", "networks", body=NetworkSpec(name=network))
        body = PortRequest(network=network, names=("web",))
        made = weftd.client.send(PortInfo, "POST", "ports", body=body)
        if network == "foo":
            found = weftd.store.get(Port, made.id)
    assert found is not None
    return found


def groups(weftd: Weftd, network: str = "foo") -> dict[str, MulticastGroupInfo]:
    answer = weftd.client.get(MulticastGroupList, "multicast", query={"network": network})
    return {one.address: one for one in answer.multicast_groups}


def network_of(weftd: Weftd, port: Port) -> Network:
    found = weftd.store.get(Network, port.network_id)
    assert found is not None
    return found


def test_a_port_is_made_a_member_and_is_none_again(weftd: Weftd, weft: Weft, port: Port) -> None:
    assert weft("multicast", "add", "foo", "239.1.1.1", "web").code == 0
    assert weft("multicast", "add", "foo", "ff05::1", port.id).code == 0
    assert weft("multicast", "add", "foo", "ff05::1", "web").code == 0
    found = weftd.store.get(Port, port.id)
    assert found is not None and found.multicast_groups == (A, B)
    (member,) = groups(weftd)["ff05::1"].members
    assert (member.port_id, member.host, member.is_static, member.is_joined) == (
        *(port.id, "h1"),
        *(True, False),
    )
    shown = weft("multicast", "ls", "foo")
    assert "239.1.1.1" in shown.out and "web" in shown.out
    assert groups(weftd, "bar") == {}
    assert weft("multicast", "rm", "foo", "239.1.1.1", "web").code == 0
    assert list(groups(weftd)) == ["ff05::1"]
    with pytest.raises(NotFoundError, match="nobody added it to port web on foo"):
        weftd.client.delete(
            "networks", "foo", "multicast-groups", "239.1.1.1", query={"port": "web"}
        )


def test_all_ports_of_a_network_are_made_members(weftd: Weftd, weft: Weft, port: Port) -> None:
    assert "all ports" in weft("multicast", "add", "foo", "ff05::1").out
    assert network_of(weftd, port).multicast_groups == (B,)
    assert groups(weftd)["ff05::1"].is_static
    assert weft("multicast", "rm", "foo", "ff05::1").code == 0
    assert groups(weftd) == {}
    assert weft("multicast", "rm", "foo", "ff05::1").code == 1


def test_who_joined_by_himself_is_shown_with_his_host(weftd: Weftd, weft: Weft, port: Port) -> None:
    far = replace(port, id=PortId("e" * 16), host_id=FAR.id, names=("db",), addresses=())
    joined = [
        MulticastMembership(
            id=each.id, network_id=each.network_id, host_id=each.host_id, multicast_groups=(A,)
        )
        for each in (port, far, replace(port, id=PortId("d" * 16)))
        if each.host_id is not None
    ]
    records = (FAR, far, *joined)
    weftd.run(lambda: weftd.store.write(Put(record) for record in records))
    found = groups(weftd)["239.1.1.1"]
    assert [(one.host, one.names) for one in found.members] == [("far", ("db",)), ("h1", ("web",))]
    assert all(one.is_joined and not one.is_static for one in found.members)
    text = weft("status", "multicast").out
    assert "far" in text and "db" in text and "report" in text
    assert "it is a member of 239.1.1.1" in weft("why", port.id).out
    assert weftd.control.multicast.multicast_group_counts() == {network_of(weftd, port): 1}


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ("224.0.0.5", "gets what is sent to it anyway"),
        ("ff02::1:ff00:7", "gets what is sent to it anyway"),
        ("10.1.1.1", "no multicast address"),
        ("ff01::1", "no multicast address"),
    ],
)
def test_only_groups_have_members(weft: Weft, port: Port, group: str, reason: str) -> None:
    refused = weft("multicast", "add", "foo", group)
    assert refused.code == 1
    assert reason in refused.err


def test_ports_of_other_networks_and_hosts_are_named(weftd: Weftd, weft: Weft, port: Port) -> None:
    far = replace(port, id=PortId("e" * 16), host_id=FAR.id, names=("db",), addresses=())
    weftd.run(lambda: weftd.store.write([Put(FAR), Put(far)]))
    assert "is on host far; change it there" in weft("multicast", "add", "foo", "ff05::1", "db").err
    wrong = weft("multicast", "add", "bar", "ff05::1", port.id)
    assert "is not on network bar" in wrong.err
    assert weft("multicast", "add", "foo", "ff05::1", "nobody").code == 1


def test_a_network_floods_from_its_start_or_later(weftd: Weftd, weft: Weft, port: Port) -> None:
    assert network_of(weftd, port).multicast == "snoop"
    assert "goes to every port" in weft("network", "set", "foo", "--multicast", "flood").out
    assert network_of(weftd, port).multicast == "flood"
    assert "goes to every port" in weft("network", "inspect", "foo").out
    assert weft("network", "set", "foo", "--multicast", "snoop").code == 0
    assert network_of(weftd, port).multicast == "snoop"
    assert weft("network", "create", "loud", "--multicast", "flood").code == 0
    assert "goes to every port" in weft("network", "inspect", "loud").out
    assert weft("network", "set", "foo").code == 2
    assert weft("network", "set", "foo", "--multicast", "maybe").code == 2
