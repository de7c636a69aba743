"""The programs do with a packet what the specification says, over random networks, routers and
routes: from records through the compiler and the maps to the packet."""

from __future__ import annotations

import os
import random
from collections.abc import Hashable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import pytest

from tests.bpf import wire
from tests.bpf.overlay import WAYS
from tests.bpf.world import WORKLOADS, Outcome, Workload, World
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.drivers.addresses import AddressDriver
from weft.engine.ebpf.drivers.macs import MacDriver
from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.drivers.routes import RouteDriver
from weft.engine.ebpf.edition import OF_MACS, OF_ROUTES, Edition
from weft.engine.ebpf.map_table import Names, encode_address
from weft.engine.ebpf.policy.generations import Generations
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.tables import MAPS
from weft.engine.rows import Driver, Row
from weft.kernel.bpf.layouts import PortFlag
from weft.model.addresses import IPAddress, ip_address, ip_network
from weft.model.ids import (
    HostId,
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
    Network,
    Owner,
    Port,
    Record,
    Router,
    RouterPort,
    RouterRoute,
    Subnet,
    Veth,
)
from weft.model.records.tenants import DEFAULT_TENANT, tenant_id
from weft.model.service_addresses import GATEWAY_MAC
from weft.semantics.routers import router_at
from weft.semantics.routing import End, Way, ways
from weft.store.memory import MemoryStore

pytestmark = pytest.mark.usefixtures("one_cpu")
HERE = HostId("1" * 16)
MODELS = int(os.environ.get("WEFT_ROUTER_MODELS", "40"))
VERSIONS = 3
PACKETS = 20
TABLES = ("routes", "routers", "subnets", "addresses", "macs", "host_prefixes")
PREFIXES = {
    4: (
        *("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/24", "10.1.0.11/32"),
        *("192.0.2.0/24", "192.0.2.128/25"),
    ),
    6: ("::/0", "fd00::/16", "fd00:2::/64", "fd00:1::11/128", "2001:db8::/32"),
}
SOURCES = {4: ("10.0.0.0/8", "10.1.0.0/24", "10.1.0.10/32"), 6: ("fd00::/16", "fd00:1::10/128")}
NOBODY = {
    4: ("10.1.0.99", "10.2.1.9", "192.0.2.9", "192.0.2.200"),
    6: ("fd00:1::99", "2001:db8::9"),
}
NOWHERE = ("isolated", "internal", "no_route", "spoofed_address")
Chance = random.Random


class KnownDevices:
    """The names of a world's devices."""

    def __init__(self, world: World) -> None:
        self.ifindexes = world.ifindexes

    def ifindex(self, name: str) -> int:
        return self.ifindexes[name]

    def way(self, tag: int) -> int:
        return WAYS.of(tag)

    def identity(self, atoms: tuple[object, ...]) -> int:
        """No rules ask."""
        return 0


def address(version: int, network: int, last: int) -> str:
    return f"10.{network}.0.{last}" if version == 4 else f"fd00:{network}::{last}"


def networks(chance: Chance, *, is_twin: bool) -> Iterator[Record]:
    """Some of two tenants, some shared. is_twin: two of them have the same prefixes."""
    for number in range(4):
        id = NetworkId(f"n{number}")
        yield Network(
            id=id,
            name=id,
            vni=Vni(100 + number),
            is_internal=chance.random() < 0.3,
            tenant_id=chance.choice([DEFAULT_TENANT, DEFAULT_TENANT, tenant_id("acme")]),
            shared_with=chance.choice([(), (DEFAULT_TENANT,)]),
        )
        at = 1 if number == 3 and is_twin else number
        for version in (4, 6):
            cidr = ip_network(f"{address(version, at, 0)}/{24 if version == 4 else 64}")
            gateway = cidr[1] if chance.random() < 0.9 else None
            yield Subnet(id=SubnetId(f"{id} {version}"), cidr=cidr, network_id=id, gateway=gateway)


def ports(chance: Chance, *, is_twin: bool) -> Iterator[Port]:
    for number, workload in enumerate(WORKLOADS):
        network = chance.randrange(4)
        at = 1 if network == 3 and is_twin else network
        yield Port(
            id=PortId(f"p{number}"),
            network_id=NetworkId(f"n{network}"),
            host_id=HERE,
            slot=number,
            mac=MacAddress(workload.mac),
            addresses=tuple(ip_address(address(v, at, 10 + number)) for v in (4, 6)),
            device=Veth(ifname=workload.device, peer_ifname="eth0"),
            owner=Owner(frontend="cli"),
        )


def routers(chance: Chance) -> Iterator[Record]:
    for number in range(3):
        id = RouterId(f"r{number}")
        yield Router(id=id, name=id)
        for network in chance.sample(range(4), chance.randrange(1, 4)):
            last = chance.choice([1, 200 + number])
            yield RouterPort(
                id=RouterPortId(f"{id} {network}"),
                router_id=id,
                network_id=NetworkId(f"n{network}"),
                mac=MacAddress(f"02:00:00:00:9{number}:0{network}"),
                addresses=tuple(ip_address(address(v, network, last)) for v in (4, 6)),
            )
        for at in range(chance.randrange(4)):
            version = chance.choice([4, 6])
            source = chance.choice([None, None, *SOURCES[version]])
            hops = {
                address(version, chance.randrange(4), chance.choice([1, 10, 11, 12, 200, 201, 99]))
                for _ in range(chance.randrange(4))
            }
            yield RouterRoute(
                id=RouterRouteId(f"{id} {at}"),
                router_id=id,
                prefix=ip_network(chance.choice(PREFIXES[version])),
                source=None if source is None else ip_network(source),
                next_hops=tuple(map(ip_address, sorted(hops))),
            )


Rows = dict[str, dict[Hashable, Hashable]]
"""By table."""


def rows_of(view: MemoryStore) -> Rows:
    """As the engine would have them."""
    rows: Rows = {name: {} for name in TABLES}
    compile_functions = functions(HERE)
    records = [record for kind in compile_functions for record in view.list(kind)]
    for record in sorted(records, key=lambda each: (each.KIND, each.id)):
        for row in compile_functions[type(record)](record, view):
            if isinstance(row, Row) and row.table in rows:
                rows[row.table].setdefault(row.key, row.value)
    return rows


class Estate:
    """The maps of a world, as an engine writes them that tells programs what is over."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: Rows = {name: {} for name in TABLES}
        maps, names = world.plane.maps, cast("Names", KnownDevices(world))
        editions = {name: Edition(partial(maps.__getitem__, name)) for name in (OF_MACS, OF_ROUTES)}
        generations = Generations(maps.__getitem__, Numbering(maps.__getitem__))
        tables: dict[str, Any] = {table.name: table for table in MAPS}
        opened = {name: partial(maps.__getitem__, tables[name].map_name) for name in TABLES}
        self._drivers: dict[str, Driver] = {
            name: RouteDriver(
                tables[name], opened[name], names, editions[OF_ROUTES], generations.ways_change
            )
            for name in ("routes", "routers", "subnets")
        }
        self._drivers["addresses"] = AddressDriver(
            opened["addresses"], opened["addresses"], names, editions[OF_ROUTES], lambda key: None
        )
        self._drivers["macs"] = MacDriver(opened["macs"], editions[OF_MACS], names, generations)
        self._drivers["host_prefixes"] = MapDriver(
            tables["host_prefixes"], opened["host_prefixes"], names
        )
        world.fill()
        for name in ("subnets_v1", "addresses_v1", "macs_v1", "host_prefixes_v1"):
            maps[name].delete(list(maps[name].read()))
        for driver in self._drivers.values():
            driver.read({})

    def become(self, view: MemoryStore) -> None:
        """What differs is written, and nothing else is."""
        rows = rows_of(view)
        for name, wanted in rows.items():
            there = self._rows[name]
            upserts = {key: value for key, value in wanted.items() if there.get(key) != value}
            assert not self._drivers[name].write(
                upserts, [key for key in there if key not in wanted]
            )
        self._rows = rows
        for port, workload in zip(view.list(Port), WORKLOADS):
            network = view.get(Network, port.network_id)
            assert network is not None
            four, six = map(encode_address, port.addresses)
            flags = PortFlag(0) if network.is_internal else PortFlag.PORT_OUTSIDE
            self._world.set_port(workload, vni=network.vni, flags=flags, ipv4=four, ipv6=six)


def packet(sender: Port, mac: str, source: IPAddress, destination: IPAddress, port: int) -> bytes:
    ends = str(source), str(destination)
    body = wire.udp(*ends, (port, 5000))
    if destination.version == 4:
        return wire.ether(mac, sender.mac, wire.IPV4, wire.ipv4(*ends, wire.UDP, body))
    return wire.ether(mac, sender.mac, wire.IPV6, wire.ipv6(*ends, wire.UDP, body))


def hop_limit(frame: bytes) -> int:
    return frame[22] if frame[14] >> 4 == 4 else frame[21]


def fits(way: Way, outcome: Outcome, sender: Workload, source: IPAddress) -> bool:
    """Whether this is what becomes of a packet that takes the way."""
    told = outcome.target == sender.device
    match way.end:
        case End.PORT:
            assert way.port is not None and way.port.ifname is not None
            left = 64 - max(1, len(way.steps))
            there = outcome.target == way.port.ifname and hop_limit(outcome.packet) == left
            return there or (not way.steps and way.port.ifname == sender.device)
        case End.ROUTER if way.steps:
            return outcome[:2] == ("", "unknown_address")
        case End.ROUTER | End.OUTSIDE:
            is_left = outcome.target == "weft0"
            return is_left or outcome.reason in ("no_route", "spoofed_address")
        case End.UNREACHABLE:
            return told == bool(way.steps) and outcome.reason == "unknown_address"
        case End.DROPPED:
            return outcome[:2] == ("", "no_route")
        case End.LOOP:
            return told and outcome.reason == "ttl"
        case _ if len(way.steps) > 1:
            return told and outcome.reason == "no_route"
        case _:
            is_silent = outcome.target == "" and outcome.reason in NOWHERE
            is_told = told and outcome.reason in ("isolated", "internal")
            is_unfit = outcome.reason in ("no_route", "spoofed_address")
            return is_told if way.steps and not is_unfit else is_silent


@pytest.mark.parametrize("seed", range(MODELS))
def test_programs_and_specification_agree(loaded: World, host: Any, seed: int) -> None:
    """Also of what they keep: routers change between packets, and ports move."""
    chance = Chance(seed)
    is_twin = chance.random() < 0.3
    lasting: list[Record] = list(networks(chance, is_twin=is_twin))
    there: dict[PortId, Record] = {}
    tried: list[Sending] = []
    with host.entered():
        estate = Estate(loaded)
        for _ in range(VERSIONS):
            for port in ports(chance, is_twin=is_twin):
                if port.id not in there or chance.random() < 0.2:
                    there[port.id] = port
            view = MemoryStore([*lasting, *there.values(), *routers(chance)])
            estate.become(view)
            tried = [sending for sending in tried if sending.is_possible(view)]
            tried += [chosen(view, chance) for _ in range(PACKETS)]
            for sending in tried:
                try_one(loaded, view, sending, chance)


def no_gateways(
    view: MemoryStore, network_id: NetworkId, version: int
) -> Iterator[tuple[IPAddress, str]]:
    """Addresses and MACs of routers that are no gateway there."""
    for place in view.by(RouterPort, "network_id", network_id):
        for each in place.addresses:
            is_known = router_at(view, network_id, each) == place.router_id
            if is_known and each.version == version and int(each) & 0xFF != 1:
                yield each, place.mac


class Sending(NamedTuple):
    """Who sends to whom, through which router if not the gateway."""

    sender: int
    """Which of the ports."""
    source: IPAddress
    destination: IPAddress
    via: IPAddress | None
    mac: str

    def is_possible(self, view: MemoryStore) -> bool:
        """Whether the port still has the address, and the router that MAC."""
        port = list(view.list(Port))[self.sender]
        routers = [*no_gateways(view, port.network_id, self.source.version), (None, GATEWAY_MAC)]
        return self.source in port.addresses and (self.via, self.mac) in routers


def chosen(view: MemoryStore, chance: Chance) -> Sending:
    at = chance.randrange(len(WORKLOADS))
    sender = list(view.list(Port))[at]
    version = chance.choice([4, 6])
    source = next(each for each in sender.addresses if each.version == version)
    others = [
        each
        for kind in (Port, RouterPort)
        for holder in view.list(kind)
        for each in holder.addresses  # type: ignore[attr-defined]
        if each.version == version and each != source
    ]
    destination = chance.choice([*others, *map(ip_address, NOBODY[version])])
    own = list(no_gateways(view, sender.network_id, version))
    is_own = own and chance.random() < 0.3
    via, mac = chance.choice(own) if is_own else (None, GATEWAY_MAC)
    return Sending(at, source, destination, via, mac)


def try_one(world: World, view: MemoryStore, sending: Sending, chance: Chance) -> None:
    at, source, destination, via, mac = sending
    sender, workload = list(view.list(Port))[at], WORKLOADS[at]
    found = ways(view, sender.network_id, source, destination, via)
    for _ in range(2):  # the second one may go where the first one went
        sent = packet(sender, mac, source, destination, chance.randrange(1024, 65536))
        outcome = world.send(workload, sent)
        assert any(fits(way, outcome, workload, source) for way in found), (
            f"{source} > {destination} via {via}: {outcome[:2]}, not {found}"
        )
