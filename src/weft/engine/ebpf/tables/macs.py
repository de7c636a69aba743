"""`macs`: (VNI, MAC) -> where frames to it go."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from weft.engine.ebpf.map_table import Coding, MapTable, Names, encode_mac
from weft.engine.ebpf.policy.atoms import Atom
from weft.engine.ebpf.tables.endpoints import MAC_FLAGS, decode_endpoint, encode_endpoint
from weft.engine.table import Rank
from weft.kernel.bpf import layouts

_NO_MAC = bytes(6)


class MacKey(msgspec.Struct, frozen=True, gc=False):
    """Of hundreds of thousands of rows: half as large as a tuple."""

    vni: int
    mac: str


class MacValue(msgspec.Struct, frozen=True, gc=False):
    """A local port (`ifname`), the host's own place, a router, or another host."""

    ifname: str = ""
    is_host: bool = False
    is_gateway: bool = False
    """A router's own, by which it is no gateway of its subnet."""
    host: int = 0
    """Tag of another host, for `tunnels`."""
    atoms: tuple[Atom, ...] = ()
    """As in `addresses`, of the link-local address that follows from it."""
    is_judged: bool = False


@lru_cache(maxsize=4096)
def mac_at_host(host: int, atoms: tuple[Atom, ...] = ()) -> MacValue:
    """The same object for all MACs that are there and alike."""
    return MacValue(host=host, atoms=atoms)


def _encode_key(key: MacKey, _: Names) -> bytes:
    return layouts.MacKey(key.vni, encode_mac(key.mac)).encode()


def _decode_key(raw: bytes, _: Names) -> MacKey:
    key = layouts.MacKey.decode(raw)
    return MacKey(key.vni, key.mac.hex(":"))


def _encode(value: MacValue, names: Names) -> bytes:
    flags = MAC_FLAGS.encode(value)
    return encode_endpoint(flags, _NO_MAC, value.ifname, value.host, value.atoms, names)


def _decode(raw: bytes, names: Names) -> MacValue:
    endpoint, ifname = decode_endpoint(raw, names)
    atoms = names.atoms(endpoint.group)
    flags = MAC_FLAGS.decode(endpoint.flags)
    return MacValue(ifname=ifname, host=endpoint.tunnel, atoms=atoms, **flags)


MACS: MapTable[MacKey, MacValue] = MapTable(
    "macs",
    Rank.DESTINATIONS,
    map_name="macs_v1",
    keys=Coding(_encode_key, _decode_key),
    values=Coding(_encode, _decode),
)
