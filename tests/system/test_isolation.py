"""Nobody gets out of its network, or says that it is somebody else."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.system.frames import (
    BROADCAST,
    arp,
    icmp6,
    neighbour_advertisement,
    router_advertisement,
    udp,
)
from tests.system.workload import NewNetwork, NewWorkload, Workload, gateway
from weft.api.schema import NetworkInfo
from weft.model.addresses import link_local_from_mac
from weft.model.ids import MacAddress
from weft.model.records import AllowedAddress

pytestmark = pytest.mark.root
MARKER = b"the last one that matters"
GATEWAY_MAC = "0a:57:45:46:54:01"


@pytest.fixture
def network(new_network: NewNetwork) -> NetworkInfo:
    return new_network()


def arrives(frame: bytes, sender: Workload, receiver: Workload, friend: Workload) -> bool:
    """Whether a frame gets to the receiver; `friend` is on the receiver's network."""
    listener = receiver.listen(MARKER)
    sender.send(frame)
    friend.send(udp(friend.mac, receiver.mac, friend.address4, receiver.address4, MARKER))
    return frame[14:] in [heard[14:] for heard in listener.frames()]


@pytest.mark.smoke
def test_networks_do_not_reach_each_other(
    network: NetworkInfo, new_network: NewNetwork, new_workload: NewWorkload
) -> None:
    one, other = new_workload(network), new_workload(new_network())
    before = one.drops("isolated")
    assert not one.reaches(other.address4)
    assert not one.reaches(other.address6)
    assert one.drops("isolated") >= before + 2


def test_a_frame_to_another_networks_mac_does_not_arrive(
    network: NetworkInfo, new_network: NewNetwork, new_workload: NewWorkload
) -> None:
    foreign = new_network()
    sender, victim, friend = new_workload(network), new_workload(foreign), new_workload(foreign)
    for source, target in ((sender.address4, victim.address4), (sender.address6, victim.address6)):
        for mac in (victim.mac, GATEWAY_MAC, BROADCAST):
            frame = udp(sender.mac, mac, source, target, b"over the wall")
            assert not arrives(frame, sender, victim, friend), (mac, target)


@pytest.mark.smoke
def test_forged_sources_do_not_arrive_and_are_counted(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    sender, victim, friend = (new_workload(network) for _ in range(3))
    forged = {
        "spoofed_mac": [
            udp(friend.mac, victim.mac, sender.address4, victim.address4, b"his MAC"),
            udp("02:00:00:00:00:01", victim.mac, sender.address6, victim.address6, b"no MAC"),
        ],
        "spoofed_address": [
            udp(sender.mac, victim.mac, friend.address4, victim.address4, b"his address"),
            udp(sender.mac, victim.mac, friend.address6, victim.address6, b"his other address"),
            udp(sender.mac, victim.mac, gateway(network), victim.address4, b"the gateway's"),
            udp(sender.mac, victim.mac, "8.8.8.8", victim.address4, b"somebody's"),
            arp(sender.mac, sender.mac, friend.address4, victim.address4),
            arp(sender.mac, sender.mac, gateway(network), gateway(network)),
            arp(sender.mac, sender.mac, friend.address4, friend.address4, operation=2),
        ],
    }
    for reason, frames in forged.items():
        for frame in frames:
            before = sender.drops(reason)
            assert not arrives(frame, sender, victim, friend), frame
            assert sender.drops(reason) == before + 1, (reason, frame)
    assert friend.reaches(victim.address4)


def test_false_neighbours_and_routers_do_not_arrive(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    """What poisons a neighbour's table or routes (CVE-2020-11091 was the latter)."""
    sender, victim, friend = (new_workload(network) for _ in range(3))
    own = str(link_local_from_mac(sender.mac))
    lie = neighbour_advertisement(sender.mac, friend.address6)
    routers_lie = neighbour_advertisement(sender.mac, gateway(network, 6))
    forged = [
        icmp6(sender.mac, victim.mac, own, victim.address6, lie),
        icmp6(sender.mac, "33:33:00:00:00:01", own, "ff02::1", lie),
        icmp6(sender.mac, "33:33:00:00:00:01", sender.address6, "ff02::1", routers_lie),
        icmp6(sender.mac, "33:33:00:00:00:01", own, "ff02::1", router_advertisement()),
        icmp6(sender.mac, victim.mac, own, victim.address6, router_advertisement()),
    ]
    for frame in forged:
        before = sum(sender.counters().drops.values())
        assert not arrives(frame, sender, victim, friend), frame
        assert sum(sender.counters().drops.values()) == before + 1
    assert own not in victim.run("ip", "-6", "route", "show", "default")


def test_allowed_addresses_are_let_through_and_others_not(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    allowed = (
        AllowedAddress(cidr=ip_network("203.0.113.0/28")),
        AllowedAddress(cidr=ip_network("2001:db8:1::/64"), mac=MacAddress("02:11:22:33:44:55")),
    )
    sender = new_workload(network, allowed=allowed)
    victim, friend = new_workload(network), new_workload(network)

    def passes(mac: str, source: str, target: str) -> bool:
        return arrives(udp(mac, victim.mac, source, target, b"extra"), sender, victim, friend)

    assert passes(sender.mac, sender.address4, victim.address4)
    assert passes(sender.mac, "203.0.113.15", victim.address4)
    assert not passes(sender.mac, "203.0.113.16", victim.address4)
    assert passes("02:11:22:33:44:55", "2001:db8:1::7", victim.address6)
    assert not passes("02:11:22:33:44:55", "2001:db8:2::7", victim.address6)
    assert not passes(sender.mac, "2001:db8:1::7", victim.address6)


def test_without_the_spoof_check_any_source_passes(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    sender = new_workload(network, is_spoof_checked=False)
    victim, friend = new_workload(network), new_workload(network)
    frame = udp("02:de:ad:be:ef:00", victim.mac, "203.0.113.9", victim.address4, b"routed")
    assert arrives(frame, sender, victim, friend)


def test_an_internal_network_has_no_outside(
    new_network: NewNetwork, new_workload: NewWorkload, outside: tuple[str, str]
) -> None:
    network = new_network(is_internal=True)
    one, two = new_workload(network), new_workload(network)
    assert one.reaches(two.address4)
    assert one.reaches(two.address6)
    before = one.drops("internal")
    for address in outside:
        assert not one.reaches(address)
        one.try_run("ip", "route", "replace", "default", "via", gateway(network))
        one.try_run("ip", "-6", "route", "replace", "default", "via", gateway(network, 6))
        assert not one.reaches(address)
    assert one.drops("internal") > before


def test_a_workload_does_not_reach_its_host(
    network: NetworkInfo, new_workload: NewWorkload, new_network: NewNetwork
) -> None:
    one = new_workload(network)
    for address in ("169.254.53.53", "fd77:6566:7400::53"):
        assert not one.reaches(address)
