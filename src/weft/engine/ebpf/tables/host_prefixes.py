"""`host_prefixes`: prefix -> the network to which the host sends what goes there."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import Coding, MapTable, Names, decode_prefix, encode_prefix
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.model.addresses import IPNetwork


class HostPrefixValue(NamedTuple):
    """The network."""

    vni: int


def _encode_key(prefix: IPNetwork, _: Names) -> bytes:
    return layouts.HostPrefixKey(*encode_prefix(prefix)).encode()


def _decode_key(raw: bytes, _: Names) -> IPNetwork:
    key = layouts.HostPrefixKey.decode(raw)
    return decode_prefix(key.prefixlen, key.address)


HOST_PREFIXES: MapTable[IPNetwork, HostPrefixValue] = MapTable(
    "host_prefixes",
    Rank.NETWORKS,
    map_name="host_prefixes_v1",
    keys=Coding(_encode_key, _decode_key),
    values=Coding(
        lambda value, _: layouts.HostPrefix(value.vni).encode(),
        lambda raw, _: HostPrefixValue(layouts.HostPrefix.decode(raw).vni),
    ),
)
