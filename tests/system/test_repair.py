"""What somebody breaks is put right: exactly that, at the next look or the next start."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.system.workload import NewNetwork, NewWorkload, Workload, until
from weft.api.client import Client
from weft.api.schema import NetworkInfo, PortList, ProblemList
from weft.lab.host import LabHost

pytestmark = pytest.mark.root
Break = Callable[[LabHost, Workload, Workload], None]


@pytest.fixture
def network(new_network: NewNetwork) -> NetworkInfo:
    return new_network()


@pytest.fixture
def two_workloads(network: NetworkInfo, new_workload: NewWorkload) -> tuple[Workload, Workload]:
    one, two = new_workload(network), new_workload(network)
    assert one.reaches(two.address4)
    return one, two


def delete_filter(host: LabHost, one: Workload, two: Workload) -> None:
    host.run(["tc", "filter", "del", "dev", one.device, "ingress"])


def delete_qdisc(host: LabHost, one: Workload, two: Workload) -> None:
    host.run(["tc", "qdisc", "del", "dev", one.device, "clsact"])


def set_device_down(host: LabHost, one: Workload, two: Workload) -> None:
    host.run(["ip", "link", "set", one.device, "down"])


def remove_map_pin(host: LabHost, one: Workload, two: Workload) -> None:
    host.run(["rm", "/sys/fs/bpf/weft/maps/addresses_v1"])


def remove_all_pins(host: LabHost, one: Workload, two: Workload) -> None:
    host.run(["rm", "-r", "/sys/fs/bpf/weft/maps", "/sys/fs/bpf/weft/programs"])


def empty_map(host: LabHost, one: Workload, two: Workload) -> None:
    path = "/sys/fs/bpf/weft/maps/ports_v1"
    for entry in json.loads(host.run(["bpftool", "-j", "map", "dump", "pinned", path])):
        key = entry.get("key", [])
        host.run(["bpftool", "map", "delete", "pinned", path, "key", "hex", *map(_byte, key)])


def _byte(text: str) -> str:
    return text.removeprefix("0x")


def flush_rules(host: LabHost, one: Workload, two: Workload) -> None:
    host.run(["nft", "flush", "ruleset"])


def delete_host_pair(host: LabHost, one: Workload, two: Workload) -> None:
    host.run(["ip", "link", "del", "weft0"])


def delete_host_device(host: LabHost, one: Workload, two: Workload) -> None:
    host.run(["ip", "link", "del", one.device])


DAMAGES: list[Break] = [
    delete_filter,
    delete_qdisc,
    set_device_down,
    remove_map_pin,
    remove_all_pins,
    empty_map,
    flush_rules,
    delete_host_pair,
    delete_host_device,
]


def is_sound(one: Workload, two: Workload, outside: tuple[str, str]) -> bool:
    """Whether everything works between two workloads and to the outside."""
    near = all(one.reaches(address) for address in (two.address4, two.address6))
    return near and all(one.reaches(address) for address in outside) and two.reaches(one.address4)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("is_running", [True, False], ids=["running", "stopped"])
def test_damage_is_repaired(
    host: LabHost,
    two_workloads: tuple[Workload, Workload],
    outside: tuple[str, str],
    damage: Break,
    is_running: bool,
    api: Client,
) -> None:
    one, two = two_workloads
    if not is_running:
        host.kill_weftd()
    damage(host, one, two)
    host.start_weftd()
    until("everything works again", lambda: is_sound(one, two, outside), timeout_s=15)
    until("no problem is left", lambda: not api.get(ProblemList, "problems").problems)


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
        delete_filter(host, one, two)
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
