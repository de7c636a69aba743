from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from tests.surroundings import AtOnce, WholeSpace, control_alone
from weft.config import Settings
from weft.control.commits import Ticket
from weft.control.context import Context, HostRoute, Target
from weft.control.specs import AttachSpec, NameSpec, NetworkSpec, PortSpec, SubnetSpec
from weft.engine.claims import RecordName
from weft.engine.failures import Failure, record_name
from weft.engine.rows import RowKey
from weft.errors import ConflictError, ExhaustedError, InUseError, InvalidError, NotFoundError
from weft.model.addresses import IPNetwork
from weft.model.choices import ReservationReason, TransportProtocol
from weft.model.ids import HostId
from weft.model.records import (
    AddressRange,
    Owner,
    Port,
    PublishedPort,
    Reservation,
    Subnet,
    Veth,
)
from weft.store.interface import Key
from weft.store.memory import MemoryStore

OWNER = Owner(frontend="cli", reference="test")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Refusing(AtOnce):
    """A kernel that refuses everything."""

    def __init__(self) -> None:
        self._records: Sequence[RecordName] = ()

    @contextlib.contextmanager
    def ticket(self, records: Iterable[Key], beneath: Iterable[Key]) -> Iterator[Ticket]:
        self._records = [record_name(key) for key in records]
        yield self

    async def settled(self) -> Sequence[Failure]:
        row = RowKey("devices", "weftx")
        return [Failure(row, self._records, "device weftx: no such namespace")]


class OneContainer:
    """A machine on which one container runs."""

    async def resolve(self, target: str) -> Target:
        return Target("/proc/7/ns/net", 77, frozenset({"lo", "eth0"}), "c" * 64, "web")


class Desk:
    """A control over a memory store, and its clock."""

    def __init__(self, settler: AtOnce | None = None, routes: tuple[str, ...] = ()) -> None:
        self.store = MemoryStore()
        self.clock = Clock()
        self.control = control_alone(
            Context(
                store=self.store,
                settler=settler or AtOnce(),
                settings=Settings(name="h1"),
                host_id=HostId("h" * 16),
                wall_s=self.clock,
                random_bytes=random.Random(7).randbytes,
                host_routes=lambda: [
                    HostRoute(ip_network(r), f"{r} dev eth0", is_link=True) for r in routes
                ],
                targets=OneContainer(),
                space=WholeSpace,
            )
        )

    async def network(self, name: str = "foo", *cidrs: str, **options: object) -> None:
        subnets = tuple(SubnetSpec(cidr=ip_network(cidr)) for cidr in cidrs)
        await self.control.networks.create(NetworkSpec(name=name, subnets=subnets, **options))  # type: ignore[arg-type]

    async def port(self, network: str = "foo", **fields: object) -> Port:
        return await self.control.ports.add(PortSpec(network=network, owner=OWNER, **fields))  # type: ignore[arg-type]


async def test_network_gets_its_gateway_and_ports_the_next_addresses() -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24", "fd00::/64")
    (v4, v6) = desk.control.networks.subnets(desk.control.networks.find("foo"))
    assert (str(v4.gateway), str(v6.gateway)) == ("192.168.1.1", "fd00::1")
    first, second = await desk.port(), await desk.port()
    assert list(map(str, first.addresses)) == ["192.168.1.2", "fd00::2"]
    assert list(map(str, second.addresses)) == ["192.168.1.3", "fd00::3"]
    assert (first.slot, second.slot) == (0, 1)
    assert first.mac != second.mac


async def test_network_without_subnet_is_cut_from_the_pool_around_routes() -> None:
    desk = Desk(routes=("10.32.0.0/16", "0.0.0.0/0"))
    await desk.network("a", is_ipv6=True)
    await desk.network("b")
    cidrs = sorted(str(subnet.cidr) for subnet in desk.store.list(Subnet))
    assert cidrs == ["10.33.0.0/24", "10.33.1.0/24", "fd77:6566:7410::/64"]


async def test_overlap_with_a_route_is_refused_by_name_and_can_be_forced() -> None:
    desk = Desk(routes=("192.168.0.0/16",))
    with pytest.raises(ConflictError, match=r"192\.168\.0\.0/16 dev eth0.*--force"):
        await desk.network("foo", "192.168.1.0/24")
    assert not tuple(desk.store.list(Subnet))
    await desk.network("foo", "192.168.1.0/24", is_forced=True)


@pytest.mark.parametrize(
    ("cidrs", "match"),
    [
        (("10.0.0.0/24", "10.0.0.0/25"), "overlaps"),
        (("192.168.1.128/25",), "of network foo"),
    ],
)
async def test_overlapping_subnets_are_refused(cidrs: tuple[str, ...], match: str) -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24")
    with pytest.raises(ConflictError, match=match):
        await desk.network("bar", *cidrs)
    assert [network.name for network in desk.control.networks.list()] == ["foo"]


@pytest.mark.parametrize(
    ("address", "error", "match"),
    [
        ("192.168.1.2", ConflictError, "in use by port"),
        ("192.168.1.1", ConflictError, "gateway"),
        ("192.168.2.1", InvalidError, "outside"),
        ("192.168.1.255", InvalidError, "cannot be given"),
        ("fd00::1", InvalidError, "outside"),
    ],
)
async def test_a_wanted_address_that_cannot_be_had(
    address: str, error: type[Exception], match: str
) -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24")
    await desk.port()
    with pytest.raises(error, match=match):
        await desk.port(addresses=(ip_address(address),))
    assert len(tuple(desk.store.list(Port))) == 1


async def test_released_addresses_rest_but_can_be_asked_for() -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24")
    port = await desk.port()
    await desk.control.ports.remove(port.id)
    await desk.control.ports.remove(port.id)
    other = await desk.port()
    assert str(other.addresses[0]) == "192.168.1.3"
    again = await desk.port(addresses=port.addresses)
    assert again.addresses == port.addresses
    assert again.mac == port.mac
    assert not tuple(desk.store.list(Reservation))


async def test_rest_ends() -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24")
    port = await desk.port()
    await desk.control.ports.remove(port.id)
    desk.clock.now_s += 61
    assert (await desk.port()).addresses == port.addresses


async def test_the_last_address_is_found_even_if_it_rests_and_then_none_is_left() -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/29")
    ports = [await desk.port() for _ in range(5)]
    with pytest.raises(ExhaustedError, match="no address is free"):
        await desk.port()
    await desk.control.ports.remove(ports[3].id)
    assert (await desk.port()).addresses == ports[3].addresses


async def test_ranges_and_excludes_bound_what_is_given() -> None:
    desk = Desk()
    spec = SubnetSpec(
        cidr=ip_network("10.1.0.0/24"),
        ranges=(AddressRange(first=ip_address("10.1.0.8"), last=ip_address("10.1.0.11")),),
        excludes=(AddressRange(first=ip_address("10.1.0.9"), last=ip_address("10.1.0.10")),),
    )
    await desk.control.networks.create(NetworkSpec(name="foo", subnets=(spec,)))
    given = [str((await desk.port()).addresses[0]) for _ in range(2)]
    assert given == ["10.1.0.8", "10.1.0.11"]
    assert (await desk.port(addresses=(ip_address("10.1.0.9"),))).addresses


async def test_ports_are_found_by_their_labels() -> None:
    desk = Desk()
    await desk.control.networks.create(NetworkSpec(name="foo"))
    owner = Owner(frontend="cli")
    spec = PortSpec(network="foo", labels=(("tier", "web"), ("app", "shop")), owner=owner)
    port = await desk.control.ports.add(spec)
    await desk.control.ports.add(PortSpec(network="foo", labels=(("tier", "db"),), owner=owner))
    view = desk.control.view
    assert port.labels == (("app", "shop"), ("tier", "web"))
    assert tuple(view.by(Port, "labels", ("tier", "web"))) == (port,)
    assert set(view.beginning(Port, "labels", "tier")) == {("tier", "web"), ("tier", "db")}
    for labels in ((("", "x"),), (("a", "b"), ("a", "c"))):
        with pytest.raises(InvalidError, match="label"):
            await desk.control.ports.add(PortSpec(network="foo", labels=labels, owner=owner))
    with pytest.raises(InvalidError, match="label"):
        await desk.control.networks.create(NetworkSpec(name="bar", labels=(("", "x"),)))


async def test_docker_pool_becomes_a_networks_subnet() -> None:
    desk = Desk()
    pools, reservations = desk.control.pools, desk.control.reservations
    cidr: IPNetwork = ip_network("192.168.1.0/24")
    pool = await pools.request(SubnetSpec(cidr=cidr), family=4)
    assert await pools.request(SubnetSpec(cidr=cidr), family=4) == pool
    gateway = await reservations.reserve(pool.id, None, ReservationReason.GATEWAY)
    assert str(gateway.address) == "192.168.1.1"
    network = await desk.control.networks.create(NetworkSpec(name="foo"), adopt=[pool.id])
    (subnet,) = desk.control.networks.subnets(network)
    assert (subnet.id, str(subnet.gateway)) == (pool.id, "192.168.1.1")
    held = await reservations.reserve(pool.id, None, ReservationReason.DOCKER)
    assert str(held.address) == "192.168.1.2"
    with pytest.raises(ConflictError, match="reservation"):
        await reservations.reserve(pool.id, held.address, ReservationReason.DOCKER)
    with pytest.raises(ConflictError, match="reservation"):
        await desk.port(addresses=(held.address,))
    port = await desk.control.ports.add(
        PortSpec(
            network="foo",
            addresses=(held.address,),
            owner=Owner(frontend="docker", takes_reservations=True),
        )
    )
    await reservations.release(pool.id, held.address)
    assert desk.control.ports.find(port.id) == port
    await pools.release(pool.id)
    assert desk.store.get(Subnet, pool.id) is not None


async def test_what_the_kernel_refuses_leaves_no_record() -> None:
    desk = Desk(Refusing())
    with pytest.raises(Exception, match="no such namespace; nothing was changed"):
        await desk.network("foo", "192.168.1.0/24")
    assert not desk.control.networks.list()
    assert not tuple(desk.store.list(Subnet))


async def test_network_in_use_names_its_users() -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24")
    port = await desk.port(names=("web",))
    with pytest.raises(InUseError, match="foo: in use by web on host h"):
        await desk.control.networks.remove("foo")
    await desk.control.ports.remove(port.id)
    await desk.control.host_access.expose("foo")
    await desk.control.names.add(
        NameSpec(name="db", network="foo", addresses=(IPv4Address("192.168.1.9"),))
    )
    await desk.control.networks.remove("foo")
    assert not [r for kind in (Port, Subnet, Reservation) for r in desk.store.list(kind)]


async def test_unknown_network_offers_near_names() -> None:
    desk = Desk()
    await desk.network("backend", "192.168.1.0/24")
    with pytest.raises(NotFoundError, match="did you mean backend"):
        desk.control.networks.find("bakend")


async def test_a_host_port_is_published_once() -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24")
    published = PublishedPort(protocol=TransportProtocol.TCP, host_port=8080, port=80)
    await desk.port(published=(published,), names=("web",))
    with pytest.raises(ConflictError, match=r"8080/tcp.*web"):
        await desk.port(published=(published,))
    udp = PublishedPort(protocol=TransportProtocol.UDP, host_port=8080, port=80)
    await desk.port(published=(udp,))


async def test_expose_is_idempotent_and_hide_takes_it_away() -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24", "fd00::/64")
    place = await desk.control.host_access.expose("foo")
    assert await desk.control.host_access.expose("foo") == place
    assert place.names == ("h1",)
    await desk.control.host_access.hide("foo")
    await desk.control.host_access.hide("foo")
    assert not desk.control.ports.list("foo")


@pytest.mark.parametrize("mac", ["01:00:00:00:00:01", "0a:57:45:46:54:01", "nonsense"])
async def test_macs_that_no_port_can_have(mac: str) -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24")
    with pytest.raises(InvalidError, match="MAC"):
        await desk.port(mac=mac)


async def test_attach_is_idempotent_and_detach_undoes_it() -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24")
    port = await desk.control.ports.attach(AttachSpec(target="web", network="foo"))
    assert port.veth is not None
    assert (port.veth.peer_ifname, port.names) == ("eth1", ("web",))
    assert await desk.control.ports.attach(AttachSpec(target="7", network="foo")) == port
    await desk.control.ports.detach("7", "foo")
    await desk.control.ports.detach("web", "foo")
    assert not desk.control.ports.list("foo")


async def test_what_docker_put_on_a_network_is_not_attached_again_nor_detached() -> None:
    desk = Desk()
    await desk.network("foo", "192.168.1.0/24")
    owner = Owner(frontend="docker", container_id="c" * 64, container_name="web")
    device = Veth(ifname="weft0123456789a", peer_ifname="wefc0123456789a")
    port = await desk.control.ports.add(PortSpec(network="foo", owner=owner, device=device))
    assert await desk.control.ports.attach(AttachSpec(target="web", network="foo")) == port
    with pytest.raises(InUseError, match="docker network disconnect foo web"):
        await desk.control.ports.detach("web", "foo")
