"""A network that somebody lays over the hosts' own addresses leads none of their packets away."""

from __future__ import annotations

import pytest

from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import functions
from weft.engine.plumbing.tables.host_routes import HOST_ROUTES
from weft.errors import InvalidError
from weft.model import codec
from weft.model.addresses import IPNetwork, ip_address, ip_network
from weft.model.ids import HostId, NetworkId, SubnetId, Vni
from weft.model.records import Host, Neighbour, Neighbours, Network, Record, Subnet
from weft.model.service_addresses import ALIAS4, ALIAS6
from weft.store.interface import Delete, Put
from weft.store.memory import MemoryStore

ME, OTHER, FAR, VILLAIN = (HostId(letter * 16) for letter in "abcf")
NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))
HOSTS: list[Record] = [
    Host(id=ME, name="a", underlay=(ip_address("192.0.2.1"), ip_address("2001:db8::1"))),
    Host(id=OTHER, name="b", underlay=(ip_address("192.0.2.130"),)),
    Host(id=FAR, name="c", underlay=(ip_address("198.51.100.7"),)),
    Host(id=VILLAIN, name="f", underlay=(ip_address("10.9.0.5"), ip_address("192.0.2.66"))),
    NETWORK,
]
LINK = Neighbours(
    id=ME,
    host_id=ME,
    neighbours=(Neighbour(host_id=FAR, address=ip_address("198.51.100.7")),),
)


def subnet(cidr: str) -> Subnet:
    return Subnet(id=SubnetId("s1"), cidr=ip_network(cidr), network_id=NETWORK.id)


def routed(compiler: Compiler) -> set[IPNetwork]:
    keys = compiler.rows().get(HOST_ROUTES.name, {})
    return {key for key in keys if isinstance(key, IPNetwork) and key not in (ALIAS4, ALIAS6)}


@pytest.mark.parametrize(
    ("cidr", "is_routed"),
    [
        ("192.0.2.0/24", False),
        ("192.0.0.0/16", False),
        ("192.0.2.0/25", False),
        ("192.0.2.1/32", False),
        ("192.0.2.128/25", False),
        ("2001:db8::/64", False),
        ("2001:db8::/32", False),
        ("198.51.100.0/24", False),
        ("10.9.0.0/24", True),
        ("192.0.2.192/26", True),
        ("203.0.113.0/24", True),
    ],
)
def test_no_route_leads_away_what_goes_to_hosts(cidr: str, is_routed: bool) -> None:
    wanted = {ip_network(cidr)} if is_routed else set()
    store = MemoryStore([*HOSTS, LINK, subnet(cidr)])
    assert routed(Compiler(functions(ME), store)) == wanted


def test_a_route_goes_when_a_host_comes_to_be_there() -> None:
    store = MemoryStore([*HOSTS, subnet("198.51.100.0/24")])
    compiler = Compiler(functions(ME), store)
    assert routed(compiler) == {ip_network("198.51.100.0/24")}
    compiler.update(store.apply([Put(LINK)]))
    assert not routed(compiler)
    compiler.update(store.apply([Delete(Neighbours, ME)]))
    assert routed(compiler) == {ip_network("198.51.100.0/24")}


@pytest.mark.parametrize(
    "cidr",
    [
        "0.0.0.0/0",
        "0.0.0.0/1",
        "127.5.0.0/16",
        "169.254.53.0/24",
        "224.0.0.0/8",
        "240.0.0.0/8",
        "255.255.255.255/32",
        "::/0",
        "::1/128",
        "fe80::/64",
        "ff02::/64",
        "fd77:6566:7400::/48",
        "fd77:6566:7401::/64",
        "fd77:6566::/32",
    ],
)
def test_prefixes_that_every_host_has_for_itself_are_no_networks(cidr: str) -> None:
    with pytest.raises(InvalidError, match="subnet record: "):
        codec.decode(Subnet.KIND, codec.encode(subnet(cidr)))
