"""What a port is told by router advertisements, from records."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from msgspec.structs import replace

from weft.model.addresses import IPNetwork, ip_address, ip_network
from weft.model.choices import Advertising
from weft.model.ids import (
    HostId,
    MacAddress,
    NetworkId,
    PortId,
    RouterId,
    RouterPortId,
    SubnetId,
    Vni,
)
from weft.model.records import (
    Host,
    Network,
    Owner,
    Port,
    Record,
    Router,
    RouterPort,
    Subnet,
    Veth,
)
from weft.semantics.advertised import Advertised, advertised, is_advertised_to
from weft.store.memory import MemoryStore

HERE = HostId("a" * 16)
FOO = Network(id=NetworkId("f" * 16), name="foo", vni=Vni(7), mtu_bytes=1400)
BAR = Network(id=NetworkId("b" * 16), name="bar", vni=Vni(8))
MAC = MacAddress("02:00:00:00:00:01")
HOST = Host(id=HERE, name="h1", resolvers=(ip_address("192.0.2.53"), ip_address("2001:db8::53")))


def subnet(cidr: str, network: Network = FOO, **fields: object) -> Subnet:
    prefix = ip_network(cidr)
    values: dict[str, object] = {"gateway": prefix[1], **fields}
    return Subnet(id=SubnetId(cidr), cidr=prefix, network_id=network.id, **values)  # type: ignore[arg-type]


ONE, TWO, FOUR = subnet("fd00:1::/64"), subnet("fd00:2::/64"), subnet("10.1.0.0/24")
PORT = Port(
    id=PortId("1"),
    network_id=FOO.id,
    host_id=HERE,
    mac=MAC,
    slot=1,
    addresses=(ip_address("10.1.0.9"), ip_address("fd00:1::9")),
    owner=Owner(frontend="cli"),
    device=Veth(ifname="weft1", peer_ifname="eth0"),
)
IN_DOCKER = replace(PORT, owner=Owner(frontend="docker"))


def told(
    port: Port = PORT,
    *others: Record,
    network: Network = FOO,
    subnets: tuple[Subnet, ...] = (ONE, TWO, FOUR),
    is_alone: bool = True,
) -> Advertised | None:
    view = MemoryStore([network, HOST, port, *subnets, *others])
    return advertised(port, network, subnets, HOST, view, is_alone=is_alone)


def sure(found: Advertised | None) -> Advertised:
    assert found is not None
    return found


def test_a_port_is_told_of_its_own_subnets_and_the_way_to_the_others() -> None:
    found = sure(told())
    assert found.prefixes == ((ONE.cidr, False),)
    assert found.routes == (TWO.cidr,)
    assert found.is_router
    assert found.mtu_bytes == 1400
    assert found.resolvers == (ONE.gateway, IPv6Address("2001:db8::53"))


def test_an_address_is_formed_only_where_it_is_the_ports_own() -> None:
    own = IPv6Address("fd00:1::ff:fe00:1")
    found = sure(told(replace(PORT, addresses=(own,))))
    assert found.prefixes == ((ONE.cidr, True),)
    longer = subnet("fd00:1::/80")
    within = replace(PORT, addresses=(IPv6Address("fd00:1::ff:fe00:1"),))
    assert sure(told(within, subnets=(longer,))).prefixes == ((longer.cidr, False),)


@pytest.mark.parametrize(
    "word, attached, in_docker",
    [
        (Advertising.ATTACHED, True, False),
        (Advertising.ALL, True, True),
        (Advertising.OFF, False, False),
    ],
)
def test_who_is_told(word: Advertising, attached: bool, in_docker: bool) -> None:
    subnets = (replace(ONE, router_advertisements=word), FOUR)
    for port, is_told in ((PORT, attached), (IN_DOCKER, in_docker)):
        assert (told(port, subnets=subnets) is not None) is is_told
        assert is_advertised_to(port, subnets) is is_told


@pytest.mark.parametrize(
    "port",
    [
        replace(PORT, addresses=(ip_address("10.1.0.9"),)),
        replace(PORT, owner=Owner(frontend="host"), device=None),
        replace(PORT, owner=Owner(frontend="of-a-newer-weft")),
    ],
    ids=["without-ipv6", "the-hosts-place", "unknown-frontend"],
)
def test_who_is_never_told_where_nothing_is_said(port: Port) -> None:
    assert told(port) is None


def test_a_router_is_one_that_leads_somewhere() -> None:
    internal = replace(FOO, is_internal=True)
    closed = sure(told(network=internal))
    assert not closed.is_router
    assert closed.resolvers == (ONE.gateway,)
    router = Router(id=RouterId("r"), name="r")
    beyond = subnet("fd00:3::/64", BAR)
    places = [
        RouterPort(
            id=RouterPortId(network.id),
            router_id=router.id,
            network_id=network.id,
            mac=MacAddress("02:00:00:00:77:01"),
            addresses=(gateway,),
        )
        for network, gateway in ((FOO, ONE.gateway), (BAR, beyond.gateway))
        if gateway is not None
    ]
    joined = sure(told(PORT, BAR, beyond, router, *places, network=internal))
    assert joined.is_router
    assert set(joined.routes) == {TWO.cidr, beyond.cidr}
    without = replace(ONE, gateway=None)
    alone = sure(told(subnets=(without,)))
    assert (alone.is_router, alone.routes, alone.resolvers) == (False, (), (HOST.resolvers[1],))


def test_a_workload_with_several_ports_gets_no_default_router() -> None:
    assert not sure(told(is_alone=False)).is_router


def test_it_fits_the_smallest_packet() -> None:
    from weft.observers.advertising.messages import advertisement

    many = tuple(subnet(f"fd01:{number:x}::/64") for number in range(200))
    addresses = tuple(each.cidr[9] for each in many[:100])
    found = sure(told(replace(PORT, addresses=addresses), subnets=many))
    prefixes: list[IPNetwork] = [each.prefix for each in found.prefixes]
    assert prefixes
    assert len(advertisement(found)) <= 14 + 1280
    others = tuple(subnet(f"fd02:{number:x}::/64") for number in range(200))
    after = tuple(each.cidr[9] for each in others[:100])
    anew = sure(told(replace(PORT, addresses=after), subnets=others))
    assert len(advertisement(anew, found)) <= 14 + 1280
