"""`unowned`: (VNI, prefix) -> the atoms of addresses in it that no port has for its own and no
longer prefix has."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import Coding, MapTable, Names, decode_prefix, encode_prefix
from weft.engine.ebpf.policy.atoms import Atom
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.model.addresses import IPNetwork

_VNI_BITS = 32


class UnownedKey(NamedTuple):
    """A subnet of a network, or a prefix that ports of it may use as a source."""

    vni: int
    prefix: IPNetwork


def _encode_key(key: UnownedKey, _: Names) -> bytes:
    bits, address = encode_prefix(key.prefix)
    return layouts.UnownedKey(_VNI_BITS + bits, key.vni, address).encode()


def _decode_key(raw: bytes, _: Names) -> UnownedKey:
    key = layouts.UnownedKey.decode(raw)
    return UnownedKey(key.vni, decode_prefix(key.prefixlen - _VNI_BITS, key.address))


def _encode(atoms: tuple[Atom, ...], names: Names) -> bytes:
    return layouts.Prefix(names.identity(atoms)).encode()


def _decode(raw: bytes, names: Names) -> tuple[Atom, ...]:
    return names.atoms(layouts.Prefix.decode(raw).identity)


UNOWNED: MapTable[UnownedKey, tuple[Atom, ...]] = MapTable(
    "unowned",
    Rank.PORT_RULES,
    map_name="unowned_v1",
    keys=Coding(_encode_key, _decode_key),
    values=Coding(_encode, _decode),
    are_deletes_left=True,
)
