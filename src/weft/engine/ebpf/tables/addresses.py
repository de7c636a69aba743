"""`addresses`: (VNI, address) -> where it lives."""

from __future__ import annotations

import msgspec

from weft.engine.ebpf.map_table import (
    Coding,
    MapTable,
    Names,
    decode_mac,
    encode_address,
    encode_mac,
    some_address,
)
from weft.engine.ebpf.policy.atoms import Atom
from weft.engine.ebpf.tables.endpoints import ADDRESS_FLAGS, decode_endpoint, encode_endpoint
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.model.addresses import IPAddress


class AddressKey(msgspec.Struct, frozen=True, gc=False):
    """Of hundreds of thousands of rows: half as large as a tuple."""

    vni: int
    address: IPAddress


class AddressValue(msgspec.Struct, frozen=True, gc=False):
    """Exactly one of `ifname`, `is_gateway`, `is_host`, `host` says where the address lives."""

    mac: str
    ifname: str = ""
    """A local port: the host's end of its veth."""
    is_gateway: bool = False
    is_host: bool = False
    """The host's own place on the network."""
    host: int = 0
    """Tag of another host, for `tunnels`."""
    atoms: tuple[Atom, ...] = ()
    """What it is to the rules of this host."""
    is_judged: bool = False
    """A local port that rules decide about."""


def _encode_key(key: AddressKey, _: Names) -> bytes:
    return layouts.AddressKey(key.vni, encode_address(key.address)).encode()


def _decode_key(raw: bytes, _: Names) -> AddressKey:
    key = layouts.AddressKey.decode(raw)
    return AddressKey(key.vni, some_address(key.address))


def _encode(value: AddressValue, names: Names) -> bytes:
    flags, mac = ADDRESS_FLAGS.encode(value), encode_mac(value.mac)
    return encode_endpoint(flags, mac, value.ifname, value.host, value.atoms, names)


def _decode(raw: bytes, names: Names) -> AddressValue:
    endpoint, ifname = decode_endpoint(raw, names)
    return AddressValue(
        mac=decode_mac(endpoint.mac),
        ifname=ifname,
        host=endpoint.tunnel,
        atoms=names.atoms(endpoint.group),
        **ADDRESS_FLAGS.decode(endpoint.flags),
    )


ADDRESSES: MapTable[AddressKey, AddressValue] = MapTable(
    "addresses",
    Rank.DESTINATIONS,
    map_name="addresses_v1",
    keys=Coding(_encode_key, _decode_key),
    values=Coding(_encode, _decode),
)
