"""`subnets`: (VNI, prefix) -> that the prefix belongs to this network; longest wins."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import (
    Coding,
    MapTable,
    Names,
    decode_address,
    decode_prefix,
    encode_address,
    encode_prefix,
)
from weft.engine.ebpf.tables.routes import NO_TABLE, RouterTable, table_of
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.model.addresses import IPAddress, IPNetwork

_VNI_BITS = 32


class SubnetKey(NamedTuple):
    """A prefix of a network."""

    vni: int
    prefix: IPNetwork


class SubnetValue(NamedTuple):
    """Without a gateway nothing is routed into or out of it, but by a router."""

    gateway: IPAddress | None
    router: RouterTable = NO_TABLE
    """Of the router that is its gateway."""
    is_cut_off: bool = False
    """It is as if it had no gateway, but for what a gateway tells senders."""


def _encode_key(key: SubnetKey, _: Names) -> bytes:
    bits, address = encode_prefix(key.prefix)
    return layouts.SubnetKey(_VNI_BITS + bits, key.vni, address).encode()


def _decode_key(raw: bytes, _: Names) -> SubnetKey:
    key = layouts.SubnetKey.decode(raw)
    return SubnetKey(key.vni, decode_prefix(key.prefixlen - _VNI_BITS, key.address))


def _encode(value: SubnetValue, _: Names) -> bytes:
    router = value.router
    gateway = encode_address(value.gateway)
    flags = router.flags | (layouts.TableFlag.SUBNET_CUT_OFF.value if value.is_cut_off else 0)
    return layouts.Subnet(gateway, router.high, router.low, flags).encode()


def _decode(raw: bytes, _: Names) -> SubnetValue:
    subnet = layouts.Subnet.decode(raw)
    router = table_of(subnet.table_high, subnet.table_low, subnet.flags)
    is_cut_off = bool(subnet.flags & layouts.TableFlag.SUBNET_CUT_OFF)
    return SubnetValue(decode_address(subnet.gateway), router, is_cut_off)


SUBNETS: MapTable[SubnetKey, SubnetValue] = MapTable(
    "subnets",
    Rank.NETWORKS,
    map_name="subnets_v1",
    keys=Coding(_encode_key, _decode_key),
    values=Coding(_encode, _decode),
)
