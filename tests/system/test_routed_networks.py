"""Networks that routers join, with real kernels: on one host, and on two."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.system import overlay as world
from tests.system.overlay import FOO, SUBNETS, Overlay, port_on
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import Workload, until
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import (
    MacAddress,
    NetworkId,
    RouterId,
    RouterPortId,
    RouterRouteId,
    SubnetId,
    Vni,
)
from weft.model.records import Network, Record, Router, RouterPort, RouterRoute, Subnet

pytestmark = pytest.mark.root

BEYOND = "198.51.100.9"
"""An address that is on no network: ports of BAR have it behind them."""
R1, R2 = RouterId("r1"), RouterId("r2")


def network(id: str, vni: int, *cidrs: str, is_internal: bool = False) -> tuple[Record, ...]:
    made = Network(id=NetworkId(id), name=id, vni=Vni(vni), is_internal=is_internal)
    subnets = (
        Subnet(
            id=SubnetId(f"{id} {cidr}"),
            cidr=ip_network(cidr),
            network_id=made.id,
            gateway=ip_network(cidr)[1],
        )
        for cidr in cidrs
    )
    return (made, *subnets)


def place(router: RouterId, network: str, *addresses: str) -> RouterPort:
    return RouterPort(
        id=RouterPortId(f"{router} {network}"),
        router_id=router,
        network_id=NetworkId(network),
        mac=MacAddress(f"02:00:00:00:77:{sum(network.encode()) % 256:02x}"),
        addresses=tuple(map(ip_address, addresses)),
    )


def route(router: RouterId, prefix: str, *hops: str) -> RouterRoute:
    return RouterRoute(
        id=RouterRouteId(f"{router} {prefix}"),
        router_id=router,
        prefix=ip_network(prefix),
        next_hops=tuple(map(ip_address, hops)),
    )


class Joined:
    """FOO and BAR, joined by R1; BAR and CAR, joined by R2; on two hosts."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        switch = overlay.switch()
        self.hosts = [
            overlay.host(switch, f"192.0.2.{each}/24", f"2001:db8::{each}/64") for each in (1, 2)
        ]
        overlay.start()
        overlay.write(
            *network("bar", 78, "10.7.0.0/24", "fd07::/64", is_internal=True),
            *network("car", 79, "10.8.0.0/24"),
            Router(id=R1, name="r1"),
            place(R1, FOO.id, *(str(subnet.gateway) for subnet in SUBNETS)),
            place(R1, "bar", "10.7.0.1", "fd07::1"),
            route(R1, "10.8.0.0/24", "10.7.0.254"),
            Router(id=R2, name="r2"),
            place(R2, "bar", "10.7.0.254"),
            place(R2, "car", "10.8.0.1"),
            route(R2, "10.5.0.0/24", "10.7.0.1"),
        )
        self.foo = overlay.workload(self.hosts[0], 5)
        self.bars = [self.on(host, "bar", 10 + at) for at, host in enumerate(self.hosts)]
        self.car = self.on(self.hosts[1], "car", 20)
        for host in self.hosts:
            assert not host.failures()

    def on(self, host: OverlayHost, network: str, number: int) -> Workload:
        prefixes = {"bar": ("10.7.0.", "fd07::"), "car": ("10.8.0.",)}[network]
        name = self.overlay.namespace(f"{network}{number}")
        port = port_on(
            host,
            name,
            number,
            network_id=NetworkId(network),
            addresses=tuple(ip_address(f"{prefix}{number}") for prefix in prefixes),
        )
        self.overlay.write(port)
        return Workload(name, port)


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    with world.made(tmp_path_factory.mktemp("routers")) as overlay:
        yield Joined(overlay)


def ping(workload: Workload, address: str, ttl: int = 64) -> tuple[str, str]:
    """Who has answered a ping, and what is in the answer."""
    command = f"ping -n -c 1 -W 3 -t {ttl} {address}"
    words = ["nsenter", f"--net=/run/netns/{workload.name}", *command.split()]
    told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    found = re.search(r"[Ff]rom ([0-9a-f.:]+?):? (.*)", told)
    return (found[1], found[2]) if found else ("", told)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("where", [0, 1], ids=["one host", "two hosts"])
def test_ports_of_two_networks_reach_each_other(joined: Joined, version: int, where: int) -> None:
    other = joined.bars[where]
    joined.foo.reaches(other, version)
    joined.foo.transfers(other, version, megabytes=2)
    other.transfers(joined.foo, version, megabytes=2)


def test_who_counts_hops_sees_each_router(joined: Joined) -> None:
    """R2 is on no network of the sender's, and nowhere but on every host."""
    path = [ping(joined.foo, "10.8.0.20", ttl)[0] for ttl in (1, 2, 3)]
    assert path == ["10.5.0.1", "10.7.0.254", "10.8.0.20"]
    assert [ping(joined.car, "10.5.0.5", ttl)[0] for ttl in (1, 2, 3)] == [
        "10.8.0.1",
        "10.7.0.1",
        "10.5.0.5",
    ]
    assert ping(joined.foo, "fd07::b", ttl=1)[0] == "fd05::1"


def test_routers_answer_ping_and_say_who_is_not_there(joined: Joined) -> None:
    for address in ("10.5.0.1", "10.7.0.1", "10.7.0.254", "10.8.0.1", "fd07::1"):
        assert ping(joined.foo, address)[0] == address
    for address, router in (("10.7.0.99", "10.5.0.1"), ("fd07::99", "fd05::1")):
        teller, text = ping(joined.foo, address)
        assert (teller, "nreachable" in text) == (router, True), text


def test_a_router_that_is_no_gateway_is_a_next_hop_of_a_workload(joined: Joined) -> None:
    joined.bars[0].run("ip route replace 10.8.0.0/24 via 10.7.0.254")
    assert ping(joined.bars[0], "10.8.0.20", ttl=2)[0] == "10.8.0.20"
    assert "02:00:00:00:77:" in joined.bars[0].run("ip neigh show 10.7.0.254")


def answering(joined: Joined, count: int = 24) -> set[str]:
    """Which ports of BAR answer for the address behind them, asked by many flows."""
    script = (
        "import socket\n"
        f"for port in range(20000, {20000 + count}):\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "    s.bind(('10.5.0.5', port)); s.settimeout(3)\n"
        f"    s.sendto(b'who', ('{BEYOND}', 9)); print(s.recv(99).decode())\n"
    )
    return set(joined.foo.run(f'python3 -c "{script}"', timeout_s=90).split())


def test_flows_are_spread_over_next_hops_and_find_another_when_one_goes(joined: Joined) -> None:
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.bind(('{BEYOND}', 9)); print('ready', flush=True)\n"
        "while True:\n"
        "    s.sendto(sys.argv[1].encode(), s.recvfrom(99)[1])\n"
    )
    servers = []
    try:
        for bar in joined.bars:
            bar.run(f"ip addr add {BEYOND}/32 dev lo; ip route replace 10.5.0.0/24 via 10.7.0.1")
            inside = ["nsenter", f"--net=/run/netns/{bar.name}", "python3", "-c", script, bar.name]
            servers.append(subprocess.Popen(inside, stdout=subprocess.PIPE, text=True))
            assert servers[-1].stdout is not None and servers[-1].stdout.readline() == "ready\n"
        ports = [
            port_on(
                host,
                bar.name,
                bar.port.slot or 0,
                network_id=bar.port.network_id,
                addresses=bar.port.addresses,
                is_spoof_checked=False,
            )
            for host, bar in zip(joined.hosts, joined.bars)
        ]
        joined.overlay.write(*ports, route(R1, "198.51.100.0/24", "10.7.0.10", "10.7.0.11"))
        assert answering(joined) == {bar.name for bar in joined.bars}
        joined.overlay.delete(ports[0])
        assert answering(joined) == {joined.bars[1].name}
        joined.overlay.delete(ports[1])
        assert ping(joined.foo, BEYOND)[0] == "10.5.0.1"
    finally:
        for server in servers:
            server.kill()
            server.communicate()
        joined.overlay.write(*(bar.port for bar in joined.bars))


def test_without_the_router_the_networks_are_apart(joined: Joined) -> None:
    joined.overlay.delete(Router(id=R1, name="r1"))
    until(lambda: not joined.foo.pings(joined.car), "FOO still reaches CAR")
    joined.overlay.write(Router(id=R1, name="r1"))
    joined.foo.reaches(joined.car)
