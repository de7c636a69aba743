"""``weft flows`` of real connections, of a weftd that is killed and starts again."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.system.followed_flows import followed
from tests.system.tcp import Connection, call, serve
from tests.system.workload import PATIENCE, NewWorkload, Weft, Workload, until
from weft.api.client import Client
from weft.api.schema import NetworkInfo
from weft.lab.host import LabHost

pytestmark = pytest.mark.root
_FLOOD = """
import socket, sys
senders = {address: socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                                  socket.SOCK_DGRAM) for address in sys.argv[1:]}
first = True
while True:
    for port in range(1000, 4000):
        for address, sender in senders.items():
            try:
                sender.sendto(b"x", (address, port))
            except OSError:
                pass  # told that nobody listens
    if first:
        print("full", flush=True)
    first = False
"""
"""More connections than there is room for, over and over."""


@pytest.fixture
def group(weft: Weft) -> Iterator[str]:
    """Lets in port 80 and rejects port 81."""
    weft("group", "create", "web")
    weft("group", "rule", "add", "web", "allow ingress tcp 80")
    weft("group", "rule", "add", "web", "reject ingress tcp 81")
    weft("group", "default", "deny", "--ingress", "--group", "web")
    yield "web"
    weft("group", "rm", "web")


@pytest.fixture
def server(group: str, network: NetworkInfo, new_workload: NewWorkload) -> Workload:
    made = new_workload(network, groups=(group,))
    serve(made, 80, 81)
    return made


@pytest.fixture
def client(server: Workload, network: NetworkInfo, new_workload: NewWorkload) -> Workload:
    return new_workload(network)


def flows(weft: Weft, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(weft("flows", "--json", *options))["flows"]
    return found


def metrics(host: LabHost) -> str:
    connection = http.client.HTTPConnection("weftd", timeout=20 * PATIENCE)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(host.api_socket))
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.smoke
def test_connections_are_shown_with_their_rules_and_outlive_weftd(
    server: Workload, client: Workload, weft: Weft, host: LabHost
) -> None:
    connection = Connection(client, server.address4, 80)
    (flow,) = flows(weft, "--port", server.ports[0].id)
    assert (flow["state"], flow["verdict"], flow["protocol"]) == ("established", "allowed", "tcp")
    assert flow["source"]["port_id"] == client.ports[0].id
    assert flow["destination"]["port_id"] == server.ports[0].id
    assert flow["destination"]["port"] == 80
    assert flow["ingress_rule"]["group"] == "web"
    assert flow["ingress_rule"]["text"] == "allow ingress tcp 80 from any"
    assert flow["network"] == server.ports[0].network
    assert host.kill_weftd()
    assert connection.use() == "answered"
    host.start_weftd()
    assert connection.use() == "answered"
    (after,) = flows(weft, "--port", server.ports[0].id)
    assert after["packets"] > flow["packets"]
    assert after["bytes"] > flow["bytes"]
    assert after["began_s"] == pytest.approx(flow["began_s"], abs=1.0)
    assert flow["answer_packets"] > 0


def test_what_is_rejected_is_refused_at_once_and_shown(
    server: Workload, client: Workload, weft: Weft
) -> None:
    for address in (server.address4, server.address6):
        assert call(client, address, 81) == "refused"
        assert call(client, address, 82) == "silent"
    denied = flows(weft, "--verdict", "denied", "--port", client.ports[0].id)
    shown = {
        (flow["destination"]["address"], flow["destination"]["port"]): flow["ingress_rule"]
        for flow in denied
    }
    for address in (server.address4, server.address6):
        assert shown[address, 81]["text"] == "reject ingress tcp 81 from any"
        assert (shown[address, 82]["group"], shown[address, 82]["text"]) == ("web", None)
    assert {flow["denied_by"] for flow in denied} == {"ingress"}


def test_what_has_ended_is_shown_for_a_while(
    server: Workload, client: Workload, weft: Weft
) -> None:
    assert call(client, server.address6, 80) == "answered"
    port = client.ports[0].id
    until("it has ended", lambda: not flows(weft, "--port", port), timeout_s=60)
    (flow,) = flows(weft, "--port", port, "--since", "5m")
    assert flow["ended_s"] is not None
    assert flow["state"] == "closed"
    assert flow["packets"] > 3


def test_who_follows_hears_of_connections(
    server: Workload, client: Workload, host: LabHost
) -> None:
    with followed(host) as lines:

        def heard() -> bool:
            """Of connections that are made until weftd has begun to tell."""
            assert call(client, server.address4, 80) == "answered"
            assert call(client, server.address4, 81) == "refused"
            found = {(line["event"], line["flow"]["destination"]["port"]) for line in lines}
            return found >= {("began", 80), ("ended", 80), ("denied", 81)}

        until("all of them are told", heard, timeout_s=60)
        ended = next(line["flow"] for line in lines if line["event"] == "ended")
        assert ended["packets"] > 3


def test_what_a_rule_logs_is_in_the_log_and_counted(
    server: Workload, client: Workload, weft: Weft, host: LabHost
) -> None:
    rule = "drop ingress tcp 90 log 5/s"
    weft("group", "rule", "add", "web", rule)
    assert call(client, server.address4, 90) == "silent"

    def logged() -> list[str]:
        lines = host.weftd_log.read_text().splitlines()
        return [line for line in lines if "destination_port=90" in line]

    until("it is logged", lambda: bool(logged()), timeout_s=60)
    assert all("group=web" in line and "verdict=denied" in line for line in logged())
    found = json.loads(weft("group", "rule", "ls", "web", "--json"))["rules"]
    (id,) = (each["id"] for each in found if each["text"].startswith("drop ingress tcp 90"))
    (line,) = (
        line
        for line in metrics(host).splitlines()
        if line.startswith("weft_rule_drops_total") and id in line
    )
    assert 'group="web"' in line
    assert float(line.split()[-1]) >= 1


def test_a_tracked_network_remembers_connections_of_ports_without_rules(
    network: NetworkInfo, new_workload: NewWorkload, weft: Weft
) -> None:
    server, client = new_workload(network), new_workload(network)
    serve(server, 80)
    port = client.ports[0].id
    held = Connection(client, server.address4, 80)
    assert flows(weft, "--port", port) == []
    weft("network", "set", network.id, "--track")
    assert held.use() == "answered"
    assert call(client, server.address6, 80) == "answered"
    shown = flows(weft, "--port", port, "--since", "5m")
    assert {flow["destination"]["address"] for flow in shown} == {
        str(server.address4),
        str(server.address6),
    }
    assert {(flow["verdict"], flow["denied_by"]) for flow in shown} == {("allowed", None)}
    weft("network", "set", network.id, "--no-track")
    assert held.use() == "answered"
    until("it is forgotten", lambda: not flows(weft, "--port", port), timeout_s=60)


def no_room(host: LabHost) -> float:
    """Entries that there was no room for in the table, as of weftd's last look."""
    wanted = 'weft_flow_entries_refused_total{reason="table"}'
    (line,) = (line for line in metrics(host).splitlines() if line.startswith(wanted))
    return float(line.split()[-1])


def test_a_full_table_drops_no_connection_and_denies_what_the_rules_deny(
    server: Workload, client: Workload, weft: Weft, host: LabHost
) -> None:
    weft("group", "rule", "add", "web", "allow ingress udp 1000-3999")
    addresses = server.address4, server.address6
    standing = [Connection(client, address, 80) for address in addresses]
    child = client.start(sys.executable, "-c", _FLOOD, *addresses)
    assert child.stdout is not None and child.stdout.readline() == "full\n"
    before = no_room(host)
    until("it is seen that there is no room", lambda: no_room(host) > before, timeout_s=60)
    for address, connection in zip(addresses, standing):
        assert connection.use() == "answered"
        assert call(client, address, 80) == "answered", "a new one, that is not remembered"
        assert call(client, address, 81) == "refused"
        assert call(client, address, 82) == "silent"
    shown = weft("flows")
    for version in (4, 6):
        assert f"the table of ipv{version} connections is nearly full" in shown
    assert "entries found no room" in shown
    assert host.kill_weftd()
    assert [each.use() for each in standing] == ["answered"] * 2
    host.start_weftd()
    assert [call(client, address, 82) for address in addresses] == ["silent"] * 2
    child.kill()
    child.wait()
    assert [each.use() for each in standing] == ["answered"] * 2
    until(
        "there is room again",
        lambda: "nearly full" not in weft("flows"),
        timeout_s=120,
    )


class Tenant:
    """A network and a group that another tenant has by the same names, with a server and a client
    that are called as the other's."""

    def __init__(self, weft: Weft, host: LabHost, api: Client, tenant: str, last: int) -> None:
        self.tenant = tenant
        cidrs = ("--subnet", "10.78.0.0/24", "--subnet", "fd78::/64")
        weft("network", "create", "twin", "--tenant", tenant, *cidrs, "--internal")
        weft("group", "create", "twins", "--tenant", tenant)
        shown = json.loads(weft("network", "inspect", self.full("twin"), "--json"))
        network = msgspec.convert(shown, NetworkInfo, strict=False)
        place = replace(network, name=network.id)
        addresses = (f"10.78.0.{last}", f"fd78::{last:x}")
        groups = (self.full("twins"),)
        self.server, self.client = (Workload(host, api, f"{tenant}-{at}") for at in range(2))
        self.server.attach(place, names=("db",), addresses=addresses, groups=groups)
        self.client.attach(place, names=("shop",), addresses=("10.78.0.20", "fd78::14"))
        serve(self.server, 80)

    def full(self, name: str) -> str:
        return name if self.tenant == "default" else f"{self.tenant}/{name}"

    def remove(self, weft: Weft) -> None:
        for workload in (self.server, self.client):
            workload.remove()
        weft("group", "rm", self.full("twins"))
        weft("network", "rm", self.full("twin"))


def test_tenants_that_call_everything_alike_are_told_apart(
    weft: Weft, host: LabHost, api: Client
) -> None:
    own, other = tenants = [
        Tenant(weft, host, api, tenant, last) for tenant, last in (("default", 10), ("acme", 11))
    ]
    try:
        weft("group", "default", "deny", "--ingress", "--group", "acme/twins")
        weft("group", "rule", "add", "twins", "allow ingress tcp 80 log 5/s")
        for each, answer in ((own, "answered"), (other, "silent")):
            for address in (each.server.address4, each.server.address6):
                assert call(each.client, address, 80) == answer
            resolved = each.client.run("dig", "+short", "db").split()
            assert resolved == [each.server.address4]
        for each, verdict in ((own, "allowed"), (other, "denied")):
            options = ("--network", each.full("twin"), "--verdict", verdict, "--since", "5m")
            found = flows(weft, *options)
            ids = {flow["destination"]["port_id"] for flow in found}
            assert ids == {each.server.ports[0].id}
            assert {flow["network"] for flow in found} == {each.full("twin")}
            rules = [flow["ingress_rule"] for flow in found]
            assert {rule["group"] for rule in rules if rule} == {each.full("twins")}
        text = metrics(host)
        for each in tenants:
            for port in (each.server.ports[0], each.client.ports[0]):
                labels = f'network="{each.full("twin")}",port="{port.id}"'
                assert labels in text
        until("it is logged", lambda: "group=twins" in host.weftd_log.read_text(), timeout_s=60)
        assert "group=acme/twins" not in host.weftd_log.read_text()
        series = [line.rpartition(" ")[0] for line in text.splitlines() if line[:1] != "#"]
        assert len(series) == len(set(series))
        drops = json.loads(weft("port", "inspect", own.server.ports[0].id, "--json"))
        assert "policy" not in json.dumps(drops.get("counters", {}))
    finally:
        for each in tenants:
            each.remove(weft)
