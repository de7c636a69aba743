"""Networks, groups and static ports of one file, on three hosts, with real connections: what gets
through is what `weft policy test` says, and a declared port takes its rules from host to host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.cluster import Cluster, api, has
from tests.system.tcp import call, serve
from tests.system.workload import Workload, until
from weft.api.schema import NetworkDetail, PortInfo
from weft.lab.host import LabHost

pytestmark = pytest.mark.root
FILE = """
kind: network
name: back
tenant: shop
subnets: [{cidr: 10.20.0.0/24}, {cidr: "fd00:20::/64"}]
denied: [ingress]
---
kind: group
name: app
tenant: shop
selector: app=shop
rules:
  - allow ingress tcp 8080 from group:lb
  - reject ingress tcp 22 from any
---
kind: group
name: lb
tenant: shop
---
kind: port
name: front
network: shop/back
groups: [lb]
---
kind: port
name: app1
network: shop/back
addresses: [10.20.0.200, "fd00:20::200"]
labels: {app: shop}
"""
SAID = {"answered": "allowed", "silent": "dropped", "refused": "rejected"}


@pytest.fixture
def shop(joined: Cluster) -> Iterator[Cluster]:
    h1 = joined.hosts[0]
    ran = joined.weft(h1, "apply", "-f", "-", "--owner", "shop", text=FILE)
    assert ran.code == 0, ran
    for host in joined.hosts:
        until(f"{host.name} has the network", has(host, "back"))
    yield joined
    ran = joined.weft(h1, "apply", "-f", "-", "--owner", "shop", "--prune", text="")
    assert ran.code == 0, ran


def plugged(host: LabHost, name: str) -> Workload:
    network = api(host).get(NetworkDetail, "networks", "shop/back")
    workload = Workload(host, api(host), name)
    workload.ports.append(
        api(host).send(
            PortInfo,
            "POST",
            "attachments",
            body={"target": workload.path, "network": network.id, "names": [name]},
        )
    )
    return workload


def die(workload: Workload) -> None:
    """Go without a word: nobody unplugs it."""
    workload.ports = []
    workload.remove()


def said(cluster: Cluster, host: LabHost, address: str, port: int) -> str:
    words = ("policy", "test", "front", address, "--tcp", str(port))
    return cluster.weft(host, *words).out.splitlines()[0].rpartition(": ")[2].split(",")[0]


def test_what_gets_through_is_what_was_said_and_moves_with_its_port(shop: Cluster) -> None:
    h1, h2, h3 = shop.hosts
    front, app = plugged(h1, "front"), plugged(h2, "app1")
    try:
        assert app.ports[0].addresses == ("10.20.0.200", "fd00:20::200")
        check(shop, front, app)
        die(app)
        for host in shop.hosts:
            until(f"{host.name} knows that it waits", lambda host=host: where(host) is None)  # type: ignore[misc]
        app = plugged(h3, "app1")
        assert app.ports[0].addresses == ("10.20.0.200", "fd00:20::200")
        check(shop, front, app)
    finally:
        for workload in (front, app):
            die(workload)
        until("both wait", lambda: where(h1, "front") is None and where(h1) is None)


def where(host: LabHost, name: str = "app1") -> str | None:
    return api(host).get(PortInfo, "ports", f"{name}.back").host


def check(shop: Cluster, front: Workload, app: Workload) -> None:
    """Every port of both families, as real connections and as each host says it."""
    serve(app, 8080, 9090, 22)
    until("it is reached", lambda: call(front, app.ports[0].addresses[0], 8080) == "answered")
    for address in app.ports[0].addresses:
        for port, expected in ((8080, "answered"), (9090, "silent"), (22, "refused")):
            assert call(front, address, port) == expected, (address, port)
            for host in shop.hosts:
                assert said(shop, host, address, port) == SAID[expected], (host.name, port)
