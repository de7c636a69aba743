"""Which way a packet takes between networks, case by case."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest
from msgspec.structs import replace

from weft.model.addresses import ip_address, ip_network
from weft.model.ids import (
    HostId,
    MacAddress,
    NetworkId,
    PortId,
    RouterId,
    RouterPortId,
    RouterRouteId,
    SubnetId,
    TenantId,
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
from weft.semantics.routers import domain
from weft.semantics.routing import MAX_ROUTERS, MAX_WAYS, Way, ways
from weft.store.interface import Delete, Put
from weft.store.memory import MemoryStore

ACME = tenant_id("acme")
R1, R2 = RouterId("r1"), RouterId("r2")


def network(id: str, *gateways: str, tenant: TenantId = DEFAULT_TENANT) -> list[Record]:
    """With a subnet for each gateway, which is said with its prefix length."""
    made: list[Record] = [
        Network(id=NetworkId(id), name=id, vni=Vni(1 + sum(id.encode())), tenant_id=tenant)
    ]
    for gateway in gateways:
        at = ip_interface(gateway)
        subnet_id = SubnetId(f"{id}-{at.network}")
        made.append(Subnet(id=subnet_id, cidr=at.network, network_id=NetworkId(id), gateway=at.ip))
    return made


def port(id: str, network: str, *addresses: str) -> Port:
    return Port(
        id=PortId(id),
        network_id=NetworkId(network),
        host_id=HostId("1" * 16),
        mac=MacAddress("02:00:00:00:00:01"),
        addresses=tuple(map(ip_address, addresses)),
        device=Veth(ifname="weft00000000001", peer_ifname="eth0"),
        owner=Owner(frontend="cli"),
    )


def place(router: RouterId, network: str, *addresses: str) -> RouterPort:
    return RouterPort(
        id=RouterPortId(f"{router}-{network}"),
        router_id=router,
        network_id=NetworkId(network),
        mac=MacAddress("02:00:00:00:00:09"),
        addresses=tuple(map(ip_address, addresses)),
    )


def route(prefix: str, *hops: str, router: RouterId = R1, source: str = "") -> RouterRoute:
    return RouterRoute(
        id=RouterRouteId(f"{router} {prefix} {source}"),
        router_id=router,
        prefix=ip_network(prefix),
        source=ip_network(source) if source else None,
        next_hops=tuple(map(ip_address, hops)),
    )


RECORDS: list[Record] = [
    *network("web", "10.1.0.1/24", "10.1.1.1/24", "fd00:1::1/64"),
    *network("app", "10.2.0.1/24", "fd00:2::1/64"),
    *network("db", "10.3.0.1/24"),
    *network("alone", "10.4.0.1/24"),
    *network("labs", "10.5.0.1/24", tenant=ACME),
    *network("transit", "10.9.0.1/24"),
    Router(id=R1, name="r1"),
    place(R1, "web", "10.1.0.1", "10.1.1.1", "fd00:1::1"),
    place(R1, "app", "10.2.0.1", "fd00:2::1"),
    place(R1, "transit", "10.9.0.1"),
    Router(id=R2, name="r2"),
    place(R2, "transit", "10.9.0.2"),
    place(R2, "db", "10.3.0.1"),
    port("w1", "web", "10.1.0.11", "fd00:1::11"),
    port("w2", "web", "10.1.1.12"),
    port("a1", "app", "10.2.0.21", "fd00:2::21"),
    port("a2", "app", "10.2.0.22"),
    port("d1", "db", "10.3.0.31"),
    port("l1", "labs", "10.5.0.51"),
]


def store(*more: Record, without: str = "") -> MemoryStore:
    records = MemoryStore([*RECORDS, *more])
    if without:
        records.apply([Delete(type(each), each.id) for each in RECORDS if each.id == without])
    return records


def told(found: tuple[Way, ...]) -> list[str]:
    """Each way in words: its end, or the port, and the addresses of the routers on it."""
    return [
        " ".join(
            [
                *(str(step.address) for step in way.steps),
                str(way.port.id) if way.port is not None else way.end.value,
            ]
        )
        for way in found
    ]


def asked(view: MemoryStore, destination: str, source: str = "", via: str = "") -> list[str]:
    source = source or ("fd00:1::11" if ":" in destination else "10.1.0.11")
    hop = ip_address(via) if via else None
    return told(ways(view, NetworkId("web"), ip_address(source), ip_address(destination), hop))


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ("10.1.1.12", "w2"),
        ("10.1.1.99", "unreachable"),
        ("10.1.1.1", "router"),
        ("10.2.0.21", "10.1.0.1 a1"),
        ("fd00:2::21", "fd00:1::1 a1"),
        ("10.2.0.1", "10.1.0.1 router"),
        ("10.2.0.99", "10.1.0.1 unreachable"),
        ("10.3.0.31", "10.1.0.1 no-route"),
        ("10.4.0.4", "10.1.0.1 no-route"),
        ("192.0.2.1", "10.1.0.1 outside"),
        ("fd00:9::1", "fd00:1::1 outside"),
    ],
)
def test_a_router_leads_to_what_it_is_connected_to(destination: str, expected: str) -> None:
    assert asked(store(), destination) == [expected]


def test_the_gateway_of_the_senders_subnet_says_which_router_decides() -> None:
    view = store(
        place(R1, "web", "10.1.0.1"), place(R2, "web", "10.1.1.1"), port("x", "web", "10.77.0.1")
    )
    assert asked(view, "10.3.0.31", "10.1.1.12") == ["10.1.1.1 d1"]
    assert asked(view, "10.3.0.31", "10.1.0.11") == ["10.1.0.1 no-route"]
    assert asked(view, "10.2.0.21", "10.1.1.12") == ["10.1.1.1 no-route"]
    assert asked(view, "10.2.0.21", "10.77.0.1") == ["10.1.0.1 a1"], "a sender of no subnet"


def test_a_router_that_is_no_gateway_is_reached_by_its_own_address() -> None:
    view = store(place(R2, "web", "10.1.0.250"))
    assert asked(view, "10.3.0.31", via="10.1.0.250") == ["10.1.0.250 d1"]
    assert asked(view, "10.3.0.31", via="10.1.0.1") == ["10.1.0.1 no-route"]
    assert asked(view, "192.0.2.1", via="10.1.0.250") == ["10.1.0.250 outside"]


def test_without_a_router_there_is_the_outside_alone() -> None:
    view = store(without="r1")
    assert asked(view, "10.2.0.21") == ["no-route"]
    assert asked(view, "192.0.2.1") == ["outside"]
    view.apply([Put(replace(RECORDS[0], is_internal=True))])
    assert asked(view, "192.0.2.1") == ["no-route"]


def test_a_route_leads_through_a_port() -> None:
    view = store(route("198.51.100.0/24", "10.2.0.22"))
    assert asked(view, "198.51.100.7") == ["10.1.0.1 a2"]
    view.apply([Delete(Port, "a2")])
    assert asked(view, "198.51.100.7") == ["10.1.0.1 unreachable"]


def test_a_route_leads_through_another_router() -> None:
    view = store(route("10.3.0.0/24", "10.9.0.2"))
    assert asked(view, "10.3.0.31") == ["10.1.0.1 10.9.0.2 d1"]
    assert asked(view, "10.3.0.1") == ["10.1.0.1 10.9.0.2 router"]
    assert asked(view, "10.3.0.99") == ["10.1.0.1 10.9.0.2 unreachable"]


def test_each_flow_takes_one_of_several_next_hops_that_are_there() -> None:
    view = store(route("198.51.100.0/24", "10.2.0.21", "10.2.0.22", "10.9.0.2", "10.2.0.99"))
    expected = ["10.1.0.1 a1", "10.1.0.1 a2", "10.1.0.1 10.9.0.2 no-route"]
    assert asked(view, "198.51.100.7") == expected
    view.apply([Delete(Port, "a1")])
    assert asked(view, "198.51.100.7") == expected[1:]


def test_a_route_without_next_hops_drops() -> None:
    view = store(route("192.0.2.0/24"), route("192.0.2.128/25", "10.2.0.21"))
    assert asked(view, "192.0.2.1") == ["10.1.0.1 dropped"]
    assert asked(view, "192.0.2.129") == ["10.1.0.1 a1"]


def test_the_longest_prefix_holds_and_of_equals_the_connected_one() -> None:
    view = store(
        route("10.2.0.0/24", "10.9.0.2"),
        route("10.2.0.0/16", "10.9.0.2"),
        route("10.2.0.22/32", "10.2.0.21"),
        route("0.0.0.0/0"),
    )
    assert asked(view, "10.2.0.21") == ["10.1.0.1 a1"]
    assert asked(view, "10.2.0.22") == ["10.1.0.1 a1"]
    assert asked(view, "10.2.1.1") == ["10.1.0.1 10.9.0.2 no-route"]
    assert asked(view, "192.0.2.1") == ["10.1.0.1 dropped"]


def test_a_route_for_a_source_goes_before_the_others() -> None:
    view = store(
        route("0.0.0.0/0", "10.2.0.22", source="10.1.0.0/24"),
        route("192.0.2.0/24", "10.2.0.21"),
        route("198.51.100.0/24", "10.2.0.21", source="10.1.0.11/32"),
    )
    assert asked(view, "192.0.2.1") == ["10.1.0.1 a2"], "however long the other's prefix is"
    assert asked(view, "192.0.2.1", "10.1.1.12") == ["10.1.1.1 a1"]
    assert asked(view, "198.51.100.1") == ["10.1.0.1 a1"], "the longer source"
    assert asked(view, "198.51.100.1", "10.1.0.12") == ["10.1.0.1 a2"]
    assert asked(view, "10.2.0.21") == ["10.1.0.1 a1"], "what is connected is nearer"
    assert asked(view, "10.3.0.31") == ["10.1.0.1 a2"]
    assert asked(view, "fd00:2::21") == ["fd00:1::1 a1"]


def test_routes_in_a_circle_end() -> None:
    view = store(route("192.0.2.0/24", "10.9.0.2"), route("192.0.2.0/24", "10.9.0.1", router=R2))
    assert asked(view, "192.0.2.1") == ["10.1.0.1 10.9.0.2 loop"]


def test_a_chain_of_too_many_routers_ends() -> None:
    more: list[Record] = [route("192.0.2.0/24", "10.9.0.101")]
    for number in range(1, 12):
        id = RouterId(f"chain{number}")
        more += [
            Router(id=id, name=id),
            place(id, "transit", f"10.9.0.{100 + number}"),
            route("192.0.2.0/24", f"10.9.0.{101 + number}", router=id),
        ]
    (found,) = asked(store(*more), "192.0.2.1")
    assert (len(found.split()), found.split()[-1]) == (MAX_ROUTERS + 1, "loop")


def test_a_maze_of_routers_is_looked_at_in_part() -> None:
    more: list[Record] = []
    for layer in range(MAX_ROUTERS - 1):
        for one in range(8):
            id = RouterId(f"m{layer}{one}")
            hops = [f"10.9.0.{(layer + 1) * 10 + each}" for each in range(8)]
            more += [
                Router(id=id, name=id),
                place(id, "transit", f"10.9.0.{layer * 10 + 3 + one}"),
                route("192.0.2.0/24", *hops, router=id),
            ]
    more.append(route("192.0.2.0/24", *(f"10.9.0.{3 + each}" for each in range(8))))
    assert len(asked(store(*more), "192.0.2.1")) == MAX_WAYS


def test_a_network_of_another_tenant_counts_once_it_is_shared() -> None:
    view = store(place(R1, "labs", "10.5.0.1"))
    assert asked(view, "10.5.0.51") == ["10.1.0.1 not-shared"]
    labs = view.get(Network, "labs")
    assert labs is not None
    view.apply([Put(replace(labs, shared_with=(DEFAULT_TENANT,)))])
    assert asked(view, "10.5.0.51") == ["10.1.0.1 l1"]
    back = ways(view, labs.id, ip_address("10.5.0.51"), ip_address("10.1.0.11"))
    assert told(back) == ["10.5.0.1 w1"]


def test_two_networks_of_one_prefix_on_a_router_are_one_of_them_everywhere() -> None:
    """Hosts that did not hear each other can connect both."""
    more = [*network("twin", "10.2.0.1/24"), port("t1", "twin", "10.2.0.21")]
    view = store(*more, place(R1, "twin", "10.2.0.1"))
    assert asked(view, "10.2.0.21") == ["10.1.0.1 a1"], "the smaller id"


def test_an_unplugged_port_and_a_hosts_own_place_are_not_reached() -> None:
    unplugged = replace(port("a1", "app", "10.2.0.21"), device=None)
    host = replace(port("h", "app", "10.2.0.50"), owner=Owner(frontend="host"))
    view = store(unplugged, host)
    for address in ("10.2.0.21", "10.2.0.50"):
        assert asked(view, address) == ["10.1.0.1 unreachable"]


def test_a_domain_is_what_routers_lead_to() -> None:
    view = store(place(R1, "labs", "10.5.0.1"))
    assert view.ask(domain, NetworkId("web")) == {"web", "app", "transit", "db"}
    assert view.ask(domain, NetworkId("alone")) == {"alone"}
    assert view.ask(domain, NetworkId("labs")) == {"labs"}, "it is not shared"
