"""Two networks and a router between them, as records, compiled and in force; and connections that
stand."""

from __future__ import annotations

from ipaddress import ip_network
from typing import NamedTuple

from msgspec.structs import replace

from tests.bpf import wire
from tests.bpf.enforced import HERE, THERE, Enforced
from tests.bpf.judged import ACK
from tests.bpf.overlay import FAR
from tests.bpf.world import ANN, BLUE, BOB, CYD, DAN, INA, RED, Outcome, Workload
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import FlowFlag, FlowKind
from weft.model.addresses import ip_address
from weft.model.ids import (
    GroupId,
    MacAddress,
    NetworkId,
    PortId,
    RouterId,
    RouterPortId,
    RouterRouteId,
    SubnetId,
    Vni,
)
from weft.model.records import (
    Host,
    Network,
    Owner,
    Port,
    Record,
    Router,
    RouterPort,
    RouterRoute,
    SecurityGroup,
    Subnet,
    Veth,
)
from weft.model.service_addresses import GATEWAY_MAC
from weft.store.interface import Change, Delete, Put

R, B = NetworkId("red"), NetworkId("blue")
R1, R2 = RouterId("r1"), RouterId("r2")
ALL = GroupId("00000000-0000-4000-8000-000000000001")
BEYOND = {4: "192.0.2.9", 6: "2001:db8::9"}
PREFIX = {4: "192.0.2.0/24", 6: "2001:db8::/32"}
IDA = Workload("", BLUE, "02:00:00:00:01:55", "10.2.0.55", "fd00:2::55")
"""On another host, on the other network."""
EVE = INA._replace(vni=BLUE, ipv4="10.2.0.16", ipv6="fd00:2::16")
"""Beside Dan."""
HERE_ONES, THERE_ONES = (ANN, BOB, CYD, DAN, EVE), (FAR, IDA)


class Way(NamedTuple):
    """Of a packet."""

    sender: Workload
    destination: str
    hop_limit: int = 64
    size: int = 0
    mac: str = GATEWAY_MAC
    protocol: int = wire.TCP
    ports: tuple[int, int] = (4000, 80)
    source: str = ""

    @property
    def from_address(self) -> str:
        return self.source or address(self.sender, 6 if ":" in self.destination else 4)

    @property
    def packet(self) -> bytes:
        ends = self.from_address, self.destination
        if self.protocol == wire.TCP:
            body = wire.tcp(*ends, self.ports, bytes(self.size), ACK)
        else:
            body = wire.udp(*ends, self.ports, bytes(self.size))
        if ":" not in self.destination:
            packet = wire.ipv4(*ends, self.protocol, body, ttl=self.hop_limit)
            return wire.ether(self.mac, self.sender.mac, wire.IPV4, packet)
        packet = wire.ipv6(*ends, self.protocol, body, hop_limit=self.hop_limit)
        return wire.ether(self.mac, self.sender.mac, wire.IPV6, packet)


def address(workload: Workload, version: int) -> str:
    return workload.ipv4 if version == 4 else workload.ipv6


def port(workload: Workload, **facts: object) -> Port:
    known = Port(
        id=PortId(workload.mac),
        network_id=R if workload.vni == RED else B,
        host_id=HERE if workload.device else THERE,
        mac=MacAddress(workload.mac),
        slot=int(workload.mac[-2:], 16),
        addresses=(ip_address(workload.ipv4), ip_address(workload.ipv6)),
        device=Veth(ifname=workload.device or "weft1234567890", peer_ifname="eth0"),
        groups=(ALL,),
        owner=Owner(frontend="cli"),
    )
    return replace(known, **facts)


def subnet(network: NetworkId, cidr: str, gateway: str = "") -> Subnet:
    return Subnet(
        id=SubnetId(cidr),
        cidr=ip_network(cidr),
        network_id=network,
        gateway=ip_address(gateway) if gateway else None,
    )


def router_port(router: RouterId, network: NetworkId, *addresses: str) -> RouterPort:
    return RouterPort(
        id=RouterPortId(f"{router} {network}"),
        router_id=router,
        network_id=network,
        mac=MacAddress("02:00:00:00:09:" + ("01" if router == R1 else "02")),
        addresses=tuple(map(ip_address, addresses)),
    )


def route(cidr: str, *hops: str, router: RouterId = R1) -> RouterRoute:
    return RouterRoute(
        id=RouterRouteId(f"{router} {cidr}"),
        router_id=router,
        prefix=ip_network(cidr),
        next_hops=tuple(sorted(map(ip_address, hops))),
    )


def first_records() -> list[Record]:
    """Two networks and the router between them, and groups that deny nothing."""
    return [
        Host(id=HERE, name="here"),
        Host(id=THERE, name="there"),
        SecurityGroup(id=ALL, name="all"),
        Network(id=R, name="red", vni=Vni(RED)),
        Network(id=B, name="blue", vni=Vni(BLUE)),
        subnet(R, "10.1.0.0/24", "10.1.0.1"),
        subnet(R, "10.1.1.0/24", "10.1.1.1"),
        subnet(R, "fd00:1::/64", "fd00:1::1"),
        subnet(R, "fd00:1:1::/64", "fd00:1:1::1"),
        subnet(B, "10.2.0.0/24", "10.2.0.1"),
        subnet(B, "fd00:2::/64", "fd00:2::1"),
        Router(id=R1, name="r1"),
        router_port(R1, R, "10.1.0.1", "fd00:1::1"),
        router_port(R1, B, "10.2.0.1", "fd00:2::1"),
        *map(port, (*HERE_ONES, *THERE_ONES)),
    ]


class Routed:
    """What becomes of routed packets."""

    def __init__(self, enforced: Enforced) -> None:
        self.enforced = enforced
        self.world = enforced.world
        former = [
            Delete(type(each), each.id)
            for kind in (Port, Subnet, Network, Host)
            for each in enforced.store.list(kind)
        ]
        self.change(*former)
        self.put(*first_records())

    def put(self, *records: Record) -> None:
        self.change(*map(Put, records))

    def change(self, *changes: Change) -> None:
        failures = self.enforced.change(*changes)
        assert not failures, failures

    def restart(self) -> None:
        """Another weftd, which knows what is in the maps."""
        self.enforced.start()
        assert self.enforced.look() == ({}, {})

    def send(self, way: Way) -> Outcome:
        return self.world.send(way.sender, way.packet)

    def long_way(self, way: Way) -> Outcome:
        """Where a packet goes of which nothing is remembered."""
        self.world.is_trial = True
        try:
            return self.send(way)
        finally:
            self.world.is_trial = False

    def stands(self, way: Way) -> Outcome:
        """A connection takes the short way from now on; where its packets go."""
        self.send(way)
        entry = self.entry(way)
        assert entry.hops
        assert entry.flags & FlowFlag.FLOW_SHORT
        return self.send(way)

    def entry(self, way: Way) -> layouts.Flow:
        """Of the direction in which it goes."""
        key, name = self._key(way)
        raw = self.world.plane.maps[name].lookup(key)
        assert raw is not None
        return layouts.Flow.decode(raw)

    def _key(self, way: Way) -> tuple[bytes, str]:
        one, other = (ip_address(each).packed for each in (way.from_address, way.destination))
        near, far = (each.to_bytes(2, "big") for each in way.ports)
        place = self.world.ifindexes[way.sender.device]
        rest = one, other, near, far, place, way.protocol, FlowKind.FLOW_LEAVES
        if len(one) == 4:
            return layouts.FlowKey4(*rest).encode(), "flows4_v1"
        return layouts.FlowKey6(*rest).encode(), "flows6_v1"
