"""Ports of one network on two hosts, over underlays of either family."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests import families
from tests.system import overlay as world
from tests.system.overlay import FOO, Overlay, port_on
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import Workload, until
from weft.kernel.bpf.layouts import DropReason
from weft.model.addresses import ip_address
from weft.model.ids import host_place_id
from weft.model.records import ForgottenHost, MulticastMembership, Owner
from weft.store.interface import Put

pytestmark = pytest.mark.root

GROUPS = Path(__file__).with_name("groups.py")
UNDERLAYS = {
    "IPv4": ("192.0.2.1/24", "192.0.2.2/24"),
    "IPv6": ("2001:db8::1/64", "2001:db8::2/64"),
}


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    with world.made(tmp_path) as made:
        yield made


@pytest.fixture(params=families.of(["push", "device"]))
def encapsulation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pair(
    overlay: Overlay, underlay: str = "IPv4", encapsulation: str = "push"
) -> tuple[OverlayHost, OverlayHost]:
    """Two hosts on one switch, started."""
    switch = overlay.switch()
    one, two = (overlay.host(switch, address) for address in UNDERLAYS[underlay])
    for host in (one, two):
        host.settings = msgspec.structs.replace(host.settings, encapsulation=encapsulation)
    overlay.start()
    return one, two


@pytest.mark.smoke
@pytest.mark.parametrize("underlay", families.of(UNDERLAYS))
def test_ports_on_two_hosts_reach_each_other(
    overlay: Overlay, underlay: str, encapsulation: str
) -> None:
    one, two = pair(overlay, underlay, encapsulation)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    for version in (4, 6):
        a.reaches(b, version)
        a.transfers(b, version)
        b.transfers(a, version)
    assert one.failures() == two.failures() == []


def test_the_first_packet_to_another_host_arrives(overlay: Overlay) -> None:
    one, two = pair(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    assert a.pings(b) and b.pings(a) and a.pings(b, 6)
    assert a.pings(b, times=20)


def test_a_port_in_another_subnet_on_another_host_is_routed_to(overlay: Overlay) -> None:
    one, two = pair(overlay)
    a = overlay.workload(one, 10)
    b = overlay.workload(two, 11, addresses=(ip_address("10.6.0.11"),))
    a.reaches(b)
    assert "ttl=63" in a.run("ping -n -c 1 10.6.0.11")


def test_a_workload_that_moves_is_reached_at_its_new_host_at_once(overlay: Overlay) -> None:
    one, two = pair(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(one, 11)
    a.reaches(b)
    moved = overlay.namespace("moved")
    overlay.write(port_on(two, moved, 11))
    b = Workload(moved, port_on(two, moved, 11))
    assert a.pings(b) and a.pings(b, 6)
    a.transfers(b)


def test_an_engine_that_stops_takes_no_packet_along(overlay: Overlay) -> None:
    one, two = pair(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    one.stop()
    two.stop()
    assert a.pings(b, times=30)
    one.start()
    two.start()
    assert a.pings(b, times=30)


def test_the_hosts_own_place_on_a_network_is_reached_from_another_host(overlay: Overlay) -> None:
    one, two = pair(overlay)
    a = overlay.workload(one, 10)
    place = port_on(two, two.name, 12, device=None, owner=Owner(frontend="host"))
    place = msgspec.structs.replace(place, id=host_place_id(two.id, FOO.id))
    overlay.write(place)
    until(lambda: a.pings(Workload(two.name, place)), "the host's place does not answer")
    two.run(f"ping -n -c 1 -W 2 {a.address(4)}")


def test_broadcast_reaches_ports_on_other_hosts(overlay: Overlay) -> None:
    one, two = pair(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    b.run("sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0")
    until(
        lambda: "10.5.0.11" in a.run("ping -n -b -c 2 -i 0.2 -W 1 10.5.0.255 || true"),
        "no answer to a broadcast",
    )


@pytest.mark.parametrize("underlay", families.of(UNDERLAYS))
def test_a_group_reaches_its_members_on_another_host(
    overlay: Overlay, underlay: str, encapsulation: str
) -> None:
    one, two = pair(overlay, underlay, encapsulation)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    groups = (ip_address("239.1.2.3"), ip_address("ff05::1:2:3"))
    overlay.write(
        MulticastMembership(
            id=b.port.id, network_id=FOO.id, host_id=two.id, multicast_groups=groups
        ),
        msgspec.structs.replace(a.port, multicast_groups=groups),
    )
    b.run("sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0")
    with contextlib.ExitStack() as stack:
        for group in groups:
            words = [sys.executable, str(GROUPS), "hear", "eth0", str(group)]
            words = ["nsenter", f"--net=/run/netns/{b.name}", *words]
            ear = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            stack.callback(ear.communicate)
            stack.callback(ear.kill)
            assert ear.stdout is not None and ear.stdout.readline() == "listening\n"
        for group in groups:
            mine = b.address(group.version)
            ping = f"ping -n -I eth0 -c 2 -i 0.2 -W 1 {group} || true"
            until(lambda mine=mine, ping=ping: mine in a.run(ping), f"{group} is silent")  # type: ignore[misc]
    assert one.drops(DropReason.DROP_NO_MEMBER) == two.drops(DropReason.DROP_NO_MEMBER) == 0


def test_a_host_that_changes_its_address_is_reached_at_the_new_one(overlay: Overlay) -> None:
    one, two = pair(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    two.run("ip addr del 192.0.2.2/24 dev up0; ip addr add 192.0.2.22/24 dev up0")
    two.addresses = ["192.0.2.22/24"]
    overlay.write(two.record)
    a.reaches(b)


def test_a_host_that_nobody_knows_any_more_is_not_heard(overlay: Overlay) -> None:
    one, two = pair(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    one.write(Put(ForgottenHost(id=two.id)))
    assert not a.pings(b) and not b.pings(a)
    assert one.drops(DropReason.DROP_UNKNOWN_PEER) > 0
