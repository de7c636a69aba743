"""`flood`: (VNI, slot) -> the port's device. A hole in the slots is skipped."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import Coding, MapTable, Names
from weft.engine.table import Rank
from weft.kernel.bpf import layouts


class FloodKey(NamedTuple):
    """A port by its slot."""

    vni: int
    slot: int


def _encode(ifname: str, names: Names) -> bytes:
    return layouts.Flood(names.ifindex(ifname)).encode()


def _decode(raw: bytes, names: Names) -> str:
    return names.name(layouts.Flood.decode(raw).ifindex)


PORT: Coding[str] = Coding(_encode, _decode)
"""A device that a packet for many is copied to."""

FLOOD: MapTable[FloodKey, str] = MapTable(
    "flood",
    Rank.FLOOD,
    map_name="flood_v1",
    keys=Coding(
        lambda key, _: layouts.FloodKey(*key).encode(),
        lambda raw, _: FloodKey(*layouts.FloodKey.decode(raw)),
    ),
    values=PORT,
)
