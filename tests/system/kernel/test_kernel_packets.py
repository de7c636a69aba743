"""From records to packets: what the programs do on maps that the records have filled.

The packet tables of tests/bpf fill maps by hand, and the property tests of rows use the same
functions both ways; a wrong row is seen here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from tests.bpf import overlay, wire
from tests.bpf.test_routing import frame
from tests.bpf.test_switching import udp4, udp6
from tests.bpf.world import WEFT0_MAC, Outcome, Workload, World
from tests.system.kernel.conftest import run
from tests.system.kernel.test_kernel_sink import (
    FOO,
    HOST,
    INNER,
    OTHER,
    port,
    rows_of,
    settle,
)
from weft.config import Settings
from weft.engine.ebpf.sink import Sink
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import MacAddress, SubnetId
from weft.model.records import AllowedAddress, Network, Port, Subnet
from weft.model.service_addresses import GATEWAY_MAC

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("addresses")]

OUTSIDE = "198.51.100.7"
GROUP, MAC_OF_ITS_OWN = "239.1.1.1", "02:00:00:00:01:07"
SECOND = Subnet(
    id=SubnetId("4" * 16),
    cidr=ip_network("10.7.0.0/24"),
    network_id=FOO.id,
    gateway=ip_address("10.7.0.1"),
)


def workload(number: int, network: Network = FOO, ipv4: str = "", ipv6: str = "") -> Workload:
    """The sender behind `port(number, …)`."""
    return Workload(
        f"weft{number:011x}",
        network.vni,
        f"02:00:00:00:00:{number:02x}",
        ipv4 or f"10.5.0.{number + 1}",
        ipv6 or f"fd05::{number + 1}",
    )


ANN, BOB, EVE, IDA = workload(1), workload(2), workload(4), workload(7)
CYD = workload(3, ipv4="10.7.0.4")
INA, IVO = (workload(number, INNER, f"10.6.0.{number + 1}") for number in (6, 10))
FAR = workload(8)


def ports() -> list[Port]:
    """Of all kinds that make a difference to a packet."""
    by_mac = AllowedAddress(cidr=ip_network("10.5.0.128/26"), mac=MacAddress(MAC_OF_ITS_OWN))
    return [
        port(1),
        port(2, multicast_groups=(ip_address(GROUP),)),
        port(3, addresses=(ip_address(CYD.ipv4),)),
        port(4, is_spoof_checked=False),
        port(6, INNER),
        port(10, INNER),
        port(
            7,
            addresses=tuple(map(ip_address, (IDA.ipv4, "10.5.0.9", IDA.ipv6))),
            allowed=(AllowedAddress(cidr=ip_network("10.5.0.192/26")), by_mac),
        ),
        port(8, host_id=OTHER.id),
    ]


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """All of it in force, and the programs at hand."""
    sink = Sink(settings, HOST.id)
    try:
        sink.start()
        settle(sink, rows_of(SECOND, OTHER, *ports()))
        links = (line.split(":") for line in run("ip -o link").splitlines())
        ifindexes = {name.split("@")[0].strip(): int(index) for index, name, *_ in links}
        assert sink._plane is not None
        yield World(sink._plane, {**ifindexes, "uplink": ifindexes["up9"]})
    finally:
        sink.purge()


class Case(NamedTuple):
    """What is sent, and what becomes of it."""

    sender: Workload
    packet: bytes
    target: str
    reason: str = ""


def from_(sender: Workload, source: str, mac: str = "") -> bytes:
    """To Bob, from another address."""
    packet = udp4(sender._replace(ipv4=source), BOB)
    return packet[:6] + wire.mac_bytes(mac or sender.mac) + packet[12:]


def by_gateway(sender: Workload, destination: str) -> bytes:
    return frame(GATEWAY_MAC, sender.mac, sender, destination, 64)


def to_group(group: str) -> bytes:
    segment = wire.udp(ANN.ipv4, group, (4000, 5000))
    packet = wire.ipv4(ANN.ipv4, group, wire.UDP, segment)
    return wire.ether(wire.multicast_mac(group), ANN.mac, wire.IPV4, packet)


CASES: Mapping[str, Case] = {
    "to a neighbour": Case(ANN, udp4(ANN, BOB), BOB.device),
    "to a neighbour by IPv6": Case(ANN, udp6(ANN, BOB), BOB.device),
    "to a neighbour of an internal network": Case(INA, udp4(INA, IVO), IVO.device),
    "to another host": Case(ANN, udp4(ANN, FAR), "weftx"),
    "to another subnet": Case(ANN, by_gateway(ANN, CYD.ipv4), CYD.device),
    "outside": Case(ANN, by_gateway(ANN, OUTSIDE), "weft0"),
    "outside by IPv6": Case(ANN, by_gateway(ANN, "2001:db8:5::7"), "weft0"),
    "outside from an internal network": Case(INA, by_gateway(INA, OUTSIDE), "", "internal"),
    "to another network": Case(ANN, by_gateway(ANN, INA.ipv4), "", "isolated"),
    "to nobody": Case(ANN, by_gateway(ANN, "10.5.0.77"), "", "unknown_address"),
    "from an address of nobody": Case(ANN, from_(ANN, "10.5.0.99"), "", "spoofed_address"),
    "from a MAC of nobody": Case(ANN, from_(ANN, ANN.ipv4, BOB.mac), "", "spoofed_mac"),
    "unchecked": Case(EVE, from_(EVE, "10.5.0.99"), BOB.device),
    "from a further address": Case(IDA, from_(IDA, "10.5.0.9"), BOB.device),
    "from an allowed prefix": Case(IDA, from_(IDA, "10.5.0.200"), BOB.device),
    "with the allowed MAC": Case(IDA, from_(IDA, "10.5.0.130", MAC_OF_ITS_OWN), BOB.device),
    "without it": Case(IDA, from_(IDA, "10.5.0.130"), "", "spoofed_address"),
    "another's allowed prefix": Case(ANN, from_(ANN, "10.5.0.200"), "", "spoofed_address"),
    "to a group that nobody joined": Case(ANN, to_group("239.9.9.9"), "", "no_member"),
    "too big": Case(ANN, udp4(ANN, BOB, data=bytes(1400)), ANN.device, "too_big"),
}


def test_what_ports_send(world: World) -> None:
    wrong = {}
    for name, case in CASES.items():
        target, reason, _ = world.send(case.sender, case.packet)
        if (target, reason) != (case.target, case.reason):
            wrong[name] = (target, reason)
    assert not wrong


def test_who_is_asked_for_has_the_right_mac(world: World) -> None:
    macs = {BOB.ipv4: BOB.mac, FAR.ipv4: FAR.mac, "10.5.0.1": GATEWAY_MAC, "10.5.0.9": IDA.mac}
    for address, mac in macs.items():
        answer = wire.arp(2, mac, address, ANN.ipv4, ANN.mac, destination=ANN.mac)
        question = wire.arp(1, ANN.mac, ANN.ipv4, address)
        assert world.send(ANN, question) == Outcome(ANN.device, "", answer)
    nobody = wire.arp(1, ANN.mac, ANN.ipv4, "10.5.0.77")
    # Somebody's port may have any address, and so may be asked.
    assert world.send(ANN, nobody)[:2] == ("", "")


@pytest.mark.parametrize("target", [BOB, CYD, INA], ids=["neighbour", "subnet", "internal"])
def test_what_the_host_sends(world: World, target: Workload) -> None:
    host = Workload("weft1", 0, WEFT0_MAC, "192.0.2.10", "2001:db8::10")
    packet = frame(WEFT0_MAC, WEFT0_MAC, host, target.ipv4, 64)
    assert world.send_from_host(packet)[:2] == (target.device, "")


def test_what_other_hosts_send(world: World) -> None:
    def arrives(source: str, vni: int, frame: bytes) -> tuple[str, str]:
        packet = overlay.outer(source, str(HOST.underlay[0]), overlay.vxlan(vni, frame))
        return world.arrive(packet)[:2]

    there = str(OTHER.underlay[0])
    assert arrives(there, FOO.vni, udp4(FAR, ANN)) == (ANN.device, "")
    assert arrives(there, INNER.vni, udp4(FAR, ANN)) == ("", "unknown_mac")
    assert arrives(there, 77, udp4(FAR, ANN)) == ("", "unknown_vni")
    assert arrives("192.0.2.66", FOO.vni, udp4(FAR, ANN)) == ("", "unknown_peer")
