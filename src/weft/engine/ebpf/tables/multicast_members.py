"""`multicast_ports`: (VNI, multicast address, slot) -> device of a port that is a member.

`multicast_hosts`: (VNI, multicast address, tag) -> that tag, of another host with members.
"""

from __future__ import annotations

import msgspec

from weft.engine.ebpf.map_table import Coding, MapTable, Names, encode_address, some_address
from weft.engine.ebpf.tables import flood, replicas
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.model.addresses import IPAddress


class MemberKey(msgspec.Struct, frozen=True, gc=False):
    """A member by its slot, or by its tag."""

    vni: int
    group: IPAddress
    member: int


def _encode_key(key: MemberKey, _: Names) -> bytes:
    return layouts.MemberKey(key.vni, encode_address(key.group), key.member).encode()


def _decode_key(raw: bytes, _: Names) -> MemberKey:
    key = layouts.MemberKey.decode(raw)
    return MemberKey(key.vni, some_address(key.address), key.member)


_KEYS = Coding(_encode_key, _decode_key)

MULTICAST_PORTS: MapTable[MemberKey, flood.FloodValue] = MapTable(
    "multicast_ports",
    Rank.MEMBERS,
    map_name="multicast_ports_v1",
    keys=_KEYS,
    values=flood.PORT,
)
MULTICAST_HOSTS: MapTable[MemberKey, int] = MapTable(
    "multicast_hosts",
    Rank.MEMBERS,
    map_name="multicast_hosts_v1",
    keys=_KEYS,
    values=replicas.HOST,
)
