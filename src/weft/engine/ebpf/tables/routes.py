"""`routes`: (table of a router, prefix) -> what becomes of packets for it; `routers`: (VNI, MAC) ->
the table of the router that has the MAC there."""

from __future__ import annotations

import struct
from typing import NamedTuple

from weft.engine.ebpf.map_table import (
    Coding,
    MapTable,
    Names,
    decode_prefix,
    encode_address,
    encode_mac,
    encode_prefix,
    some_address,
)
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import NextHopFlag, RouteKind, TableFlag
from weft.model.addresses import IPAddress, IPNetwork

_TABLE_BITS = 64
_WORDS = struct.Struct("<8I")


class RouterTable(NamedTuple):
    """Names a table."""

    number: int = 0
    """64 bits that follow from the router and the source. 0: none."""
    is_of_sources: bool = False
    """It says which table holds, by the packet's source."""

    @property
    def high(self) -> int:
        """The upper half of the number."""
        return self.number >> 32

    @property
    def low(self) -> int:
        """The lower half."""
        return self.number & 0xFFFFFFFF

    @property
    def flags(self) -> int:
        """As maps have it."""
        return TableFlag.TABLE_OF_SOURCES.value if self.is_of_sources else 0


NO_TABLE = RouterTable()


def table_of(high: int, low: int, flags: int) -> RouterTable:
    """From what a map has of it."""
    return RouterTable(high << 32 | low, bool(flags & TableFlag.TABLE_OF_SOURCES))


class RouteKey(NamedTuple):
    """A line of a table."""

    table: int
    prefix: IPNetwork


class NextHopValue(NamedTuple):
    """An address on a network: of a port, or of the router whose table it is."""

    vni: int
    address: IPAddress
    table: RouterTable = NO_TABLE


class RouteValue(NamedTuple):
    """What becomes of packets for a prefix."""

    version: int
    """Of IP."""
    kind: RouteKind
    vni: int = 0
    """Of ROUTE_CONNECTED."""
    table: int = 0
    """Of ROUTE_SOURCE."""
    next_hops: tuple[NextHopValue, ...] = ()
    """Of ROUTE_VIA."""
    mtu_bytes: int = 0
    """Of the networks where it leads. 0: any."""


class RouterKey(NamedTuple):
    """A MAC of a network."""

    vni: int
    mac: str


class RouterValue(NamedTuple):
    """The table for each family."""

    ipv4: RouterTable = NO_TABLE
    ipv6: RouterTable = NO_TABLE


def _encode_key(key: RouteKey, _: Names) -> bytes:
    bits, address = encode_prefix(key.prefix)
    table = RouterTable(key.table)
    return layouts.RouteKey(_TABLE_BITS + bits, table.high, table.low, address).encode()


def _decode_key(raw: bytes, _: Names) -> RouteKey:
    key = layouts.RouteKey.decode(raw)
    prefix = decode_prefix(key.prefixlen - _TABLE_BITS, key.address)
    return RouteKey(key.table_high << 32 | key.table_low, prefix)


def _encode(value: RouteValue, _: Names) -> bytes:
    table = RouterTable(value.table)
    words = [word for hop in value.next_hops for word in _WORDS.unpack(_encode_hop(hop))]
    room = [0] * (layouts.Routers.ROUTE_HOPS * layouts.Routers.ROUTE_HOP_WORDS - len(words))
    return layouts.Route(
        value.kind,
        value.vni,
        table.high,
        table.low,
        len(value.next_hops),
        value.version,
        value.mtu_bytes,
        (*words, *room),
    ).encode()


def _decode(raw: bytes, _: Names) -> RouteValue:
    route, size = layouts.Route.decode(raw), layouts.Routers.ROUTE_HOP_WORDS.value
    count = min(route.hop_count, layouts.Routers.ROUTE_HOPS)
    hops = (route.hops[at : at + size] for at in range(0, count * size, size))
    return RouteValue(
        route.family,
        RouteKind(route.kind),
        route.vni,
        route.table_high << 32 | route.table_low,
        tuple(_decode_hop(_WORDS.pack(*words)) for words in hops),
        route.mtu,
    )


def _encode_hop(hop: NextHopValue) -> bytes:
    flags = NextHopFlag(0)
    if hop.table.number:
        flags |= NextHopFlag.NEXT_HOP_ROUTER
    if hop.table.is_of_sources:
        flags |= NextHopFlag.NEXT_HOP_SOURCES
    address = encode_address(hop.address)
    return layouts.NextHop(address, hop.vni, flags, hop.table.high, hop.table.low).encode()


def _decode_hop(raw: bytes) -> NextHopValue:
    hop = layouts.NextHop.decode(raw)
    is_of_sources = bool(hop.flags & NextHopFlag.NEXT_HOP_SOURCES)
    table = RouterTable(hop.table_high << 32 | hop.table_low, is_of_sources)
    return NextHopValue(hop.vni, some_address(hop.address), table)


def _encode_router_key(key: RouterKey, _: Names) -> bytes:
    return layouts.MacKey(key.vni, encode_mac(key.mac)).encode()


def _decode_router_key(raw: bytes, _: Names) -> RouterKey:
    key = layouts.MacKey.decode(raw)
    return RouterKey(key.vni, key.mac.hex(":"))


def _encode_router(value: RouterValue, _: Names) -> bytes:
    ipv4, ipv6 = value
    return layouts.Router(ipv4.high, ipv4.low, ipv6.high, ipv6.low, ipv4.flags, ipv6.flags).encode()


def _decode_router(raw: bytes, _: Names) -> RouterValue:
    router = layouts.Router.decode(raw)
    return RouterValue(
        table_of(router.table4_high, router.table4_low, router.flags4),
        table_of(router.table6_high, router.table6_low, router.flags6),
    )


ROUTES: MapTable[RouteKey, RouteValue] = MapTable(
    "routes",
    Rank.ROUTES,
    map_name="routes_v1",
    keys=Coding(_encode_key, _decode_key),
    values=Coding(_encode, _decode),
)
ROUTERS: MapTable[RouterKey, RouterValue] = MapTable(
    "routers",
    Rank.ROUTERS,
    map_name="routers_v1",
    keys=Coding(_encode_router_key, _decode_router_key),
    values=Coding(_encode_router, _decode_router),
)
