"""`allowed`: (ifname, prefix) -> a source that this port may use; longest prefix wins."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import (
    Coding,
    MapTable,
    Names,
    decode_mac,
    decode_prefix,
    encode_mac,
    encode_prefix,
)
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.model.addresses import IPNetwork

_DEVICE_BITS = 32


class AllowedKey(NamedTuple):
    """A port, and sources of its."""

    ifname: str
    prefix: IPNetwork


class AllowedValue(NamedTuple):
    """The MAC that must go with the address; empty: the port's own."""

    mac: str = ""


def _encode_key(key: AllowedKey, names: Names) -> bytes:
    bits, address = encode_prefix(key.prefix)
    return layouts.AllowedKey(_DEVICE_BITS + bits, names.ifindex(key.ifname), address).encode()


def _decode_key(raw: bytes, names: Names) -> AllowedKey:
    key = layouts.AllowedKey.decode(raw)
    prefix = decode_prefix(key.prefixlen - _DEVICE_BITS, key.address)
    return AllowedKey(names.name(key.ifindex), prefix)


ALLOWED: MapTable[AllowedKey, AllowedValue] = MapTable(
    "allowed",
    Rank.NETWORKS,
    map_name="allowed_v1",
    keys=Coding(_encode_key, _decode_key),
    values=Coding(
        lambda value, _: layouts.Allowed(encode_mac(value.mac)).encode(),
        lambda raw, _: AllowedValue(decode_mac(layouts.Allowed.decode(raw).mac)),
    ),
)
