"""Security groups between workloads on one host, with real sockets."""

from __future__ import annotations

import pytest

from tests.system.tcp import Connection, call, called_from, serve
from tests.system.workload import NewWorkload, Weft, Workload, until
from weft.api.client import Client
from weft.api.schema import FactsInfo, NetworkInfo, PortInfo
from weft.control.specs import PortChanges
from weft.lab.host import LabHost

pytestmark = pytest.mark.root


@pytest.fixture
def groups(weft: Weft, request: pytest.FixtureRequest) -> None:
    """web, which denies what comes, and ops."""
    for name in ("ops", "web"):
        weft("group", "create", name)
        request.addfinalizer(lambda name=name: weft("group", "rm", name))  # type: ignore[misc]
    weft("group", "default", "deny", "--ingress", "--group", "web")


def both(client: Workload, server: Workload, port: int) -> str:
    """What becomes of a connection in either family."""
    (found,) = {call(client, each, port) for each in (server.address4, server.address6)}
    return found


@pytest.mark.smoke
def test_a_rule_lets_in_and_its_removal_ends_what_it_let_in(
    groups: None, network: NetworkInfo, new_workload: NewWorkload, weft: Weft
) -> None:
    server = new_workload(network, groups=("web",))
    friend, stranger = new_workload(network, groups=("ops",)), new_workload(network)
    serve(server, 80, 81)
    assert both(friend, server, 80) == "silent"
    weft("group", "rule", "add", "web", "allow", "ingress", "--tcp", "80", "--from", "group:ops")
    assert both(friend, server, 80) == "answered"
    assert (both(friend, server, 81), both(stranger, server, 80)) == ("silent", "silent")
    serve(stranger, 80)
    assert both(server, stranger, 80) == "answered"
    assert not stranger.reaches(server.address4)
    connection = Connection(friend, server.address4, 80)
    weft("group", "rule", "rm", "web", "allow ingress tcp 80 from group:ops")
    assert connection.use() == "silent"
    assert both(friend, server, 80) == "silent"
    assert server.drops("policy") or friend.drops("policy")


def test_a_rule_that_keeps_flows(
    groups: None, network: NetworkInfo, new_workload: NewWorkload, weft: Weft
) -> None:
    server, client = new_workload(network, groups=("web",)), new_workload(network)
    serve(server, 80)
    rule = "allow ingress tcp 80 from any keep"
    weft("group", "rule", "add", "web", rule)
    connection = Connection(client, server.address6, 80)
    weft("group", "rule", "rm", "web", rule)
    assert both(client, server, 80) == "silent"
    assert connection.use() == "answered"


def test_members_and_peers_by_label_come_and_go(
    groups: None, network: NetworkInfo, new_workload: NewWorkload, weft: Weft
) -> None:
    weft("group", "set", "web", "--select", "tier=web")
    rule = "allow ingress tcp 80 from label:app=shop"
    weft("group", "rule", "add", "web", rule)
    server, client = new_workload(network), new_workload(network)
    serve(server, 80)
    assert both(client, server, 80) == "answered"
    weft("port", "set", server.ports[0].id, "--label", "tier=web")
    assert both(client, server, 80) == "silent"
    weft("port", "set", client.ports[0].id, "--label", "app=shop")
    assert both(client, server, 80) == "answered"
    weft("port", "set", client.ports[0].id, "--label", "app=shoe")
    assert both(client, server, 80) == "silent"


def test_egress_by_prefix_and_tiers(
    groups: None, network: NetworkInfo, new_workload: NewWorkload, weft: Weft
) -> None:
    server, client = new_workload(network), new_workload(network, groups=("ops",))
    serve(server, 80, 443)
    only = f"drop egress to {server.address4}/32"
    weft("group", "rule", "add", "ops", only)
    assert call(client, server.address4, 80) == "silent"
    assert call(client, server.address6, 80) == "answered"
    weft("group", "rule", "add", "ops", "allow egress tcp 443 to any tier admin")
    assert call(client, server.address4, 443) == "answered"
    assert call(client, server.address4, 80) == "silent"
    assert not client.reaches(server.address4)
    weft("group", "rule", "rm", "ops", only)
    assert call(client, server.address4, 80) == "answered"


def test_a_network_that_denies(
    groups: None, network: NetworkInfo, new_workload: NewWorkload, weft: Weft
) -> None:
    server, client = new_workload(network), new_workload(network)
    serve(server, 80)
    weft("group", "default", "deny", "--ingress", "--network", network.name)
    assert both(client, server, 80) == "silent"
    weft("port", "set", server.ports[0].id, "--group", "ops")
    weft("group", "rule", "add", "ops", f"allow ingress tcp 80 from network:{network.name}")
    assert both(client, server, 80) == "answered"
    weft("group", "default", "inherit", "--network", network.name)
    weft("group", "rule", "rm", "ops", f"allow ingress tcp 80 from network:{network.name}")


def from_host(host: LabHost, workload: Workload, port: int) -> str:
    """What becomes of connections of the host itself, in either family."""
    addresses = workload.address4, workload.address6
    (found,) = {called_from(host, address, port) for address in addresses}
    return found


def test_the_own_host_gets_in_where_a_port_admits_it(
    network: NetworkInfo, host: LabHost, new_workload: NewWorkload, weft: Weft, api: Client
) -> None:
    """From its place on the network, and nobody else does."""
    weft("group", "default", "deny", "--ingress", "--network", network.name)
    weft("expose", network.name)
    server, client = new_workload(network), new_workload(network)
    serve(server, 80, 81)
    assert from_host(host, server, 80) == "silent"
    body = PortChanges(admits_host=True)
    api.send(PortInfo, "PATCH", "ports", server.ports[0].id, body=body)
    assert from_host(host, server, 80) == "answered"
    assert both(client, server, 80) == "silent"
    weft("network", "set", network.name, "--admit-host")
    api.send(PortInfo, "PATCH", "ports", server.ports[0].id, body=PortChanges(admits_host=False))
    assert from_host(host, server, 80) == "answered"
    weft("network", "set", network.name, "--no-admit-host")
    assert from_host(host, server, 80) == "silent"


@pytest.mark.smoke
def test_rules_go_on_without_weftd_and_another_one_changes_nothing(
    groups: None,
    network: NetworkInfo,
    new_workload: NewWorkload,
    weft: Weft,
    host: LabHost,
    api: Client,
) -> None:
    server = new_workload(network, groups=("web",))
    friend, stranger = new_workload(network, groups=("ops",)), new_workload(network)
    serve(server, 80)
    weft("group", "rule", "add", "web", "allow", "ingress", "--tcp", "80", "--from", "group:ops")
    connection = Connection(friend, server.address4, 80)
    assert host.kill_weftd()
    assert both(friend, server, 80) == "answered"
    assert both(stranger, server, 80) == "silent"
    before = policy_maps(host)
    host.start_weftd()
    until("weftd has looked twice", lambda: looks(api)[0] >= 2)
    assert looks(api)[1] == 0, "nothing was to be mended"
    assert policy_maps(host) == before
    assert connection.use() == "answered"
    assert both(friend, server, 80) == "answered"
    assert both(stranger, server, 80) == "silent"
    weft("group", "rule", "rm", "web", "allow ingress tcp 80 from group:ops")
    assert connection.use() == "silent"


def looks(api: Client) -> tuple[int, int]:
    """How often weftd has looked at the kernel, and found anything to mend."""
    found = api.get(FactsInfo, "facts").reconcile
    return found.run_count, found.repaired_count


_MAPS = (
    *("port_rules_v1", "current_v1", "subjects_v1", "heads_v1", "spans_v1", "identities_v1"),
    *("atom_sets_v1", "rules_v1", "symbols_v1", "generations_v1"),
)


def policy_maps(host: LabHost) -> dict[str, str]:
    """What they hold."""
    dump = "bpftool map dump pinned /sys/fs/bpf/weft/maps/{} | grep -v '00 00 00 00 00 00 00 00$'"
    return {name: host.run(["sh", "-c", dump.format(name)]) for name in _MAPS}
