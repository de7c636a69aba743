"""A connection that stands goes where its packets would go if nothing of it was remembered: random
networks, routers and ports, and changes of them between packets, so that a way that was kept for
too long is found."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from tests.bpf import wire
from tests.bpf.enforced import HERE, THERE, Enforced
from tests.bpf.judged import ACK
from tests.bpf.overlay import HUGO, TUNNEL_MTU, coming, set_tunnel, vxlan
from tests.bpf.test_enforcement import emptied
from tests.bpf.test_router_models import (
    NOBODY,
    address,
    networks,
    no_gateways,
    ports,
    routers,
)
from tests.bpf.world import WORKLOADS, Outcome, Workload, World
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import FlowFlag
from weft.model.addresses import IPAddress, ip_address
from weft.model.ids import GroupId, MacAddress
from weft.model.records import (
    AllowedAddress,
    Host,
    Network,
    Port,
    Record,
    Router,
    RouterPort,
    RouterRoute,
    SecurityGroup,
    Subnet,
)
from weft.model.records.tenants import DEFAULT_TENANT, tenant_id
from weft.model.service_addresses import GATEWAY_MAC
from weft.store.interface import Change, Delete, Put
from weft.store.memory import MemoryStore

MODELS = int(os.environ.get("WEFT_ROUTE_MODELS", "12"))
CHANGES, FLOWS = 10, 14
WORLDS = 20
SIZES = (0, 0, 0, 1220, 1300, 1430)
Chance = random.Random


class Flow(NamedTuple):
    """What the packets of a connection show."""

    sender: Workload
    source: IPAddress
    destination: IPAddress
    ports: tuple[int, int]
    protocol: int
    mac: str

    def packet(self, hop_limit: int, size: int) -> bytes:
        ends = str(self.source), str(self.destination)
        if self.protocol == wire.TCP:
            body = wire.tcp(*ends, self.ports, bytes(size), ACK)
        else:
            body = wire.udp(*ends, self.ports, bytes(size))
        if self.source.version == 4:
            packet = wire.ipv4(*ends, self.protocol, body, ttl=hop_limit)
            return wire.ether(self.mac, self.sender.mac, wire.IPV4, packet)
        packet = wire.ipv6(*ends, self.protocol, body, hop_limit=hop_limit)
        return wire.ether(self.mac, self.sender.mac, wire.IPV6, packet)


def first_records(chance: Chance) -> list[Record]:
    """All ports are members of a group that denies nothing, and so are remembered."""
    is_twin = chance.random() < 0.2
    group = GroupId("00000000-0000-4000-8000-000000000001")
    made: list[Record] = [
        Host(id=HERE, name="here"),
        Host(id=THERE, name="there"),
        SecurityGroup(id=group, name="all"),
        *networks(chance, is_twin=is_twin),
        *routers(chance),
    ]
    for port in ports(chance, is_twin=is_twin):
        host_id = THERE if chance.random() < 0.25 else HERE
        made.append(
            replace(port, host_id=host_id, groups=(group,), is_spoof_checked=chance.random() < 0.5)
        )
    return made


class Changes:
    """Changes of the records, one after the other."""

    def __init__(self, chance: Chance, view: MemoryStore) -> None:
        self._chance = chance
        self._view = view
        self._last = 0
        self._gone: list[Record] = []

    def some(self) -> list[Change]:
        """At least one."""
        makers: list[Callable[[], Change | None]] = [
            *(self._route, self._route, self._route, self._router_port, self._port, self._port),
            *(self._network, self._subnet, self._removal, self._return),
        ]
        found: dict[object, Change] = {}
        for make in self._chance.choices(makers, k=self._chance.choice([1, 1, 1, 2, 4])):
            change = make()
            if change is not None:
                name = change.record.id if isinstance(change, Put) else change.id
                found.setdefault(name, change)
        return list(found.values())

    def _route(self) -> Change | None:
        """One of a router comes, changes or goes."""
        chance, last = self._chance, len(list(self._view.list(RouterRoute)))
        if last and chance.random() < 0.4:
            return Delete(RouterRoute, chance.choice(list(self._view.list(RouterRoute))).id)
        made = [each for each in routers(chance) if isinstance(each, RouterRoute)]
        fit = [each for each in made if self._view.get(Router, each.router_id)]
        return Put(chance.choice(fit)) if fit else None

    def _router_port(self) -> Change | None:
        chance = self._chance
        known = list(self._view.list(RouterPort))
        if known and chance.random() < 0.4:
            return Delete(RouterPort, chance.choice(known).id)
        made = [each for each in routers(chance) if isinstance(each, RouterPort)]
        return Put(chance.choice(made))

    def _port(self) -> Change:
        chance, port = self._chance, self._chance.choice(list(self._view.list(Port)))
        self._last += 1
        networks = list(self._view.list(Network))
        at = int(port.network_id[1:])
        change = chance.choice(("host", "host", "mac", "address", "check", "allow", "group", "net"))
        if change == "host":
            return Put(replace(port, host_id=HERE if port.host_id == THERE else THERE))
        if change == "mac":
            return Put(replace(port, mac=MacAddress(f"02:00:00:01:{self._last:02x}:00")))
        if change == "address":
            last = chance.choice([10, 11, 12, 20 + self._last % 200])
            return Put(
                replace(port, addresses=tuple(ip_address(address(v, at, last)) for v in (4, 6)))
            )
        if change == "check":
            return Put(replace(port, is_spoof_checked=not port.is_spoof_checked))
        if change == "allow":
            cidrs = ("10.0.0.0/8", "fd00::/16")
            allowed = tuple(AllowedAddress(cidr=ip_network(each)) for each in cidrs)
            return Put(replace(port, allowed=() if port.allowed else allowed))
        if change == "group":
            group = GroupId("00000000-0000-4000-8000-000000000001")
            return Put(replace(port, groups=() if port.groups else (group,)))
        return Put(replace(port, network_id=chance.choice(networks).id))

    def _network(self) -> Change:
        chance, network = self._chance, self._chance.choice(list(self._view.list(Network)))
        facts: list[dict[str, object]] = [
            {"is_internal": not network.is_internal},
            {"shared_with": () if network.shared_with else (DEFAULT_TENANT,)},
            {"tenant_id": chance.choice([DEFAULT_TENANT, tenant_id("acme")])},
            {"mtu_bytes": chance.choice([None, 1280, 1400])},
        ]
        return Put(replace(network, **chance.choice(facts)))

    def _subnet(self) -> Change:
        subnet = self._chance.choice(list(self._view.list(Subnet)))
        return Put(replace(subnet, gateway=None if subnet.gateway else subnet.cidr[1]))

    def _removal(self) -> Change | None:
        """Of what others lean on."""
        kind = self._chance.choice((Router, Subnet, Port))
        known = list(self._view.list(kind))
        if len(known) < 3:
            return None
        record = self._chance.choice(known)
        self._gone.append(record)
        return Delete(kind, record.id)

    def _return(self) -> Change | None:
        """Of what has gone."""
        if not self._gone:
            return None
        return Put(self._gone.pop(self._chance.randrange(len(self._gone))))


class Model:
    """Connections of ports that are here, in a world that changes."""

    def __init__(self, chance: Chance, enforced: Enforced) -> None:
        self.chance = chance
        self.enforced = enforced
        self.flows: dict[Flow, None] = {}
        self.short = 0
        """Entries that routed packets went by, counted after each turn."""

    @property
    def here(self) -> list[tuple[Port, Workload]]:
        """Ports of this host, as workloads with the MAC that they have now."""
        by_device = {each.device: each for each in WORKLOADS}
        return [
            (port, by_device[port.veth.ifname]._replace(mac=port.mac))
            for port in self.enforced.store.list(Port)
            if port.host_id == HERE and port.veth is not None
        ]

    def begin(self) -> None:
        """A connection to somebody, or to nobody."""
        chance, view = self.chance, self.enforced.store
        if not self.here:
            return
        port, sender = chance.choice(self.here)
        version = chance.choice([4, 6])
        source = next(each for each in port.addresses if each.version == version)
        others = [
            each
            for kind in (Port, Port, RouterPort)
            for holder in view.list(kind)
            for each in holder.addresses  # type: ignore[attr-defined]
            if each.version == version and each != source
        ]
        destination = chance.choice([*others, *others, *map(ip_address, NOBODY[version])])
        mac = GATEWAY_MAC
        own = list(no_gateways(view, port.network_id, version))
        if own and chance.random() < 0.2:
            _, mac = chance.choice(own)
        ends = (chance.randrange(1024, 65536), chance.choice([80, 53, 5000]))
        protocol = chance.choice([wire.TCP, wire.TCP, wire.UDP])
        self.flows[Flow(sender, source, destination, ends, protocol, mac)] = None

    def try_all(self, seed: int) -> None:
        """Each connection's packets go where they would go if they were the first ones."""
        for flow in list(self.flows):
            self.try_one(flow, seed)
        self.short += sum(
            1
            for flow in flows_in(self.enforced.world)
            if flow.hops and flow.flags & FlowFlag.FLOW_SHORT
        )

    def try_one(self, flow: Flow, seed: int) -> None:
        hop_limit = self.chance.choice([64, 64, 64, 255, 1, 2, 3])
        packet = flow.packet(hop_limit, self.chance.choice(SIZES))
        wanted = self.long_way(flow.sender, packet)
        for _ in range(3):
            found = self.enforced.world.send(flow.sender, packet)
            assert is_same(found, wanted), (
                f"seed {seed}: {flow}, hop limit {hop_limit}: {found[:2]}, not {wanted[:2]}"
            )
            self.answer(flow, found)

    def long_way(self, sender: Workload, packet: bytes) -> Outcome:
        world = self.enforced.world
        world.is_trial = True
        try:
            return world.send(sender, packet)
        finally:
            world.is_trial = False

    def answer(self, flow: Flow, outcome: Outcome) -> None:
        """From who has got it, if that is somebody else."""
        back = flow.ports[::-1]
        ends = flow.destination, flow.source
        for _, receiver in self.here:
            if receiver.device == outcome.target and receiver.device != flow.sender.device:
                answering = Flow(receiver, *ends, back, flow.protocol, GATEWAY_MAC)
                packet = answering.packet(64, 0)
                wanted = self.long_way(receiver, packet)
                found = self.enforced.world.send(receiver, packet)
                assert is_same(found, wanted), f"{answering}: {found[:2]}, not {wanted[:2]}"
        if outcome.target == "uplink":
            port = next(port for port, each in self.here if each == flow.sender)
            network = self.enforced.store.get(Network, port.network_id)
            assert network is not None
            remote = flow.sender._replace(mac=GATEWAY_MAC)
            answering = Flow(remote, *ends, back, flow.protocol, flow.sender.mac)
            arriving = vxlan(network.vni, answering.packet(64, 0))
            self.enforced.world.arrive(coming(HUGO, 4, arriving))


def flows_in(world: World) -> Iterator[layouts.Flow]:
    for name in ("flows4_v1", "flows6_v1"):
        yield from map(layouts.Flow.decode, world.plane.maps[name].read().values())


def is_same(found: Outcome, wanted: Outcome) -> bool:
    """Of what is refused the sender is told, but not always."""
    if found.reason or wanted.reason:
        return found.reason == wanted.reason
    return found == wanted


@pytest.fixture
def enforced(world: World) -> Iterator[Enforced]:
    yield from emptied(world)


@pytest.mark.parametrize("turn", range(MODELS))
def test_what_is_remembered_is_what_is_so(enforced: Enforced, turn: int) -> None:
    """In some worlds nothing is routed to another port: then in another one."""
    for _ in range(WORLDS):
        if live_through(enforced, random.randrange(2**32)):
            return
    raise AssertionError("nothing was routed the short way")


def live_through(enforced: Enforced, seed: int) -> int:
    """A world from its beginning on; how many entries routed packets have gone by."""
    chance = Chance(seed)
    former = [
        Delete(type(each), each.id)
        for kind in (Port, RouterRoute, RouterPort, Router, Subnet, Network, SecurityGroup, Host)
        for each in enforced.store.list(kind)
    ]
    assert not enforced.change(*former)
    assert not enforced.change(*map(Put, first_records(chance)))
    model = Model(chance, enforced)
    changes = Changes(chance, enforced.store)
    for _ in range(CHANGES):
        while len(model.flows) < FLOWS and model.here:
            model.begin()
        model.try_all(seed)
        if chance.random() < 0.2:
            set_tunnel(enforced.world, HUGO, mtu=chance.choice([1280, TUNNEL_MTU]))
            model.try_all(seed)
        assert not enforced.change(*changes.some()), f"seed {seed}"
        known = {workload for _, workload in model.here}
        model.flows = {
            flow: None for flow in model.flows if flow.sender in known and chance.random() < 0.9
        }
    return model.short
