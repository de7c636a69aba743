"""Subnets beside what hosts have themselves, and beside networks of other tenants."""

from __future__ import annotations

import random
from ipaddress import ip_network

import pytest

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from weft.config import Settings
from weft.control.answers.conflicts import conflicts
from weft.control.context import Context, HostRoute
from weft.control.control import Control
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.errors import ConflictError
from weft.model.ids import HostId, NetworkId, SubnetId, Vni
from weft.model.records import Host, HostPrefixes, Network, Subnet
from weft.model.records.tenants import tenant_id
from weft.store.interface import Put
from weft.store.memory import MemoryStore
from weft.topology.prefixes import prefixes_cut_off

HERE, THERE = HostId("1" * 16), HostId("2" * 16)
TUNNEL = ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")
"""What a VPN for everything routes into itself."""


def control(
    store: MemoryStore, *, links: tuple[str, ...] = (), routes: tuple[str, ...] = ()
) -> Control:
    known = [(prefix, True) for prefix in links] + [(prefix, False) for prefix in routes]
    return control_alone(
        Context(
            store=store,
            settler=AtOnce(),
            settings=Settings(name="h1"),
            host_id=HERE,
            wall_s=lambda: 1_000_000.0,
            random_bytes=random.Random(7).randbytes,
            host_routes=lambda: [
                HostRoute(ip_network(prefix), f"{prefix} dev x0", is_link=is_link)
                for prefix, is_link in known
            ],
            targets=NothingRuns(),
            space=WholeSpace,
        )
    )


def prefixes(*links: str, routes: tuple[str, ...] = ()) -> HostPrefixes:
    """What another host has itself."""
    return HostPrefixes(
        id=THERE,
        host_id=THERE,
        links=tuple(map(ip_network, links)),
        routes=tuple(map(ip_network, routes)),
    )


async def made(
    control: Control, name: str, *cidrs: str, tenant: str = "default", **fields: object
) -> list[str]:
    spec = NetworkSpec(
        name=name,
        tenant=tenant,
        subnets=tuple(SubnetSpec(cidr=ip_network(cidr)) for cidr in cidrs),
        **fields,  # type: ignore[arg-type]
    )
    network = await control.networks.create(spec)
    return [str(subnet.cidr) for subnet in control.networks.subnets(network)]


async def test_a_vpn_for_everything_is_in_no_networks_way() -> None:
    host = control(MemoryStore(), routes=TUNNEL)
    assert await made(host, "named", "192.168.1.0/24", "fd00:1::/64")
    assert await made(host, "cut", is_ipv6=True) == ["10.32.0.0/24", "fd77:6566:7410::/64"]


async def test_the_pool_avoids_a_companys_routes_while_it_can_and_survives_them() -> None:
    assert await made(control(MemoryStore(), routes=("10.32.0.0/13",)), "a") == ["10.40.0.0/24"]
    host = control(MemoryStore(), routes=("10.0.0.0/8", "10.32.0.0/24", "10.32.1.128/25"))
    assert await made(host, "a") == ["10.32.2.0/24"]


@pytest.mark.parametrize(
    ("links", "routes", "cidr", "is_refused"),
    [
        (("10.0.0.0/8",), (), "10.80.0.0/24", True),
        (("10.80.0.0/24",), (), "10.80.0.0/24", True),
        (("10.80.0.64/26",), (), "10.80.0.0/24", True),
        ((), ("10.0.0.0/8",), "10.80.0.0/24", False),
        ((), ("10.80.0.0/24",), "10.80.0.0/24", True),
        ((), ("10.80.0.9/32",), "10.80.0.0/24", True),
        (("fd00::/32",), (), "fd00:0:1::/64", True),
        ((), ("fd00::/32",), "fd00:0:1::/64", False),
        ((), ("fd00:0:1::/64",), "fd00:0:1::/64", True),
    ],
)
async def test_what_is_in_the_way_of_a_subnet_by_name(
    links: tuple[str, ...], routes: tuple[str, ...], cidr: str, *, is_refused: bool
) -> None:
    host = control(MemoryStore(), links=links, routes=routes)
    if is_refused:
        with pytest.raises(ConflictError, match="overlaps the host's route"):
            await made(host, "foo", cidr)
        await made(host, "foo", cidr, is_forced=True)
    else:
        await made(host, "foo", cidr)


async def test_the_pool_avoids_what_other_hosts_have() -> None:
    store = MemoryStore()
    store.apply([Put(prefixes("10.32.0.0/24", routes=("10.32.1.0/24",)))])
    assert await made(control(store), "a") == ["10.32.2.0/24"]


async def test_what_another_host_claims_does_not_empty_the_pool() -> None:
    store = MemoryStore()
    store.apply([Put(prefixes("10.0.0.0/8", routes=("10.32.0.0/12",)))])
    assert await made(control(store, links=("10.32.0.0/24",)), "a") == ["10.32.1.0/24"]


async def test_a_subnet_that_another_host_has_itself_is_taken_by_name_and_shown() -> None:
    store = MemoryStore()
    store.apply([Put(Host(id=THERE, name="h2")), Put(prefixes("172.18.0.0/16"))])
    host = control(store)
    await made(host, "foo", "172.18.0.0/16")
    (conflict,) = host.conflicts()
    assert conflict.kind == "host-prefix"
    assert conflict.subject == "172.18.0.0/16"
    assert "host h2 has 172.18.0.0/16" in conflict.reason
    assert conflict.fix
    await store.write([Put(prefixes("172.19.0.0/16"))])
    assert not host.conflicts()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.9.0.0/24", "10.9.0.0/25"),
        ("10.9.0.0/25", "10.9.0.0/24"),
        ("fd09::/48", "fd09::/64"),
        ("fd09::/64", "fd09::/48"),
    ],
)
@pytest.mark.parametrize("later", [{}, {"is_internal": True}])
async def test_of_two_tenants_the_first_keeps_the_way_out(
    one: str, other: str, later: dict[str, bool]
) -> None:
    """Whatever ids the networks happen to get, a second tenant takes nothing away."""
    for _ in range(5):
        store = MemoryStore()
        host = control(store)
        await made(host, "foo", one, tenant="blue")
        await made(host, "foo", other, tenant="red", **later)
        first, second = (host.networks.find(name) for name in ("blue/foo", "red/foo"))
        assert not store.ask(prefixes_cut_off, first.id)
        assert store.ask(prefixes_cut_off, second.id)
        assert not host.conflicts()
        await host.networks.remove(first.id)
        assert not store.ask(prefixes_cut_off, second.id)


async def test_what_one_tenant_has_it_has_once() -> None:
    host = control(MemoryStore())
    await made(host, "foo", "10.9.0.0/24", tenant="blue")
    await made(host, "foo", "10.9.0.0/24", tenant="red")
    for name, tenant in (("bar", "blue"), ("bar", "red")):
        with pytest.raises(ConflictError, match=f"of network {tenant}/foo; choose another"):
            await made(host, name, "10.9.0.0/24", tenant=tenant)


async def test_an_internal_network_keeps_nobody_from_a_way_out() -> None:
    store = MemoryStore()
    host = control(store)
    await made(host, "foo", "10.9.0.0/24", tenant="blue", is_internal=True)
    await made(host, "foo", "10.9.0.0/24", tenant="red")
    assert not store.ask(prefixes_cut_off, host.networks.find("red/foo").id)
    assert not host.conflicts()


@pytest.mark.parametrize("is_internal", [(True, False), (False, True)])
async def test_one_network_with_a_way_out_may_overlap_internal_ones_of_other_tenants(
    is_internal: tuple[bool, bool],
) -> None:
    host = control(MemoryStore())
    for tenant, is_one_internal in zip(("blue", "red"), is_internal):
        await made(host, "foo", "10.9.0.0/24", tenant=tenant, is_internal=is_one_internal)
    await made(host, "foo", "10.9.0.0/24", tenant="green", is_internal=True)
    assert not host.conflicts()
    internal, outside = ("blue", "red") if is_internal[0] else ("red", "blue")
    with pytest.raises(ConflictError, match="expose"):
        await host.host_access.expose(f"{internal}/foo")
    await host.host_access.expose(f"{outside}/foo")


async def test_a_host_keeps_its_place_on_an_internal_network() -> None:
    store = MemoryStore()
    host = control(store)
    await made(host, "foo", "10.9.0.0/24", tenant="blue", is_internal=True)
    await host.host_access.expose("blue/foo")
    await made(host, "foo", "10.9.0.0/24", tenant="red")
    first, second = (host.networks.find(name) for name in ("blue/foo", "red/foo"))
    assert not store.ask(prefixes_cut_off, first.id)
    assert store.ask(prefixes_cut_off, second.id)


async def test_internal_networks_of_two_tenants_may_overlap() -> None:
    host = control(MemoryStore())
    await made(host, "foo", "10.9.0.0/24", tenant="blue", is_internal=True)
    await made(host, "foo", "10.9.0.0/24", tenant="red", is_internal=True)
    with pytest.raises(ConflictError):
        await made(host, "bar", "10.9.0.0/24", tenant="red", is_internal=True)
    assert not host.conflicts()


async def test_a_pool_is_cut_beside_the_networks_of_all_tenants() -> None:
    host = control(MemoryStore())
    assert await made(host, "foo", tenant="blue") == ["10.32.0.0/24"]
    assert await made(host, "foo", tenant="red") == ["10.32.1.0/24"]


def network(id: str, cidr: str, tenant: str, *, is_internal: bool = False) -> list[Put]:
    """Records as an older weftd, or another half of the cluster, may have written them."""
    made = Network(
        id=NetworkId(id * 16),
        name=f"net{id}",
        tenant_id=tenant_id(tenant),
        vni=Vni(5),
        is_internal=is_internal,
    )
    subnet = Subnet(
        id=SubnetId(id * 16), cidr=ip_network(cidr), network_id=made.id, tenant_id=made.tenant_id
    )
    return [Put(made), Put(subnet)]


@pytest.mark.parametrize(
    ("one", "other", "is_internal", "expected"),
    [
        ("10.9.0.0/24", "10.9.0.0/24", (False, False), "neta"),
        ("10.9.0.0/16", "10.9.3.0/24", (False, False), "neta"),
        ("fd09::/48", "fd09::/64", (False, False), "neta"),
        ("10.9.0.0/24", "10.9.0.0/24", (True, False), None),
        ("10.9.0.0/24", "10.9.0.0/24", (True, True), None),
        ("10.9.0.0/24", "10.9.1.0/24", (False, False), None),
    ],
)
def test_tenants_that_were_merged_with_one_prefix_are_a_conflict(
    one: str, other: str, is_internal: tuple[bool, bool], expected: str | None
) -> None:
    store = MemoryStore()
    store.apply(network("a", one, "blue", is_internal=is_internal[0]))
    store.apply(network("b", other, "red", is_internal=is_internal[1]))
    found = [conflict for conflict in conflicts(store) if conflict.kind == "subnet"]
    if expected is None:
        assert not found
    else:
        (conflict,) = found
        assert conflict.ids == ("a" * 16, "b" * 16)
        assert f"/{expected} has a way out" in conflict.reason
