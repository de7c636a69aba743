"""A table that is a BPF map, and how its rows look there.

A table's file says it all: the map's name, and for keys and values a `Coding`. What several tables
have in common is here: addresses, prefixes, MACs, devices, hosts, and flags, which are declared and
not written out in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Generic, NamedTuple, Protocol, TypeVar

from weft.engine.ebpf.policy.atoms import Atom
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.table import Table
from weft.model.addresses import IPAddress, IPNetwork

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)
T = TypeVar("T")

_V4_MAPPED = bytes(10) + b"\xff\xff"
_NO_ADDRESS = bytes(16)
_NO_MAC = bytes(6)


class Names(Protocol):
    """What rows say by name and maps by number."""

    def ifindex(self, name: str) -> int:
        """ifindex of a device. NotFoundError: there is none of this name."""
        ...

    def name(self, ifindex: int) -> str:
        """Name of a device; ``#IFINDEX``, which no row ever says, when there is none."""
        ...

    def way(self, tag: int) -> int:
        """The way to a host, from now on if it had none. NotFoundError: there are no more."""
        ...

    def known_way(self, tag: int) -> int:
        """The way to a host; 0 if it has none."""
        ...

    def number(self, kind: Kind, symbol: Hashable) -> int:
        """The number of what rules speak about, from now on if it had none. ExhaustedError: there
        are no more."""
        ...

    def symbol(self, kind: Kind, number: int) -> Hashable:
        """The opposite. NotFoundError: nobody's."""
        ...

    def identity(self, atoms: tuple[Atom, ...]) -> int:
        """The number of an address that is all this to rules; 0: nothing. ExhaustedError: there are
        no more."""
        ...

    def atoms(self, identity: int) -> tuple[Atom, ...]:
        """The opposite. NotFoundError: nobody's."""
        ...


class Coding(NamedTuple, Generic[T]):
    """Keys or values to the bytes of the map, and back.

    Encoding raises NotFoundError when a row names what is not there.
    """

    encode: Callable[[T, Names], bytes]
    decode: Callable[[bytes, Names], T]


class MapTable(Table[K, V], frozen=True, kw_only=True):
    """A table whose rows are the entries of one map."""

    map_name: str
    keys: Coding[K]
    values: Coding[V]
    write_order: Callable[[K], int] | None = None
    """By what the rows that change are written, lowest first; None: it does not matter."""
    is_read_by_programs: bool = True


class Flags:
    """Booleans of a row as bits of one field."""

    def __init__(self, **bits: int) -> None:
        """Of each boolean its bit. A negative number, ``~bit``: the bit says the opposite."""
        self._bits = [(name, bit if bit > 0 else ~bit, bit > 0) for name, bit in bits.items()]

    def encode(self, value: object) -> int:
        """The field, from the attributes of these names."""
        flags = 0
        for name, bit, meaning in self._bits:
            if getattr(value, name) is meaning:
                flags |= bit
        return flags

    def decode(self, flags: int) -> dict[str, bool]:
        """The booleans by name."""
        return {name: bool(flags & bit) is meaning for name, bit, meaning in self._bits}


def encode_address(address: IPAddress | None) -> bytes:
    """16 bytes; IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), None as zeros."""
    if address is None:
        return _NO_ADDRESS
    return address.packed if address.version == 6 else _V4_MAPPED + address.packed


def decode_address(raw: bytes) -> IPAddress | None:
    """The opposite."""
    if raw == _NO_ADDRESS:
        return None
    return IPv4Address(raw[12:]) if raw[:12] == _V4_MAPPED else IPv6Address(raw)


def some_address(raw: bytes) -> IPAddress:
    """The opposite where there always is an address."""
    return decode_address(raw) or IPv6Address(0)


def encode_prefix(prefix: IPNetwork) -> tuple[int, bytes]:
    """(bits of the 128-bit form, address)."""
    bits = prefix.prefixlen + (96 if prefix.version == 4 else 0)
    return bits, encode_address(prefix.network_address)


def decode_prefix(bits: int, raw: bytes) -> IPNetwork:
    """The opposite."""
    if bits >= 96 and raw[:12] == _V4_MAPPED:
        return IPv4Network((raw[12:], bits - 96))
    return IPv6Network((raw, bits), strict=False)


def encode_mac(mac: str) -> bytes:
    """Six octets; of an empty text zeros."""
    return bytes.fromhex(mac.replace(":", "")) if mac else _NO_MAC


def decode_mac(raw: bytes) -> str:
    """The opposite."""
    return "" if raw == _NO_MAC else raw.hex(":")


def encode_u32(number: int) -> bytes:
    """Four bytes."""
    return number.to_bytes(4, "little")


def decode_u32(raw: bytes) -> int:
    """The opposite."""
    return int.from_bytes(raw, "little")


U32: Coding[int] = Coding(lambda number, _: encode_u32(number), lambda raw, _: decode_u32(raw))
ADDRESS: Coding[IPAddress] = Coding(
    lambda address, _: encode_address(address), lambda raw, _: some_address(raw)
)
DEVICE: Coding[str] = Coding(
    lambda ifname, names: encode_u32(names.ifindex(ifname)),
    lambda raw, names: names.name(decode_u32(raw)),
)
