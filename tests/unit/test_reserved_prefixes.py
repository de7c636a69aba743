"""Prefixes that can be no subnet: refused in every way in, and not used where a record has one."""

from __future__ import annotations

from ipaddress import ip_network

import msgspec
import pytest

from tests.unit.control.test_control import Desk
from tests.unit.docker.plugin import NETWORK, plugin
from weft import config
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.errors import InvalidError
from weft.model import codec
from weft.model.ids import SubnetId
from weft.model.records import Subnet
from weft.model.reserved import why_reserved
from weft.model.service_addresses import ALIAS4, ALIAS6, DNS4, DNS6, WIREGUARD6

RESERVED = [
    "0.0.0.0/0",
    "0.0.0.0/8",
    "0.1.2.0/24",
    "126.0.0.0/7",
    "127.5.0.0/16",
    "169.254.0.0/16",
    "169.254.53.0/24",
    "224.0.0.0/24",
    "239.1.0.0/16",
    "240.0.0.0/8",
    "255.255.255.0/24",
    "::/0",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "::ffff:a00:0/120",
    "fd77:6566:7400::/64",
    "fd77:6566:7400::53/128",
    "fd77:6566:7400:1::/64",
    "fd77:6566:7401::/64",
    "fd77:6566::/32",
    "fe80::/64",
    "fe80:5::/64",
    "ff02::/64",
    *(str(each) for each in (ALIAS4, ALIAS6, WIREGUARD6)),
    f"{DNS4}/32",
    f"{DNS6}/128",
]
USABLE = [
    "1.0.0.0/24",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "126.0.0.0/8",
    "128.0.0.0/16",
    "169.253.0.0/16",
    "192.168.1.0/24",
    "198.18.0.0/15",
    "2001:db8::/64",
    "64:ff9b:1::/64",
    "fd77:6566:7410::/64",
    "fd00::/64",
    "fec0::/64",
]


@pytest.mark.parametrize("prefix", RESERVED)
async def test_a_network_on_a_reserved_prefix_is_refused(prefix: str) -> None:
    control = Desk().control
    cidr = ip_network(prefix)
    for is_forced in (False, True):
        spec = NetworkSpec(name="foo", subnets=(SubnetSpec(cidr=cidr),), is_forced=is_forced)
        with pytest.raises(InvalidError, match=f"subnet {cidr}: .*; choose another"):
            await control.networks.create(spec)
    with pytest.raises(InvalidError, match=f"subnet {cidr}: .*; choose another"):
        await control.pools.request(SubnetSpec(cidr=cidr), family=cidr.version)
    assert not control.networks.list()


@pytest.mark.parametrize("prefix", ["127.5.0.0/16", "240.0.0.0/8", "fe80::/64"])
async def test_docker_is_told_why(prefix: str) -> None:
    cidr = ip_network(prefix)
    async with plugin() as docker:
        answer = await docker.ipam("RequestPool", AddressSpace="weft", Pool=prefix, Options={})
        assert f"subnet {prefix}" in answer["Err"]
        answer = await docker.create_network(NETWORK, (prefix, f"{cidr[1]}/{cidr.prefixlen}"))
        assert f"subnet {prefix}" in answer["Err"]


@pytest.mark.parametrize("prefix", RESERVED)
def test_a_record_with_a_reserved_prefix_does_not_decode(prefix: str) -> None:
    data = msgspec.json.encode({"id": "a", "cidr": prefix})
    with pytest.raises(InvalidError, match=r"can be no subnet|is an IPv4 prefix"):
        codec.decode("subnet", data)


@pytest.mark.parametrize("prefix", USABLE)
def test_other_prefixes_are_taken(prefix: str) -> None:
    assert why_reserved(ip_network(prefix)) is None
    subnet = Subnet(id=SubnetId("a"), cidr=ip_network(prefix))
    assert codec.decode("subnet", codec.encode(subnet)) == subnet


@pytest.mark.parametrize(
    ("key", "pool"), [("address_pool", "240.0.0.0/12"), ("address_pool6", "fe80::/44")]
)
def test_a_pool_on_a_reserved_prefix_is_refused(key: str, pool: str) -> None:
    with pytest.raises(InvalidError, match=f"{key} {pool}"):
        config.load({key: pool}, {})
