"""Two tenants with the same addresses and MACs, their routers, a network that one shares with the
other, and rules, as chance will have it: records that are compiled and written as weftd does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from tests.bpf.enforced import HERE, THERE, Enforced
from tests.bpf.overlay import IDA
from tests.bpf.world import WORKLOADS, Workload, World
from weft.engine.ebpf.tables.allowed import ALLOWED
from weft.engine.ebpf.tables.flood import FLOOD
from weft.engine.ebpf.tables.host_prefixes import HOST_PREFIXES
from weft.engine.ebpf.tables.networks import NETWORKS
from weft.engine.ebpf.tables.replicas import REPLICAS
from weft.engine.ebpf.tables.subnets import SUBNETS
from weft.model.addresses import IPAddress, ip_address, ip_network
from weft.model.choices import Action, Direction, PeerKind, Tier
from weft.model.ids import (
    GroupId,
    HostId,
    MacAddress,
    NetworkId,
    PortId,
    RouterId,
    RouterPortId,
    RouterRouteId,
    RuleId,
    SubnetId,
    TenantId,
    Vni,
)
from weft.model.records import (
    Host,
    Network,
    Owner,
    Peer,
    Port,
    Record,
    Router,
    RouterPort,
    RouterRoute,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Tenant,
    Veth,
)
from weft.model.records.tenants import tenant_id
from weft.store.interface import Change, Delete, Put, View

Chance = random.Random
AWAY = HostId(f"{IDA.tag:08x}00000000")
TENANTS = (tenant_id("acme"), tenant_id("blob"))
FAR_PORTS = 5
"""On two other hosts."""
SHARED = 4
"""The network of the second tenant that the first one may have."""
SPACES = (0, 1, 0, 1, 4)
"""Of each network, the number in its prefixes: those of the two tenants are the same."""
OWNERS = (0, 0, 1, 1, 1)
PREFIXES = (
    *("0.0.0.0/0", "10.60.0.0/16", "10.60.0.0/24", "10.60.0.11/32", "10.61.0.0/24"),
    *("::/0", "fd60::/16", "fd60::/64", "fd60::b/128", "fd61::/64", "192.0.2.0/24"),
)
_RULES, _GROUPS = 16, 6


def address(network: int, last: int, version: int) -> IPAddress:
    space = SPACES[network]
    return ip_address(f"10.{60 + space}.0.{last}" if version == 4 else f"fd{60 + space}::{last:x}")


def network_id(number: int) -> NetworkId:
    return NetworkId(f"00000000-0000-4000-8000-0000000000a{number}")


def group_id(number: int) -> GroupId:
    return GroupId(f"00000000-0000-4000-8000-00000000002{number}")


def networks(chance: Chance) -> Iterator[Record]:
    for number, owner in enumerate(OWNERS):
        id = network_id(number)
        is_shared = number == SHARED and chance.random() < 0.7
        yield Network(
            id=id,
            name=f"n{number}",
            vni=Vni(100 + number),
            tenant_id=TENANTS[owner],
            is_internal=chance.random() < 0.4,
            is_strict=chance.random() < 0.2,
            shared_with=(TENANTS[0],) if is_shared else (),
            denied=denied(chance),
        )
        for version, length in ((4, 24), (6, 64)):
            yield Subnet(
                id=SubnetId(f"{number}-{version}"),
                cidr=ip_network(f"{address(number, 0, version)}/{length}"),
                network_id=id,
                tenant_id=TENANTS[owner],
                gateway=address(number, 1, version) if chance.random() < 0.9 else None,
            )


def denied(chance: Chance) -> tuple[Direction, ...] | None:
    both = (Direction.EGRESS, Direction.INGRESS)
    return chance.choice([None, None, (), both[1:], both[1:], both[:1], both])


def ports(chance: Chance) -> Iterator[Port]:
    """Those of this host are on the devices of `WORKLOADS`. Each network counts its own from 11."""
    taken = dict.fromkeys(range(len(OWNERS)), 0)
    for number in range(len(WORKLOADS) + FAR_PORTS):
        network = number % 2 * 2 if number < 4 else chance.randrange(len(OWNERS))
        taken[network] += 1
        last = 10 + taken[network]
        is_here = number < len(WORKLOADS)
        name = WORKLOADS[number].device if is_here else f"weft{number:010}"
        yield Port(
            id=PortId(f"00000000-0000-4000-8000-00000000010{number:x}"),
            network_id=network_id(network),
            host_id=HERE if is_here else chance.choice([THERE, AWAY]),
            mac=MacAddress(f"02:00:00:00:00:{last:02x}"),
            slot=number,
            addresses=tuple(address(network, last, version) for version in (4, 6)),
            is_spoof_checked=chance.random() < 0.8,
            device=Veth(ifname=name, peer_ifname="eth0"),
            owner=Owner(frontend="cli"),
            groups=groups(chance),
        )


def groups(chance: Chance) -> tuple[GroupId, ...]:
    count = chance.choice([0, 0, 1, 1, 2])
    return tuple(group_id(each) for each in sorted(chance.sample(range(_GROUPS), count)))


def routers(chance: Chance) -> Iterator[Record]:
    for number, tenant in enumerate(TENANTS):
        id = RouterId(f"00000000-0000-4000-8000-0000000000b{number}")
        yield Router(id=id, name=f"r{number}", tenant_id=tenant)
        own = [each for each, owner in enumerate(OWNERS) if owner == number]
        for network in {*chance.sample(own, 2), SHARED}:
            if chance.random() < 0.85:
                yield router_port(chance, number, network)
        for at in range(chance.randrange(4)):
            yield route(chance, number, at)


def router_port(chance: Chance, router: int, network: int) -> RouterPort:
    last = chance.choice([1, 1, 200 + router])
    return RouterPort(
        id=RouterPortId(f"00000000-0000-4000-8000-0000000000c{router}-{network}"),
        router_id=RouterId(f"00000000-0000-4000-8000-0000000000b{router}"),
        network_id=network_id(network),
        mac=MacAddress(f"02:00:00:00:9{router}:0{network}"),
        addresses=tuple(address(network, last, version) for version in (4, 6)),
    )


def route(chance: Chance, router: int, at: int) -> RouterRoute:
    version = chance.choice([4, 6])
    prefixes = [each for each in PREFIXES if (":" in each) == (version == 6)]
    source = chance.choice([None, None, None, *prefixes])
    hops = {
        address(chance.randrange(len(OWNERS)), chance.choice([1, 11, 12, 99, 200, 201]), version)
        for _ in range(chance.randrange(4))
    }
    return RouterRoute(
        id=RouterRouteId(f"00000000-0000-4000-8000-0000000000d{router}-{at}"),
        router_id=RouterId(f"00000000-0000-4000-8000-0000000000b{router}"),
        prefix=ip_network(chance.choice(prefixes)),
        source=None if source is None else ip_network(source),
        next_hops=tuple(sorted(hops, key=int)),
    )


def group(chance: Chance, number: int) -> SecurityGroup:
    return SecurityGroup(
        id=group_id(number),
        name=f"g{number}",
        tenant_id=TENANTS[number % 2],
        denied=chance.choice([(), (), (), (Direction.INGRESS,)]),
    )


def rule(chance: Chance, number: int) -> SecurityRule:
    protocol = chance.choice([None, None, 6, 6, 17, 1, 58])
    first = chance.choice([None, 80, 22]) if protocol in (6, 17) else None
    return SecurityRule(
        id=RuleId(f"00000000-0000-4000-8000-0000000003{number:02}"),
        group_id=group_id(chance.randrange(_GROUPS)),
        direction=chance.choice([Direction.INGRESS, Direction.EGRESS]),
        action=chance.choice(
            [Action.ALLOW, Action.ALLOW, Action.ALLOW, Action.DROP, Action.REJECT, Action.PASS]
        ),
        tier=chance.choice([Tier.ADMIN, Tier.NORMAL, Tier.NORMAL, Tier.BASELINE]),
        priority=chance.choice([0, 1, 1000]),
        peer=peer(chance),
        family=chance.choice([None, None, None, 4, 6]),
        protocol=protocol,
        first_port=first,
        last_port=None if first is None else chance.choice([first, 500]),
        icmp_type=chance.choice([None, 8, 128]) if protocol in (1, 58) else None,
        is_stateless=chance.random() < 0.1,
    )


def peer(chance: Chance) -> Peer:
    match chance.randrange(5):
        case 0:
            return Peer(kind=PeerKind.GROUP, group_id=group_id(chance.randrange(_GROUPS)))
        case 1:
            return Peer(kind=PeerKind.NETWORK, network_id=network_id(chance.randrange(5)))
        case 2:
            return Peer(kind=PeerKind.CIDR, cidr=ip_network(chance.choice(PREFIXES)))
        case _:
            return Peer(kind=PeerKind.ANY)


def records(chance: Chance) -> list[Record]:
    """All of an estate."""
    return [
        *(Host(id=id, name=f"h{at}") for at, id in enumerate((HERE, THERE, AWAY))),
        *(Tenant(id=id, name=f"t{at}", denied=()) for at, id in enumerate(TENANTS)),
        *networks(chance),
        *ports(chance),
        *routers(chance),
        *(group(chance, number) for number in range(_GROUPS)),
        *(rule(chance, number) for number in range(0, _RULES, 2)),
    ]


class Estate(Enforced):
    """In the maps, and changed there from one moment to the next."""

    plain = (NETWORKS, FLOOD, SUBNETS, HOST_PREFIXES, ALLOWED, REPLICAS)

    def __init__(self, world: World, seed: int) -> None:
        self.seed = seed
        super().__init__(world, records(Chance(seed)))
        self.look()

    def change_something(self, number: int) -> None:
        """The change of that number; `number` and what there is say what it is."""
        failures = self.change(_change(Chance(f"{self.seed} {number}"), self.store))
        assert not failures, failures

    def ports_here(self) -> Sequence[tuple[Workload, Port]]:
        """By device."""
        known = {port.ifname: port for port in self.store.list(Port) if port.host_id == HERE}
        return [(each, known[each.device]) for each in WORKLOADS if each.device in known]

    def network_of(self, port: Port) -> Network:
        found = self.store.get(Network, port.network_id)
        assert found is not None
        return found

    def tenant_of(self, port: Port) -> TenantId:
        return self.network_of(port).tenant_id


def _change(chance: Chance, view: View) -> Change:
    makers: list[tuple[int, Callable[[Chance, View], Change]]] = [
        (4, _changed_rule),
        (3, _changed_port),
        (2, _changed_network),
        (2, _changed_router_port),
        (2, _changed_route),
        (1, lambda chance, _: Put(group(chance, chance.randrange(_GROUPS)))),
    ]
    weights = [each for each, _ in makers]
    ((_, make),) = chance.choices(makers, weights)
    return make(chance, view)


def _changed_rule(chance: Chance, view: View) -> Change:
    made = rule(chance, chance.randrange(_RULES))
    is_there = view.get(SecurityRule, made.id) is not None
    return Delete(SecurityRule, made.id) if is_there and chance.random() < 0.4 else Put(made)


def _changed_port(chance: Chance, view: View) -> Change:
    port = chance.choice(list(view.list(Port)))
    return Put(replace(port, groups=groups(chance)))


def _changed_network(chance: Chance, view: View) -> Change:
    network = chance.choice(list(view.list(Network)))
    match chance.randrange(3):
        case 0:
            return Put(replace(network, is_strict=not network.is_strict))
        case 1 if network.id == network_id(SHARED):
            return Put(replace(network, shared_with=() if network.shared_with else TENANTS[:1]))
        case _:
            return Put(replace(network, denied=denied(chance)))


def _changed_router_port(chance: Chance, view: View) -> Change:
    router = chance.randrange(2)
    own = [each for each, owner in enumerate(OWNERS) if owner == router or each == SHARED]
    made = router_port(chance, router, chance.choice(own))
    is_there = view.get(RouterPort, made.id) is not None
    return Delete(RouterPort, made.id) if is_there else Put(made)


def _changed_route(chance: Chance, view: View) -> Change:
    made = route(chance, chance.randrange(2), chance.randrange(4))
    is_there = view.get(RouterRoute, made.id) is not None
    return Delete(RouterRoute, made.id) if is_there and chance.random() < 0.5 else Put(made)
