"""What a workload is told, from records alone; and that every frontend tells the same."""

from __future__ import annotations

from msgspec.structs import replace

from tests.unit.docker.plugin import plugin
from weft.control.specs import PortSpec
from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import functions
from weft.engine.plumbing.tables.devices import DEVICES, DeviceValue
from weft.engine.plumbing.tables.query_routes import QUERY_ROUTES, QueryRouteValue
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, SubnetId, Vni
from weft.model.records import Host, Network, Owner, Port, Subnet, Veth
from weft.semantics.guest import Guest, Route, guest_of
from weft.store.interface import Put

NETWORK = Network(id=NetworkId("n" * 16), name="foo", vni=Vni(7))
HOST = Host(
    id=HostId("1" * 16),
    name="h1",
    version="0",
    underlay=(ip_address("192.0.2.1"),),
    resolvers=(ip_address("192.0.2.53"), ip_address("10.2.0.53"), ip_address("2001:db8::53")),
    network_mtu_bytes=1430,
)


def subnet(cidr: str, gateway: str | None) -> Subnet:
    return Subnet(
        id=SubnetId(cidr),
        cidr=ip_network(cidr),
        network_id=NETWORK.id,
        gateway=ip_address(gateway) if gateway else None,
    )


FIRST = subnet("10.1.0.0/24", "10.1.0.1")
SECOND = subnet("10.2.0.0/24", "10.2.0.1")
SIXTH = subnet("fd00:1::/64", "fd00:1::1")


def port(*addresses: str) -> Port:
    return Port(
        id=PortId("p" * 16),
        network_id=NETWORK.id,
        host_id=HOST.id,
        mac=MacAddress("02:00:00:00:00:01"),
        slot=0,
        addresses=tuple(map(ip_address, addresses)),
        owner=Owner(frontend="cli"),
    )


def told(*subnets: Subnet, to: Port, is_internal: bool = False, **network: object) -> Guest:
    changed = replace(NETWORK, is_internal=is_internal, **network)
    return guest_of(to, changed, subnets, HOST)


def route(prefix: str, gateway: str) -> Route:
    return Route(ip_network(prefix), ip_address(gateway))


def test_a_port_on_two_families_has_a_default_route_in_each() -> None:
    guest = told(FIRST, SIXTH, to=port("10.1.0.5", "fd00:1::5"))
    assert guest.default_routes == (route("0.0.0.0/0", "10.1.0.1"), route("::/0", "fd00:1::1"))
    assert guest.subnet_routes == guest.resolver_routes == ()
    assert [length for _, length in guest.addresses] == [24, 64]
    assert guest.mtu_bytes == 1430


def test_an_internal_network_leads_to_its_other_subnets_and_to_the_resolvers_and_no_further() -> (
    None
):
    guest = told(FIRST, SECOND, SIXTH, to=port("10.1.0.5", "fd00:1::5"), is_internal=True)
    assert guest.gateways == guest.default_routes == ()
    assert guest.subnet_routes == (route("10.2.0.0/24", "10.1.0.1"),)
    assert guest.resolver_routes == (
        route("192.0.2.53/32", "10.1.0.1"),
        route("2001:db8::53/128", "fd00:1::1"),
    )


def test_a_former_resolver_is_reached_and_told_to_nobody_anew() -> None:
    host = replace(HOST, resolvers=HOST.resolvers[:1], former_resolvers=HOST.resolvers[2:])
    guest = guest_of(
        port("10.1.0.5", "fd00:1::5"), replace(NETWORK, is_internal=True), (FIRST, SIXTH), host
    )
    assert guest.resolvers == HOST.resolvers[:1]
    assert guest.resolver_routes == (
        route("192.0.2.53/32", "10.1.0.1"),
        route("2001:db8::53/128", "fd00:1::1"),
    )


def test_other_subnets_are_reached_whether_there_is_a_default_route_or_not() -> None:
    for is_internal in (False, True):
        guest = told(FIRST, SECOND, to=port("10.2.0.5"), is_internal=is_internal)
        assert guest.subnet_routes == (route("10.1.0.0/24", "10.2.0.1"),)


def test_no_route_leads_where_no_gateway_answers() -> None:
    closed = subnet("10.3.0.0/24", None)
    assert told(FIRST, closed, to=port("10.1.0.5")).subnet_routes == ()
    guest = told(FIRST, closed, to=port("10.3.0.5"), is_internal=True)
    assert guest.subnet_routes == guest.resolver_routes == guest.default_routes == ()


def test_a_family_without_an_address_gets_no_routes() -> None:
    guest = told(FIRST, SIXTH, to=port("10.1.0.5"))
    assert guest.gateways == (ip_address("10.1.0.1"),)
    assert guest.subnet_routes == ()
    assert guest.resolvers == HOST.resolvers[:2]


def test_the_networks_own_mtu_goes_before_the_hosts() -> None:
    assert told(FIRST, to=port("10.1.0.5"), mtu_bytes=9000).mtu_bytes == 9000
    assert guest_of(port(), NETWORK, (), None).mtu_bytes == 1450


async def test_an_attached_port_and_a_container_are_told_the_same() -> None:
    """On an internal network with two subnets, of which each has an address in one."""
    async with plugin() as docker:
        control = docker.control
        await docker.store.write([Put(replace(control.host, resolvers=HOST.resolvers))])
        pools = (("10.1.0.0/24", "10.1.0.1/24"), ("10.2.0.0/24", "10.2.0.1/24"))
        await docker.create_network("a" * 64, *pools, internal=True)
        await docker.create_endpoint("10.1.0.5/24")
        joined = await docker.about("Join", SandboxKey="/var/run/docker/netns/1")
        spec = PortSpec(
            network=control.networks.list()[0].id,
            addresses=(ip_address("10.1.0.6"),),
            owner=Owner(frontend="cli", reference="x"),
        )
        attached = await control.ports.add(spec)
        await control.ports.plug(
            attached.id, Veth(ifname="weft1", peer_ifname="eth0", netns="/run/netns/x")
        )
        compiled = Compiler(functions(control.host.id), docker.store).rows()
        value = compiled[DEVICES.name]["weft1"]
        assert isinstance(value, DeviceValue)
        last = compiled[QUERY_ROUTES.name]["weft1"]
        assert isinstance(last, QueryRouteValue)
        container = {(r["Destination"], r["NextHop"]) for r in joined["StaticRoutes"]}
        told = (*value.routes, *last.routes)
        assert {(str(prefix), str(gateway)) for prefix, gateway in told} == container
        assert container == {("10.2.0.0/24", "10.1.0.1"), ("192.0.2.53/32", "10.1.0.1")}
