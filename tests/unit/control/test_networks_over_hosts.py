"""Networks and ports over several hosts: what one does is so on all, and what two did apart is
mended or shown."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.surroundings import WholeSpace
from tests.unit.cluster import Cluster, ClusterHost
from weft.config import Settings
from weft.control.specs import NetworkSpec, PortSpec, SubnetSpec
from weft.engine.ebpf.compile.ports import compile_port
from weft.engine.ebpf.tables.addresses import AddressKey
from weft.errors import ConflictError, InUseError, InvalidError, NotFoundError, WeftError
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import HostId, MacAddress, PortId
from weft.model.records import (
    ForgottenHost,
    Network,
    Owner,
    Port,
    Reservation,
    Subnet,
    Veth,
)
from weft.model.records.tenants import Tenant
from weft.store.interface import Put

OWNER = Owner(frontend="cli", reference="test")


async def make(host: ClusterHost, name: str, cidr: str) -> Network:
    spec = NetworkSpec(name=name, subnets=(SubnetSpec(cidr=ip_network(cidr)),))
    return await host.control.networks.create(spec)


async def plug(host: ClusterHost, network: str, *addresses: str, name: str = "web") -> Port:
    wanted = tuple(ip_address(text) for text in addresses)
    device = Veth(ifname="weft00000000001", peer_ifname="wefc00000000001")
    spec = PortSpec(network=network, addresses=wanted, names=(name,), device=device, owner=OWNER)
    return await host.control.ports.add(spec)


async def test_a_network_is_there_on_all_hosts_and_goes_from_all() -> None:
    cluster = await Cluster.of("a", "b", "c")
    a, b, c = cluster.hosts
    made = await make(a, "foo", "192.168.1.0/24")
    cluster.settle()
    assert b.control.networks.find("foo") == made
    await c.control.networks.remove("foo")
    cluster.settle()
    assert [host.control.networks.list() for host in cluster.hosts] == [[], [], []]


async def test_hosts_that_make_a_tenants_first_network_apart_make_the_same_tenant() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    one = await a.control.networks.create(NetworkSpec(name="foo", tenant="acme"))
    other = await b.control.networks.create(NetworkSpec(name="bar", tenant="acme"))
    assert one.tenant_id == other.tenant_id
    cluster.settle()
    (tenant,) = a.store.list(Tenant)
    assert (tenant.id, tenant.name) == (one.tenant_id, "acme")
    assert a.control.networks.find("acme/bar") == other
    with pytest.raises(NotFoundError):
        a.control.networks.find("bar")
    with pytest.raises(ConflictError, match="network foo: exists already"):
        await b.control.networks.create(NetworkSpec(name="foo", tenant="acme"))


async def test_a_port_on_no_host_holds_its_address_and_anybody_may_take_it_away() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    network = await make(a, "foo", "192.168.1.0/24")
    cluster.settle()
    address = ip_address("192.168.1.9")
    waiting = Port(
        id=PortId("00000000-0000-4000-8000-000000000001"),
        network_id=network.id,
        mac=MacAddress("02:00:00:00:00:09"),
        addresses=(address,),
        names=("late",),
        owner=OWNER,
    )
    await a.store.write([Put(waiting)])
    cluster.settle()
    for host in (a, b):
        assert host.control.ports.find("late") == waiting
        assert not list(compile_port(host.id, waiting, host.store))
        with pytest.raises(ConflictError, match="late"):
            await plug(host, "foo", "192.168.1.9")
        with pytest.raises(InUseError, match=r"late, which is on no host yet$"):
            await host.control.networks.remove("foo")
    bound = replace(waiting, host_id=b.id, slot=0)
    await b.store.write([Put(bound)])
    cluster.settle()
    assert a.control.ports.find("late") == bound
    with pytest.raises(InvalidError, match="is on host b"):
        await a.control.ports.remove(waiting.id)
    await b.store.write([Put(waiting)])
    cluster.settle()
    await a.control.ports.remove(waiting.id)
    cluster.settle()
    assert not b.control.ports.list() and not a.control.ports.list()


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "-a", "x" * 64])
async def test_a_tenants_name_is_a_label(name: str) -> None:
    cluster = await Cluster.of("a")
    with pytest.raises(InvalidError, match="tenant"):
        await cluster.hosts[0].control.networks.create(NetworkSpec(name="foo", tenant=name))
    assert not list(cluster.hosts[0].store.list(Network))


async def test_a_network_in_use_elsewhere_stays_and_its_holders_are_named() -> None:
    cluster = await Cluster.of("a", "b", "c")
    a, b, _ = cluster.hosts
    await make(a, "foo", "192.168.1.0/24")
    cluster.settle()
    await plug(b, "foo", name="web")
    cluster.settle()
    with pytest.raises(InUseError, match=r"network foo: in use by web on host b$"):
        await a.control.networks.remove("foo")


async def test_who_holds_a_network_on_a_host_that_is_away_can_be_forgotten() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    await make(a, "foo", "192.168.1.0/24")
    cluster.settle()
    await plug(b, "foo")
    cluster.settle()
    await cluster.link([a], [b])
    with pytest.raises(InUseError, match="; b is not reached, if it is gone: weft forget b"):
        await a.control.networks.remove("foo")
    await a.store.write([Put(ForgottenHost(id=b.id))])
    await a.control.networks.remove("foo")


async def test_the_places_of_other_hosts_on_a_network_go_with_it() -> None:
    cluster = await Cluster.of("a", "b", settings=Settings(name="h", rest_s=60))
    a, b = cluster.hosts
    network = await make(a, "foo", "192.168.1.0/24")
    cluster.settle()
    await b.control.host_access.expose("foo")
    port = await plug(b, "foo")
    await b.control.ports.remove(port.id)
    cluster.settle()
    assert list(a.store.list(Reservation))
    await a.control.networks.remove(network.id)
    cluster.settle()
    await cluster.heal()
    for host in cluster.hosts:
        assert [list(host.store.list(kind)) for kind in (Port, Reservation, Subnet)] == [[], [], []]


async def test_a_port_of_another_host_is_changed_there() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    await make(a, "foo", "192.168.1.0/24")
    cluster.settle()
    port = await plug(b, "foo")
    cluster.settle()
    with pytest.raises(InvalidError, match="port web on foo: is on host b; change it there"):
        await a.control.ports.remove(port.id)
    assert a.store.get(Port, port.id) == port


async def test_a_network_removed_while_it_came_into_use_is_put_back() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    network = await make(a, "foo", "192.168.1.0/24")
    cluster.settle()
    await cluster.link([a], [b])
    await a.control.networks.remove("foo")
    await plug(b, "foo", "192.168.1.7")
    await cluster.link([a, b])
    await cluster.heal()
    for host in cluster.hosts:
        assert host.control.networks.find("foo") == network
        assert [str(s.cidr) for s in host.control.networks.subnets(network)] == ["192.168.1.0/24"]
        assert host.control.conflicts() == ()


async def test_networks_of_one_name_both_stay_and_are_told_apart_by_id() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    await cluster.link([a], [b])
    one = await make(a, "foo", "10.1.0.0/24")
    other = await make(b, "foo", "10.2.0.0/24")
    await cluster.link([a, b])
    await cluster.heal()
    first, last = sorted((one.id, other.id))
    for host in cluster.hosts:
        with pytest.raises(ConflictError, match=f"several are called so, {first} and {last}"):
            host.control.networks.find("foo")
        (conflict,) = host.control.conflicts()
        assert (conflict.kind, conflict.ids) == ("name", (first, last))
        assert conflict.fix == f"weft network rename {last} NEW-NAME"
        assert host.control.networks.find(first).name == "foo"
    with pytest.raises(ConflictError, match="exists already"):
        await make(a, "foo", "10.3.0.0/24")
    await a.control.networks.rename(last, "bar")
    cluster.settle()
    assert b.control.networks.find("foo").id == first
    assert b.control.conflicts() == ()


async def test_overlapping_subnets_both_stay_and_are_shown() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    await cluster.link([a], [b])
    await make(a, "foo", "10.1.0.0/16")
    await make(b, "bar", "10.1.2.0/24")
    await cluster.link([a, b])
    await cluster.heal()
    for host in cluster.hosts:
        (conflict,) = host.control.conflicts()
        assert conflict.kind == "subnet"
        assert "10.1.0.0/16 of network foo overlaps 10.1.2.0/24 of network bar" in conflict.reason
        assert len(list(host.store.list(Subnet))) == 2


async def test_of_two_networks_with_one_vni_the_greater_id_takes_another() -> None:
    cluster = await Cluster.of("a", "b", "c")
    a, b, _ = cluster.hosts
    await cluster.link([a], cluster.hosts[1:])
    one = await make(a, "foo", "10.1.0.0/24")
    other = replace(await make(b, "bar", "10.2.0.0/24"), vni=one.vni)
    await b.store.write([Put(other)])
    await cluster.link(cluster.hosts)
    await cluster.heal()
    keeper, mover = sorted((one, other), key=lambda network: network.id)
    for host in cluster.hosts:
        assert host.control.networks.find(keeper.id) == keeper
        moved = host.control.networks.find(mover.id)
        assert moved.vni != keeper.vni and replace(moved, vni=mover.vni) == mover


async def test_one_address_given_twice_by_others_is_shown() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    network = await make(a, "foo", "10.1.0.0/24")
    cluster.settle()
    port = await plug(a, "foo", "10.1.0.9", name="web")
    await b.store.write([Put(replace(port, id="0" * 16, host_id=b.id, names=("db",)))])
    cluster.settle()
    (conflict,) = a.control.conflicts()
    assert (conflict.kind, conflict.subject) == ("address", "10.1.0.9")
    assert "held by" in conflict.reason and "db on host b" in conflict.reason
    assert network.name in conflict.reason


async def test_an_unused_network_is_merged_into_another_and_used_ones_are_not() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    one = await make(a, "foo", "10.1.0.0/24")
    other = await make(b, "bar", "10.2.0.0/24")
    cluster.settle()
    port = await plug(b, one.id)
    with pytest.raises(WeftError, match="in use by web on host b"):
        await b.control.networks.merge(one.id, other.id)
    await b.control.ports.remove(port.id)
    await b.control.networks.merge(one.id, other.id)
    cluster.settle()
    assert [n.name for n in a.control.networks.list()] == ["bar"]
    assert [str(s.cidr) for s in a.control.networks.subnets(other)] == [
        "10.1.0.0/24",
        "10.2.0.0/24",
    ]


class LostFor(WholeSpace):
    """A space that knows for how long a host has not been reached."""

    taken_after_s = 120.0

    def __init__(self, host: ClusterHost, lost: ClusterHost, seconds: float) -> None:
        self.lost, self.since_s = lost.id, host.wall_s() - seconds

    def lost_since_s(self, host: HostId) -> float | None:
        return self.since_s if host == self.lost else None


async def test_an_address_of_a_dead_host_is_taken_over_by_who_asks_for_it() -> None:
    cluster = await Cluster.of("a", "b", "c")
    a, b, c = cluster.hosts
    network = await make(a, "foo", "10.1.0.0/24")
    cluster.settle()
    old = await plug(b, "foo", "10.1.0.9", name="web")
    await plug(c, "foo", name="client")
    cluster.settle()
    with pytest.raises(ConflictError, match=r"in use by port web on foo, on host b; choose"):
        await plug(a, "foo", "10.1.0.9", name="web")
    await cluster.link([a, c], [b])
    a.context.space = LostFor(a, b, seconds=10)
    with pytest.raises(ConflictError, match=r"not reached \(if it is gone: weft forget b\)"):
        await plug(a, "foo", "10.1.0.9", name="web")
    a.context.space = LostFor(a, b, seconds=121)
    new = await plug(a, "foo", "10.1.0.9", name="web")
    assert (new.mac, new.replaces) == (old.mac, (old.id,))
    cluster.settle()
    for id, expected in ((new.id, True), (old.id, False)):
        port = c.store.get(Port, id)
        assert port is not None
        rows = {row.key for row in compile_port(c.id, port, c.store)}
        assert (AddressKey(network.vni, ip_address("10.1.0.9")) in rows) is expected
    await cluster.link(cluster.hosts)
    (conflict,) = b.control.conflicts()
    assert "web on host a took it over from web on host b" in conflict.reason
    await b.control.ports.remove(old.id)
    cluster.settle()
    assert a.control.conflicts() == ()


async def test_an_address_of_a_forgotten_host_is_free_for_who_asks_for_it() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    await make(a, "foo", "10.1.0.0/24")
    cluster.settle()
    await plug(b, "foo", "10.1.0.9")
    cluster.settle()
    await a.store.write([Put(ForgottenHost(id=b.id))])
    assert str((await plug(a, "foo", "10.1.0.9")).addresses[0]) == "10.1.0.9"
