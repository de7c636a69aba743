"""Ways to the resolvers on an internal network: there for queries, in nobody's way otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.own_addresses import await_addresses
from tests.system.kernel.conftest import run
from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.drivers.query_routes import QueryRouteDriver
from weft.engine.plumbing.tables.query_routes import QueryRouteValue
from weft.kernel import netns
from weft.kernel.netlink import Netlink
from weft.model.addresses import ip_address, ip_network

pytestmark = pytest.mark.root
RESOLVER = {4: "192.0.2.53", 6: "2001:db8::53"}
GATEWAY = {
    "internal": {4: "10.2.0.1", 6: "fd00:2::1"},
    "other": {4: "10.3.0.1", 6: "fd00:3::1"},
    "outer": {4: "10.1.0.1", 6: "fd00:1::1"},
}


class Container:
    """A namespace with devices as a container engine sets them up."""

    def __init__(self, path: str, table: QueryRouteDriver) -> None:
        self.path = path
        self.table = table
        self.macs: dict[str, str] = {}

    def inside(self, command: str) -> str:
        with netns.entered(self.path):
            return run(command)

    def connect(self, name: str) -> None:
        self.inside(f"ip link add {name} type veth peer name {name}p; ip link set {name}p up")
        self.inside(f"ip link set {name} up")
        for version, gateway in GATEWAY[name].items():
            ip, length = f"ip -{version}", {4: 24, 6: 64}[version]
            own = gateway[:-1] + "5"
            self.inside(f"{ip} addr add {own}/{length} dev {name} {'nodad' * (version == 6)}")
            if name == "outer":
                self.inside(f"{ip} route add default via {gateway} dev {name}")
            elif not self.leads_to(version):  # what Docker is told when a container joins
                self.inside(f"{ip} route add {RESOLVER[version]} via {gateway} dev {name}")
        await_addresses(self.path)
        (link,) = json.loads(self.inside(f"ip -j link show dev {name}"))
        self.macs[name] = link["address"]

    def settle(self, name: str) -> None:
        routes = tuple(
            (ip_network(RESOLVER[version]), ip_address(gateway))
            for version, gateway in GATEWAY[name].items()
        )
        value = QueryRouteValue(self.path, self.macs[name], routes)
        assert not self.table.write({name: value}, ())

    def disconnect(self, name: str) -> None:
        self.inside(f"ip link del {name}")
        self.table.write({}, (name,))

    def leads_to(self, version: int, address: str = "", words: str = "") -> str:
        """The device by which the resolver, or another address, is reached; empty: by none."""
        asked = f"{address or RESOLVER[version]} {words}"
        answer = self.inside(f"ip -j -{version} route get {asked} 2>&1 || true")
        return str(json.loads(answer)[0].get("dev", "")) if answer.startswith("[") else ""

    def ways(self) -> set[str]:
        """By which the resolvers' machines are reached, whatever but a query is sent there."""
        words = ("", "ipproto udp dport 54", "ipproto tcp dport 80")
        return {self.leads_to(version, words=each) for version in (4, 6) for each in words}

    def query_ways(self) -> set[str]:
        words = ("ipproto udp dport 53", "ipproto tcp dport 53")
        return {self.leads_to(version, words=each) for version in (4, 6) for each in words}


@pytest.fixture
def container(host_netns: str, netlink: Netlink, new_netns: Callable[[], str]) -> Container:
    return Container(new_netns(), QueryRouteDriver(Devices(netlink)))


@pytest.mark.parametrize("order", [("internal", "outer"), ("outer", "internal")])
def test_the_other_network_leads_there_but_for_queries_whichever_came_first(
    container: Container, order: tuple[str, str]
) -> None:
    for name in order:
        container.connect(name)
        if name == "internal":
            container.settle(name)
    assert (container.ways(), container.query_ways()) == ({"outer"}, {"internal"})
    container.disconnect("outer")
    assert (container.ways(), container.query_ways()) == ({""}, {"internal"})
    container.connect("outer")
    container.disconnect("internal")
    assert (container.ways(), container.query_ways()) == ({"outer"}, {"outer"})


def test_an_internal_network_leads_nowhere_else_and_once_is_enough(container: Container) -> None:
    container.connect("internal")
    assert container.query_ways() == {"internal"}  # before it is settled, too
    for _ in range(2):
        container.settle("internal")
        assert (container.ways(), container.query_ways()) == ({""}, {"internal"})
        for version, other in ((4, "192.0.2.54"), (6, "2001:db8::54")):
            assert container.leads_to(version, other, "ipproto udp dport 53") == ""
        assert container.inside("ip rule && ip -6 rule").count("lookup 5335") == 4


def test_of_two_internal_networks_each_leads_there_when_the_other_goes(
    container: Container,
) -> None:
    for name in ("internal", "other"):
        container.connect(name)
        container.settle(name)
    container.disconnect("internal")
    assert container.query_ways() == {"other"}


def test_a_workload_that_ended_is_no_failure(container: Container) -> None:
    container.connect("internal")
    container.path += "-gone"
    container.settle("internal")
    assert not container.table.read({})
