"""Tenants: made, renamed, bounded by quotas and removed."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import pytest

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from tests.unit.cluster import Cluster
from weft.config import Settings
from weft.control.context import Context
from weft.control.control import Control
from weft.control.specs import (
    NetworkSpec,
    PortSpec,
    QuotaSpec,
    SubnetSpec,
    TenantChanges,
    TenantSpec,
)
from weft.errors import ConflictError, ExhaustedError, InUseError, InvalidError, NotFoundError
from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Owner, Quota, Tenant
from weft.model.records.tenants import DEFAULT_TENANT
from weft.store.interface import Put
from weft.store.memory import MemoryStore

OWNER = Owner(frontend="cli", reference="test")
HERE = HostId("a" * 16)


class Desk:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.control: Control = control_alone(
            Context(
                store=self.store,
                settler=AtOnce(),
                settings=Settings(name="h1"),
                host_id=HERE,
                wall_s=lambda: 1_000_000.0,
                random_bytes=random.Random(7).randbytes,
                host_routes=tuple,
                targets=NothingRuns(),
                space=WholeSpace,
            )
        )

    async def network(self, name: str, tenant: str = "default", *cidrs: str) -> None:
        subnets = tuple(SubnetSpec(cidr=ip_network(cidr)) for cidr in cidrs)
        await self.control.networks.create(NetworkSpec(name=name, tenant=tenant, subnets=subnets))

    async def port(self, network: str, *addresses: str) -> None:
        wanted = tuple(map(ip_address, addresses))
        await self.control.ports.add(PortSpec(network=network, addresses=wanted, owner=OWNER))

    async def quota(self, tenant: str, **limits: int | None) -> Tenant:
        changes = TenantChanges(quota=QuotaSpec(**limits))
        return await self.control.tenants.change(tenant, changes)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_tenant_is_made_found_and_removed(desk: Desk) -> None:
    made = await desk.control.tenants.create(TenantSpec(name="acme", labels={"b": "2", "a": "1"}))
    assert made.labels == (("a", "1"), ("b", "2"))
    assert made.quota is None
    assert desk.control.tenants.find("acme") == desk.control.tenants.find(made.id[:8]) == made
    assert [one.name for one in desk.control.tenants.list()] == ["acme", "default"]
    with pytest.raises(ConflictError, match="tenant acme: exists already"):
        await desk.control.tenants.create(TenantSpec(name="acme"))
    await desk.control.tenants.remove("acme")
    with pytest.raises(NotFoundError, match="tenant acm: not found"):
        desk.control.tenants.find("acm")


async def test_a_tenant_of_a_first_network_is_the_same_as_one_that_was_made(desk: Desk) -> None:
    made = await desk.control.tenants.create(TenantSpec(name="acme"))
    await desk.network("web", "acme")
    assert desk.control.networks.find("acme/web").tenant_id == made.id


@pytest.mark.parametrize("name", ["", "a.b", "-a", "a/b", "x" * 64, "ä", "a\n"])
async def test_names_that_no_tenant_can_have(desk: Desk, name: str) -> None:
    await desk.control.tenants.create(TenantSpec(name="acme"))
    with pytest.raises(InvalidError, match="use 1 to 63 letters"):
        await desk.control.tenants.create(TenantSpec(name=name))
    with pytest.raises(InvalidError, match="use 1 to 63 letters"):
        await desk.control.tenants.change("acme", TenantChanges(name=name))


async def test_a_renamed_tenant_keeps_its_networks(desk: Desk) -> None:
    await desk.network("web", "acme")
    before = desk.control.networks.find("acme/web")
    await desk.control.tenants.change("acme", TenantChanges(name="labs"))
    assert desk.control.networks.find("labs/web") == before
    with pytest.raises(NotFoundError):
        desk.control.networks.find("acme/web")
    with pytest.raises(ConflictError, match="tenant acme: another tenant was called so"):
        await desk.network("db", "acme")


async def test_a_name_that_is_taken_is_refused(desk: Desk) -> None:
    for name in ("acme", "labs"):
        await desk.control.tenants.create(TenantSpec(name=name))
    for name in ("labs", "default"):
        with pytest.raises(ConflictError, match=f"tenant {name}: exists already"):
            await desk.control.tenants.change("acme", TenantChanges(name=name))


async def test_the_default_tenant_is_always_there_and_may_have_a_quota(desk: Desk) -> None:
    assert desk.control.tenants.find("default").id == DEFAULT_TENANT
    assert not tuple(desk.store.list(Tenant))
    changed = await desk.quota("default", ports=1)
    assert desk.store.get(Tenant, DEFAULT_TENANT) == changed
    assert (changed.name, changed.quota) == ("default", Quota(ports=1))
    for refused in (
        desk.control.tenants.remove("default"),
        desk.control.tenants.change("default", TenantChanges(name="other")),
    ):
        with pytest.raises(InvalidError, match="tenant default: is the one of all that names none"):
            await refused
    with pytest.raises(ConflictError, match="exists already"):
        await desk.control.tenants.create(TenantSpec(name="default"))


async def test_removal_of_a_tenant_names_its_networks(desk: Desk) -> None:
    for name in ("web", "db"):
        await desk.network(name, "acme")
    with pytest.raises(InUseError, match="tenant acme: in use by network db, web"):
        await desk.control.tenants.remove("acme")


async def test_a_quota_bounds_networks_ports_and_addresses(desk: Desk) -> None:
    limits = QuotaSpec(networks=1, ports=2, addresses=3)
    await desk.control.tenants.create(TenantSpec(name="acme", quota=limits))
    await desk.network("web", "acme", "10.9.0.0/24", "fd00:9::/64")
    with pytest.raises(
        ExhaustedError,
        match=r"tenant acme: its quota is 1 networks, and it has 1; .* weft tenant set acme "
        "--networks 2",
    ):
        await desk.network("db", "acme")
    await desk.port("acme/web")
    with pytest.raises(ExhaustedError, match="its quota is 3 addresses, and it has 2"):
        await desk.port("acme/web")
    await desk.quota("acme", addresses=None)
    await desk.port("acme/web")
    with pytest.raises(ExhaustedError, match="its quota is 2 ports, and it has 2"):
        await desk.port("acme/web")
    await desk.network("other")
    for _ in range(4):
        await desk.port("other")


async def test_a_smaller_quota_takes_nothing_away_and_stops_what_comes(desk: Desk) -> None:
    await desk.network("web", "acme")
    await desk.port("acme/web")
    await desk.quota("acme", ports=0, networks=0)
    assert len(desk.control.ports.list("acme/web")) == 1
    with pytest.raises(ExhaustedError, match="its quota is 0 ports, and it has 1"):
        await desk.port("acme/web")
    await desk.control.networks.rename("acme/web", "shop")


async def test_what_is_left_out_of_a_quota_stays(desk: Desk) -> None:
    await desk.quota("default", ports=5, networks=6)
    assert (await desk.quota("default", ports=7)).quota == Quota(ports=7, networks=6)
    assert (await desk.quota("default", ports=None)).quota == Quota(networks=6)
    assert (await desk.quota("default", networks=None)).quota is None


async def test_the_hosts_own_places_and_forgotten_hosts_count_not(desk: Desk) -> None:
    await desk.network("web", "default", "10.9.0.0/24")
    await desk.quota("default", ports=1)
    await desk.control.host_access.expose("web")
    await desk.port("web")
    with pytest.raises(ExhaustedError):
        await desk.port("web")
    await desk.store.write([Put(ForgottenHost(id=HERE))])
    await desk.port("web")


async def test_a_quota_holds_for_all_hosts_once_they_have_heard_of_it() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    await a.control.tenants.create(TenantSpec(name="acme", quota=QuotaSpec(networks=1)))
    cluster.settle()
    await b.control.networks.create(NetworkSpec(name="web", tenant="acme"))
    cluster.settle()
    with pytest.raises(ExhaustedError, match="tenant acme"):
        await a.control.networks.create(NetworkSpec(name="db", tenant="acme"))
