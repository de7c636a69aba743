"""What somebody breaks is put right: exactly that, at the next look or the next start."""

from __future__ import annotations

import subprocess
from typing import NamedTuple

import pytest

from tests import families
from tests.system.test_command_line import checks
from tests.system.workload import NewNetwork, NewWorkload, Workload, until
from weft.api.client import Client
from weft.api.schema import NetworkInfo, PortList, ProblemList
from weft.lab.host import LabHost

pytestmark = pytest.mark.root


@pytest.fixture
def network(new_network: NewNetwork) -> NetworkInfo:
    return new_network()


@pytest.fixture
def two_workloads(network: NetworkInfo, new_workload: NewWorkload) -> tuple[Workload, Workload]:
    one, two = new_workload(network), new_workload(network)
    assert one.reaches(two.address4)
    return one, two


class Damage(NamedTuple):
    """What is done, and a command that succeeds only while it is not done; shell, $DEVICE known."""

    name: str
    command: str
    witness: str


BPF = "/sys/fs/bpf/weft"
PORTS = f"{BPF}/maps/ports_v2"
BERTH = """$(python3 -c 'import sys; print(*(int(sys.argv[1]) - 0x570000).to_bytes(4, "little"))' \
    $(ip -o link show dev $DEVICE | cut -d: -f1))"""
DAMAGES = [
    Damage(
        "filter",
        "tc filter del dev $DEVICE ingress",
        "tc filter show dev $DEVICE ingress | grep from_port",
    ),
    Damage(
        "qdisc",
        "tc qdisc del dev $DEVICE clsact",
        "tc filter show dev $DEVICE ingress | grep from_port",
    ),
    Damage(
        "link down",
        "ip link set $DEVICE down",
        "ip link show up dev $DEVICE | grep $DEVICE",
    ),
    Damage("map pin", f"rm {BPF}/maps/addresses_v1", f"test -e {BPF}/maps/addresses_v1"),
    Damage(
        "all pins",
        f"rm -r {BPF}/maps {BPF}/programs",
        f"test -e {PORTS} && ls {BPF}/programs/from_port*",
    ),
    Damage(
        "map",
        f"bpftool map update pinned {PORTS} key {BERTH} value {'0 ' * 64}",
        f"bpftool -j map lookup pinned {PORTS} key {BERTH} | grep '\"vni\":[1-9]'",
    ),
    Damage("rules", "nft flush ruleset", "nft list table inet weft | grep masquerade"),
    Damage("table", "nft delete table inet weft", "nft list table inet weft | grep masquerade"),
    Damage("host pair", "ip link del weft0", "ip link show weft0"),
    Damage("host route", "ip route flush dev weft0", "ip route show dev weft0 | grep 10.77"),
    Damage("device", "ip link del $DEVICE", "ip link show $DEVICE"),
]
NAMES = [damage.name.replace(" ", "-") for damage in DAMAGES]


def succeeds(host: LabHost, device: str, command: str) -> bool:
    """Whether a shell command on the host does."""
    line = [*host.enter, "env", f"DEVICE={device}", "sh", "-c", command]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


def is_sound(one: Workload, two: Workload, outside: tuple[str, str]) -> bool:
    """Whether everything works between two workloads and to the outside."""
    near = all(one.reaches(address) for address in (two.address4, two.address6))
    return near and all(one.reaches(address) for address in outside) and two.reaches(one.address4)


@pytest.mark.parametrize("damage", families.of(DAMAGES, ids=NAMES))
@pytest.mark.parametrize("is_running", [True, False], ids=["running", "stopped"])
def test_damage_is_repaired(
    host: LabHost,
    network: NetworkInfo,
    two_workloads: tuple[Workload, Workload],
    new_workload: NewWorkload,
    outside: tuple[str, str],
    damage: Damage,
    is_running: bool,
    api: Client,
) -> None:
    one, two = two_workloads
    assert succeeds(host, one.device, damage.witness)
    if not is_running:
        host.kill_weftd()
    assert succeeds(host, one.device, damage.command)
    if not is_running:
        assert not succeeds(host, one.device, damage.witness)
        host.start_weftd()
    until("it is repaired", lambda: succeeds(host, one.device, damage.witness))
    until("everything works again", lambda: is_sound(one, two, outside), timeout_s=15)
    until("no problem is left", lambda: not api.get(ProblemList, "problems").problems)
    assert new_workload(network).reaches(one.address4)


def test_forwarding_that_others_switch_off_is_put_back_at_once_and_told(
    host: LabHost, two_workloads: tuple[Workload, Workload], outside: tuple[str, str], api: Client
) -> None:
    names = {"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"}

    def told() -> set[str]:
        problems = api.get(ProblemList, "problems").problems
        return {each.name for each in problems if each.kind == "setting"}

    try:
        host.run(["sysctl", "-qw", *(f"{name}=0" for name in sorted(names))])
        until("it is told", lambda: told() == names, timeout_s=15)
        until("everything works again", lambda: is_sound(*two_workloads, outside), timeout_s=15)
        assert checks(host)["setting net.ipv4.ip_forward"]["state"] == "warning"
    finally:
        host.kill_weftd()
        host.start_weftd()
    assert told() == set()


@pytest.mark.smoke
def test_repair_leaves_the_sound_alone(
    host: LabHost, two_workloads: tuple[Workload, Workload], outside: tuple[str, str]
) -> None:
    """Only the damaged filter is made anew; rules and devices of others stay as they are."""
    one, two = two_workloads
    host.run(["nft", "add table inet stranger { chain c { counter accept; }; }"])
    host.run(["ip", "link", "add", "stranger0", "type", "veth", "peer", "name", "stranger1"])
    try:
        before = host.run(["ip", "-brief", "link", "show", two.device])
        rules = host.run(["nft", "list", "table", "inet", "stranger"])
        host.run(["tc", "filter", "del", "dev", one.device, "ingress"])
        until("everything works again", lambda: is_sound(one, two, outside), timeout_s=15)
        assert host.run(["ip", "-brief", "link", "show", two.device]) == before
        assert host.run(["nft", "list", "table", "inet", "stranger"]) == rules
        assert "stranger0" in host.run(["ip", "-brief", "link"])
    finally:
        host.run(["nft", "delete", "table", "inet", "stranger"])
        host.run(["ip", "link", "del", "stranger0"])


def test_a_dead_workloads_port_goes(
    host: LabHost, network: NetworkInfo, new_workload: NewWorkload, api: Client
) -> None:
    """Its namespace is gone, and with it the veth; its address comes back."""
    dead = new_workload(network)
    address = dead.address4
    device = dead.device
    host.run(["ip", "netns", "delete", dead.name])
    try:
        until("the port is gone", lambda: not api.get(PortList, "ports").ports, timeout_s=15)
        assert device not in host.run(["ip", "-brief", "link"])
    finally:
        host.run(["ip", "netns", "add", dead.name])
    until("its address rested", lambda: _takes(new_workload, network, address), timeout_s=10)


def _takes(new_workload: NewWorkload, network: NetworkInfo, address: str) -> bool:
    return new_workload(network, addresses=(address,)).address4 == address


def test_stray_devices_of_ours_are_removed(
    host: LabHost, network: NetworkInfo, new_workload: NewWorkload
) -> None:
    """A half-made port: a pair with our name that no record knows."""
    workload = new_workload(network)
    stray = ("weft0123456789a", "wefc0123456789a")
    host.run(["ip", "link", "add", stray[0], "type", "veth", "peer", "name", stray[1]])
    until("it is gone", lambda: stray[0] not in host.run(["ip", "-brief", "link"]), timeout_s=15)
    assert workload.device in host.run(["ip", "-brief", "link"])
