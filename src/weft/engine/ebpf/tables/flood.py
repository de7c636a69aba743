"""`flood`: (VNI, slot) -> the port's device. A hole in the slots is skipped."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import Coding, Flags, MapTable, Names
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import FloodFlag


class FloodKey(NamedTuple):
    """A port by its slot."""

    vni: int
    slot: int


class FloodValue(NamedTuple):
    """The device of a port that a packet for many is copied to."""

    ifname: str
    is_judged: bool = False
    """Rules decide about its flows."""


_FLAGS = Flags(is_judged=FloodFlag.FLOOD_JUDGED.value)


def _encode(value: FloodValue, names: Names) -> bytes:
    return layouts.Flood(names.ifindex(value.ifname), _FLAGS.encode(value)).encode()


def _decode(raw: bytes, names: Names) -> FloodValue:
    flood = layouts.Flood.decode(raw)
    return FloodValue(names.name(flood.ifindex), **_FLAGS.decode(flood.flags))


PORT: Coding[FloodValue] = Coding(_encode, _decode)

FLOOD: MapTable[FloodKey, FloodValue] = MapTable(
    "flood",
    Rank.FLOOD,
    map_name="flood_v1",
    keys=Coding(
        lambda key, _: layouts.FloodKey(*key).encode(),
        lambda raw, _: FloodKey(*layouts.FloodKey.decode(raw)),
    ),
    values=PORT,
)
