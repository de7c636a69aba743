"""`multicast_groups`: (VNI, multicast address) -> a group that has members."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from weft.engine.ebpf.map_table import (
    Coding,
    Flags,
    MapTable,
    Names,
    encode_address,
    some_address,
)
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import MulticastFlag
from weft.model.addresses import IPAddress


class MulticastKey(msgspec.Struct, frozen=True, gc=False):
    """A group of a network."""

    vni: int
    group: IPAddress


class MulticastValue(NamedTuple):
    """Who the members are, beside those in `multicast_ports` and `multicast_hosts`."""

    is_flooded: bool = False
    """All ports of the network are members."""


_FLAGS = Flags(is_flooded=MulticastFlag.MULTICAST_FLOODED.value)


def _encode_key(key: MulticastKey, _: Names) -> bytes:
    return layouts.MulticastKey(key.vni, encode_address(key.group)).encode()


def _decode_key(raw: bytes, _: Names) -> MulticastKey:
    key = layouts.MulticastKey.decode(raw)
    return MulticastKey(key.vni, some_address(key.address))


MULTICAST_GROUPS: MapTable[MulticastKey, MulticastValue] = MapTable(
    "multicast_groups",
    Rank.GROUPS,
    map_name="multicast_groups_v1",
    keys=Coding(_encode_key, _decode_key),
    values=Coding(
        lambda value, _: layouts.MulticastGroup(flags=_FLAGS.encode(value)).encode(),
        lambda raw, _: MulticastValue(**_FLAGS.decode(layouts.MulticastGroup.decode(raw).flags)),
    ),
)
