"""``weft down --purge`` removes all that Weft made, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.system.workload import PATIENCE, Workload, add_network, until
from weft.api.client import Client
from weft.lab.host import LabHost, weft_command
from weft.lab.lab import Lab

pytestmark = pytest.mark.root


@pytest.fixture
def fresh() -> Iterator[LabHost]:
    """A host on which weftd never ran."""
    lab = Lab(f"purge-{os.getpid()}")
    try:
        lab.up(1, has_weftd=False)
        h1 = lab.host("h1")
        h1.run(["mkdir", "-p", "/etc/docker"])  # Docker's own
        yield h1
    finally:
        lab.down()


def kernel_state(host: LabHost) -> dict[str, list[str]]:
    """All in the kernel and on disk by which a host may be told from another, line by line."""
    until("addresses settled", lambda: "tentative" not in host.run(["ip", "address"]))
    commands = {
        "links": "ip -o link | cut -d' ' -f2-",
        "addresses": "ip -o address | cut -d' ' -f2-",
        "routes": "ip route show table all; ip -6 route show table all",
        "policy": "ip rule; ip -6 rule",
        "neighbours": "ip neigh show dev lo",
        "rules": "nft list ruleset",
        "pins": "find /sys/fs/bpf -name '*weft*'",
        "run": "find /run -name 'weft*'",
        "docker": "find /etc/docker /run/docker 2>/dev/null; true",
        "mounts": "cut -d' ' -f1-3 /proc/self/mounts | grep -w bpf | grep -v /tmp/; true",
        "sysctls": "sysctl -a 2>/dev/null | grep -E 'ip_forward|forwarding|route_localnet'",
    }
    return {what: host.run(["sh", "-c", line]).splitlines() for what, line in commands.items()}


@pytest.mark.smoke
def test_purge_leaves_nothing(fresh: LabHost) -> None:
    fresh.run(["iptables", "-A", "FORWARD", "-j", "ACCEPT"])
    fresh.run(["iptables", "-P", "FORWARD", "DROP"])
    fresh.run(["ip6tables", "-P", "FORWARD", "DROP"])
    fresh.run(["nft", "add table inet stranger { chain c { counter accept; }; }"])
    fresh.run(["ip", "netns", "add", "sentinel"])
    before = kernel_state(fresh)
    fresh.configure({"reconcile_s": 1.0})
    fresh.start_weftd()
    api = Client(fresh.api_socket, timeout_s=20 * PATIENCE)
    network = add_network(api, "foo", ["10.79.0.0/24", "fd79::/64"])
    workloads = [Workload(fresh, api, name) for name in ("one", "two")]
    for workload in workloads:
        workload.attach(network)
    assert workloads[0].reaches(workloads[1].address4)
    fresh.run([*weft_command(), "expose", "foo"])
    for workload in workloads:
        fresh.run(["ip", "netns", "delete", workload.name])
    process = fresh.weftd
    assert process is not None
    fresh.run([*weft_command(), "down", "--purge"])
    assert not process.is_running
    for what, lines in kernel_state(fresh).items():
        assert lines == before[what]
    assert not any((fresh.layout.state / "weft").glob("*.db*"))
    fresh.run([*weft_command(), "down", "--purge"])
    assert kernel_state(fresh) == before


def test_purge_after_a_kill_and_twice_over(fresh: LabHost) -> None:
    fresh.run(["umount", "/sys/fs/bpf"])  # so that weftd mounts it
    before = kernel_state(fresh)
    fresh.configure({})
    fresh.start_weftd()
    add_network(Client(fresh.api_socket), "foo", ["10.79.0.0/24"])
    fresh.kill_weftd()
    fresh.run([*weft_command(), "down", "--purge"])
    assert kernel_state(fresh) == before
