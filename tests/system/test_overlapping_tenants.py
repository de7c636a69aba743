"""Networks of two tenants that have one prefix, as an old state or two merged clusters may bring
them: one has the way out, and nothing of the other's ever comes to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import overlay as world
from tests.system.overlay import FOO, SUBNETS, Overlay, port_on
from tests.system.overlay_workload import Workload, sh
from tests.system.test_beside_bridges import HOST, OUTSIDE, Server, ask
from weft.model.choices import TransportProtocol
from weft.model.ids import MacAddress, NetworkId, SubnetId, Vni
from weft.model.records import Network, PublishedPort, Subnet
from weft.model.records.tenants import tenant_id

pytestmark = pytest.mark.root

BAR = Network(id=NetworkId("z" * 16), name="bar", tenant_id=tenant_id("other"), vni=Vni(78))
BARS = tuple(
    Subnet(
        id=SubnetId(f"b{subnet.id[1:]}"),
        cidr=subnet.cidr,
        network_id=BAR.id,
        tenant_id=tenant_id("other"),
        gateway=subnet.gateway,
    )
    for subnet in SUBNETS
)


FOO_GATEWAY = {4: "10.5.0.1", 6: "fd05::1"}


def published(port: int) -> PublishedPort:
    return PublishedPort(protocol=TransportProtocol.TCP, host_port=port, port=80)


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    with world.made(tmp_path) as made:
        yield made


def test_nothing_of_one_comes_to_the_other(overlay: Overlay) -> None:
    switch = overlay.switch()
    host = overlay.host(switch, "192.0.2.1/24", "2001:db8::1/64")
    outside = overlay.namespace("outside")
    overlay.plug(outside, switch, "up0", "192.0.2.9/24", "2001:db8::9/64")
    overlay.start()
    foo, bar = (overlay.namespace(name) for name in ("foo", "bar"))
    one = port_on(host, foo, 5, published=(published(8080),))
    two = port_on(
        host,
        bar,
        6,
        network_id=BAR.id,
        addresses=one.addresses,
        mac=MacAddress("02:00:00:00:06:05"),
        published=(published(8081),),
    )
    overlay.write(BAR, *BARS, one, two)
    assert not host.failures()
    with contextlib.ExitStack() as servers:
        for namespace in (foo, bar, outside):
            servers.callback(Server(namespace).close)
        for version in (4, 6):
            assert ask(outside, HOST[version], "tcp", 8080) == OUTSIDE[version]
            assert ask(foo, OUTSIDE[version], "udp", 80) == HOST[version]
            assert not ask(outside, HOST[version], "tcp", 8081)
            assert not ask(bar, OUTSIDE[version], "udp", 80)
            assert not ask(bar, HOST[version], "tcp", 8080)
            sh(bar, f"ping -n -c 1 -W 2 {FOO_GATEWAY[version]}")
        overlay.delete(*reversed(SUBNETS), one, FOO)
        for version in (4, 6):
            assert ask(outside, HOST[version], "tcp", 8081) == OUTSIDE[version]
            assert ask(bar, OUTSIDE[version], "udp", 80) == HOST[version]


def test_both_go_on_inside(overlay: Overlay) -> None:
    host = overlay.host(overlay.switch(), "192.0.2.1/24")
    overlay.start()
    overlay.write(BAR, *BARS)
    workloads = []
    for number, network in ((5, BAR), (6, BAR)):
        name = overlay.namespace(f"w{number}")
        workload = Workload(name, port_on(host, name, number, network_id=network.id))
        overlay.write(workload.port)
        workloads.append(workload)
    for version in (4, 6):
        workloads[0].reaches(workloads[1], version)
