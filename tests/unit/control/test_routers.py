"""Routers: made, connected, given routes, shared between tenants, and removed."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import pytest
from msgspec.structs import replace

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from tests.unit.cluster import Cluster
from weft.config import Settings
from weft.control.context import Context
from weft.control.control import Control
from weft.control.router_specs import ConnectionSpec, RouterChanges, RouterSpec, RouteSpec
from weft.control.specs import NetworkChanges, NetworkSpec, PortSpec, SubnetSpec
from weft.errors import ConflictError, InUseError, InvalidError, NotFoundError
from weft.model.ids import HostId, RouterId, RouterPortId
from weft.model.records import Owner, Router, RouterPort, RouterRoute
from weft.store.interface import Put
from weft.store.memory import MemoryStore

OWNER = Owner(frontend="cli", reference="test")


class Desk:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.control: Control = control_alone(
            Context(
                store=self.store,
                settler=AtOnce(),
                settings=Settings(name="h1"),
                host_id=HostId("a" * 16),
                wall_s=lambda: 1_000_000.0,
                random_bytes=random.Random(7).randbytes,
                host_routes=tuple,
                targets=NothingRuns(),
                space=WholeSpace,
            )
        )
        self.routers = self.control.routers

    async def network(
        self, name: str, *cidrs: str, tenant: str = "default", **more: object
    ) -> None:
        subnets = tuple(SubnetSpec(cidr=ip_network(cidr)) for cidr in cidrs)
        spec = NetworkSpec(name=name, tenant=tenant, subnets=subnets, **more)  # type: ignore[arg-type]
        await self.control.networks.create(spec)

    async def port(self, network: str, address: str) -> None:
        wanted = (ip_address(address),)
        await self.control.ports.add(PortSpec(network=network, addresses=wanted, owner=OWNER))

    async def router(self, name: str, *networks: str, tenant: str = "default") -> Router:
        connected = tuple(ConnectionSpec(network=network) for network in networks)
        return await self.routers.create(RouterSpec(name=name, tenant=tenant, networks=connected))

    async def connect(self, router: str, network: str, *addresses: str) -> Router:
        spec = connection(network, *addresses)
        return await self.routers.connect(router, spec)

    async def route(self, router: str, prefix: str, *via: str, source: str = "") -> Router:
        return await self.routers.add_route(router, route(prefix, *via, source=source))

    def places(self) -> dict[str, set[str]]:
        """What is connected where: ``router on network`` -> addresses."""
        found = {}
        for place in self.store.list(RouterPort):
            router = self.store.get(Router, place.router_id)
            assert router is not None
            network = self.control.networks.find(place.network_id)
            found[f"{router.name} on {network.name}"] = set(map(str, place.addresses))
        return found

    def routes(self) -> set[str]:
        return {
            f"{one.prefix} via {','.join(map(str, one.next_hops))}"
            + (f" from {one.source}" if one.source else "")
            for one in self.store.list(RouterRoute)
        }


def connection(network: str, *addresses: str) -> ConnectionSpec:
    if not addresses:
        return ConnectionSpec(network=network)
    return ConnectionSpec(network=network, addresses=tuple(map(ip_address, addresses)))


def route(prefix: str, *via: str, source: str = "") -> RouteSpec:
    return RouteSpec(
        prefix=ip_network(prefix),
        via=tuple(map(ip_address, via)),
        source=ip_network(source) if source else None,
    )


@pytest.fixture
async def desk() -> Desk:
    made = Desk()
    await made.network("web", "10.1.0.0/24", "fd00:1::/64")
    await made.network("db", "10.2.0.0/24")
    return made


async def test_a_router_takes_the_gateways_of_its_networks(desk: Desk) -> None:
    await desk.router("r1", "web", "db")
    assert desk.places() == {
        "r1 on web": {"10.1.0.1", "fd00:1::1"},
        "r1 on db": {"10.2.0.1"},
    }
    assert [one.name for one in desk.routers.list()] == ["r1"]
    await desk.routers.remove("r1")
    assert not desk.places()
    with pytest.raises(NotFoundError, match="router r2: not found"):
        desk.routers.find("r2")


async def test_names_live_in_a_tenant(desk: Desk) -> None:
    await desk.router("r1")
    other = await desk.router("r1", tenant="acme")
    assert desk.routers.find("acme/r1") == other
    assert desk.routers.find("r1") != other
    with pytest.raises(ConflictError, match="router r1: exists already"):
        await desk.router("r1", tenant="acme")
    await desk.router("r2")
    with pytest.raises(ConflictError, match="router r1: exists already"):
        await desk.routers.change("r2", RouterChanges(name="r1"))
    with pytest.raises(InvalidError, match="use 1 to 63 letters"):
        await desk.router("-")
    with pytest.raises(InUseError, match="tenant acme: in use by router r1"):
        await desk.control.tenants.remove("acme")


async def test_connecting_twice_is_connecting_once(desk: Desk) -> None:
    await desk.router("r1")
    await desk.connect("r1", "web")
    before = list(desk.store.list(RouterPort))
    await desk.connect("r1", "web")
    assert list(desk.store.list(RouterPort)) == before
    await desk.connect("r1", "web", "10.1.0.9")
    assert desk.places() == {"r1 on web": {"10.1.0.9"}}
    await desk.routers.disconnect("r1", "web")
    assert not desk.places()
    with pytest.raises(NotFoundError, match="router r1: is not connected to network web"):
        await desk.routers.disconnect("r1", "web")


async def test_several_routers_of_a_network_have_an_address_each(desk: Desk) -> None:
    await desk.router("r1", "web")
    await desk.router("r2")
    with pytest.raises(ConflictError, match=r"address 10.1.0.1: is router r1's .*--address"):
        await desk.connect("r2", "web")
    await desk.connect("r2", "web", "10.1.0.250", "fd00:1::250")
    assert desk.places()["r2 on web"] == {"10.1.0.250", "fd00:1::250"}
    first, second = desk.store.list(RouterPort)
    assert first.mac != second.mac


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (["10.9.0.1"], "outside the subnets of network web"),
        (["10.1.0.5", "10.1.0.6"], "both are in subnet 10.1.0.0/24"),
        (["10.1.0.0"], "cannot be given to anybody"),
        (["10.1.0.77"], "in use by port"),
    ],
)
async def test_addresses_that_no_router_can_have(
    desk: Desk, addresses: list[str], reason: str
) -> None:
    await desk.port("web", "10.1.0.77")
    await desk.router("r1")
    with pytest.raises(InvalidError, match=reason):
        await desk.connect("r1", "web", *addresses)
    assert not desk.places()


async def test_a_routers_address_is_given_to_no_port(desk: Desk) -> None:
    await desk.router("r1")
    await desk.connect("r1", "db", "10.2.0.2")
    with pytest.raises(ConflictError, match=r"address 10.2.0.2: in use by router r1"):
        await desk.port("db", "10.2.0.2")
    taken = {
        (await desk.control.ports.add(PortSpec(network="db", owner=OWNER))).addresses[0]
        for _ in range(3)
    }
    assert ip_address("10.2.0.2") not in taken


async def test_a_network_without_a_gateway_needs_an_address(desk: Desk) -> None:
    subnet = SubnetSpec(cidr=ip_network("10.3.0.0/24"), gateway=None)
    await desk.control.networks.create(NetworkSpec(name="flat", subnets=(subnet,)))
    with pytest.raises(InvalidError, match="network flat: has no gateway"):
        await desk.router("r1", "flat")
    await desk.router("r1")
    await desk.connect("r1", "flat", "10.3.0.254")


async def test_networks_that_overlap_are_not_connected_to_one_router(desk: Desk) -> None:
    await desk.network("one", "10.7.0.0/24", tenant="acme", is_internal=True)
    await desk.network("two", "10.7.0.0/16", tenant="labs", is_internal=True, shared_with=["acme"])
    await desk.router("r1", "acme/one", tenant="acme")
    with pytest.raises(ConflictError, match=r"router acme/r1: subnet .* overlaps .* tell them"):
        await desk.connect("acme/r1", "labs/two")
    assert desk.places() == {"r1 on one": {"10.7.0.1"}}


async def test_a_bare_network_name_is_of_the_routers_own_tenant(desk: Desk) -> None:
    await desk.network("web", "10.5.0.0/24", tenant="acme")
    await desk.network("labs", "10.6.0.0/24", tenant="acme")
    await desk.router("r1", "web", tenant="acme")
    await desk.connect("acme/r1", "labs")
    assert desk.places() == {"r1 on web": {"10.5.0.1"}, "r1 on labs": {"10.6.0.1"}}
    with pytest.raises(NotFoundError, match="network acme/db: not found; did you mean default/db"):
        await desk.connect("acme/r1", "db")
    with pytest.raises(NotFoundError, match="network default/labs: not found; did you mean acme/"):
        await desk.connect((await desk.router("r2")).id, "labs")
    with pytest.raises(NotFoundError, match="router acme/r1: is not connected to network web"):
        await desk.routers.disconnect("acme/r1", "default/web")
    await desk.routers.disconnect("acme/r1", "web")
    assert desk.places() == {"r1 on labs": {"10.6.0.1"}}


async def test_a_network_of_another_tenant_must_be_shared(desk: Desk) -> None:
    await desk.network("labs", "10.5.0.0/24", tenant="acme")
    await desk.router("r1")
    with pytest.raises(ConflictError, match=r"not shared with default; .* --share-with default"):
        await desk.connect("r1", "acme/labs")
    await desk.control.networks.change("acme/labs", NetworkChanges(shared_with=("default",)))
    await desk.connect("r1", "acme/labs")
    with pytest.raises(InUseError, match="network labs: in use by router r1; disconnect it"):
        await desk.control.networks.change("acme/labs", NetworkChanges(shared_with=()))
    await desk.routers.disconnect("r1", "acme/labs")
    await desk.control.networks.change("acme/labs", NetworkChanges(shared_with=()))


async def test_what_cannot_be_shared(desk: Desk) -> None:
    with pytest.raises(InvalidError, match="network web: is tenant default's own"):
        await desk.control.networks.change("web", NetworkChanges(shared_with=("default",)))
    with pytest.raises(NotFoundError, match="tenant nobody: not found"):
        await desk.control.networks.change("web", NetworkChanges(shared_with=("nobody",)))


async def test_routes_come_change_and_go(desk: Desk) -> None:
    await desk.router("r1", "web", "db")
    await desk.route("r1", "192.0.2.0/24", "10.1.0.8")
    await desk.route("r1", "192.0.2.0/24", "10.1.0.8", "10.2.0.8")
    await desk.route("r1", "192.0.2.0/24", "10.2.0.9", source="10.1.0.0/24")
    await desk.route("r1", "198.51.100.0/24")
    assert desk.routes() == {
        "192.0.2.0/24 via 10.1.0.8,10.2.0.8",
        "192.0.2.0/24 via 10.2.0.9 from 10.1.0.0/24",
        "198.51.100.0/24 via ",
    }
    await desk.routers.remove_route("r1", ip_network("192.0.2.0/24"), ip_network("10.1.0.0/24"))
    await desk.routers.remove_route("r1", ip_network("198.51.100.0/24"))
    assert desk.routes() == {"192.0.2.0/24 via 10.1.0.8,10.2.0.8"}
    with pytest.raises(NotFoundError, match=r"router r1: has no route to 198.51.100.0/24"):
        await desk.routers.remove_route("r1", ip_network("198.51.100.0/24"))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (route("192.0.2.0/24", "10.9.0.1"), "10.9.0.1 is in no subnet that router r1"),
        (route("192.0.2.0/24", "10.1.0.1"), "10.1.0.1 is the router itself"),
        (route("192.0.2.0/24", "fd00:1::8"), "two families"),
        (route("192.0.2.0/24", "10.1.0.8", source="fd00:1::/64"), "two families"),
        (route("192.0.2.0/24", "10.1.0.8", "10.1.0.8"), "there twice"),
    ],
)
async def test_routes_that_lead_nowhere(desk: Desk, wrong: RouteSpec, reason: str) -> None:
    await desk.router("r1", "web")
    with pytest.raises(InvalidError, match=reason):
        await desk.routers.add_route("r1", wrong)
    assert not desk.routes()


async def test_routes_in_a_circle_are_refused(desk: Desk) -> None:
    await desk.router("r1", "web", "db")
    await desk.router("r2")
    await desk.connect("r2", "db", "10.2.0.250")
    await desk.route("r1", "192.0.2.0/24", "10.2.0.250")
    with pytest.raises(ConflictError, match="leads in a circle, through r2, r1 and there again"):
        await desk.route("r2", "192.0.0.0/16", "10.2.0.1")
    await desk.route("r2", "198.51.100.0/24", "10.2.0.1")


async def test_removal_of_what_is_used_names_the_users(desk: Desk) -> None:
    await desk.router("r1", "web", "db")
    await desk.router("r2")
    await desk.connect("r2", "db", "10.2.0.250")
    await desk.route("r1", "192.0.2.0/24", "10.2.0.250")
    used = "router r2: in use by route to 192.0.2.0/24 of router r1"
    with pytest.raises(InUseError, match=used):
        await desk.routers.remove("r2")
    with pytest.raises(InUseError, match=used):
        await desk.routers.disconnect("r2", "db")
    with pytest.raises(InvalidError, match=r"10.2.0.250 is in no subnet"):
        await desk.routers.disconnect("r1", "db")
    with pytest.raises(InUseError, match="network db: in use by router r1, r2; weft router disc"):
        await desk.control.networks.remove("db")
    await desk.routers.remove("r1")
    await desk.routers.remove("r2")
    await desk.control.networks.remove("db")
    assert not [*desk.store.list(RouterPort), *desk.store.list(RouterRoute)]


async def test_a_change_says_all_of_what_it_says(desk: Desk) -> None:
    await desk.router("r1", "web", "db")
    await desk.route("r1", "192.0.2.0/24", "10.1.0.8")
    changes = RouterChanges(networks=(connection("web"),), labels={"a": "1"}, description="edge")
    changed = await desk.routers.change("r1", changes)
    assert (changed.labels, changed.description) == ((("a", "1"),), "edge")
    assert desk.places() == {"r1 on web": {"10.1.0.1", "fd00:1::1"}}
    assert desk.routes() == {"192.0.2.0/24 via 10.1.0.8"}
    twice = RouterChanges(networks=(connection("web"), connection("web")))
    with pytest.raises(InvalidError, match="network web: is there twice"):
        await desk.routers.change("r1", twice)
    routes = (route("192.0.2.0/24"), route("192.0.2.0/24", "10.1.0.8"))
    with pytest.raises(InvalidError, match=r"route to 192.0.2.0/24: is there twice"):
        await desk.routers.change("r1", RouterChanges(routes=routes))


async def test_hosts_that_connect_a_router_at_once_make_one_connection() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    await a.control.networks.create(NetworkSpec(name="web"))
    await a.control.routers.create(RouterSpec(name="r1"))
    cluster.settle()
    for host in (a, b):
        await host.control.routers.connect("r1", connection("web"))
    cluster.settle()
    for host in (a, b):
        assert len(list(host.control.view.list(RouterPort))) == 1


def conflicts_of(desk: Desk) -> list[tuple[str, str]]:
    return [(one.kind, one.subject) for one in desk.control.conflicts()]


async def test_what_hosts_did_apart_is_shown_with_what_mends_it(desk: Desk) -> None:
    made = await desk.router("r1", "web")
    assert not conflicts_of(desk)
    twin = replace(made, id=RouterId("z" * 32))
    (place,) = desk.store.list(RouterPort)
    other = replace(place, id=RouterPortId("z" * 32), router_id=twin.id)
    await desk.store.write([Put(twin), Put(other)])
    shown = desk.control.conflicts()
    assert {(one.kind, one.subject) for one in shown} == {
        ("router", "r1"),
        ("router", "10.1.0.1"),
        ("router", "fd00:1::1"),
    }
    assert all(made.id in one.ids and twin.id in one.ids for one in shown)
    assert f"weft router set {max(made.id, twin.id)} --name NEW-NAME" in [one.fix for one in shown]


async def test_networks_that_overlap_on_a_router_are_shown(desk: Desk) -> None:
    await desk.network("one", "10.7.0.0/24", tenant="acme", is_internal=True)
    await desk.network("two", "10.7.0.0/16", tenant="labs", is_internal=True, shared_with=["acme"])
    await desk.router("r1", "acme/one", tenant="acme")
    (place,) = desk.store.list(RouterPort)
    two = desk.control.networks.find("labs/two")
    there = replace(place, id=RouterPortId("y" * 32), network_id=two.id)
    await desk.store.write([Put(there)])
    (shown,) = desk.control.conflicts()
    assert (shown.kind, "overlaps" in shown.reason) == ("router", True)
    assert shown.fix.startswith("weft router disconnect acme/r1 ")
