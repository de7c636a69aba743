"""Routers in the maps of `world.py`: tables of routes, and what leads to them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import cast

from tests.bpf import wire
from tests.bpf.world import BLUE, INTERNAL, RED, World
from weft.engine.ebpf.map_table import Names, encode_address
from weft.engine.ebpf.tables.routes import (
    NO_TABLE,
    ROUTERS,
    ROUTES,
    NextHopValue,
    RouteKey,
    RouterKey,
    RouterTable,
    RouterValue,
    RouteValue,
)
from weft.engine.ebpf.tables.subnets import SUBNETS, SubnetKey, SubnetValue
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import EndpointFlag, RouteKind
from weft.model.service_addresses import GATEWAY_MAC

R1, R2 = RouterTable(0x1122334455667788), RouterTable(0x99AABBCCDDEEFF00)
R2_MAC = "02:00:00:00:02:02"
NETWORKS: Mapping[int, Mapping[str, str]] = {
    RED: {
        "10.1.0.0/24": "10.1.0.1",
        "10.1.1.0/24": "10.1.1.1",
        "fd00:1::/64": "fd00:1::1",
        "fd00:1:1::/64": "fd00:1:1::1",
    },
    BLUE: {"10.2.0.0/24": "10.2.0.1", "fd00:2::/64": "fd00:2::1"},
    INTERNAL: {"fd00:3::/64": "fd00:3::1"},
}
"""Gateways by subnet."""
_NAMES = cast("Names", None)


def connect(world: World, table: RouterTable, *vnis: int) -> None:
    """Make a router the gateway of networks."""
    for vni in vnis:
        for cidr, gateway in NETWORKS[vni].items():
            subnet(world, vni, cidr, gateway, table)
            for each in {R1, R2} if table is NO_TABLE else {table}:
                connected(world, each, cidr, vni)


def subnet(world: World, vni: int, cidr: str, gateway: str, table: RouterTable) -> None:
    """Whose gateway a router is."""
    value = SubnetValue(ip_address(gateway), table)
    raw = SUBNETS.keys.encode(SubnetKey(vni, ip_network(cidr)), _NAMES)
    world.put("subnets_v1", raw, SUBNETS.values.encode(value, _NAMES))


def connected(world: World, table: RouterTable, cidr: str, vni: int) -> None:
    put(world, table, cidr, RouteKind.ROUTE_CONNECTED, vni=vni)


def via(world: World, table: RouterTable, cidr: str, *hops: NextHopValue) -> None:
    put(world, table, cidr, RouteKind.ROUTE_VIA, next_hops=hops)


def put(world: World, router: RouterTable, cidr: str, kind: RouteKind, **facts: object) -> None:
    prefix = ip_network(cidr)
    key = ROUTES.keys.encode(RouteKey(router.number, prefix), _NAMES)
    value = RouteValue(prefix.version, kind, **facts)  # type: ignore[arg-type]
    world.put("routes_v1", key, ROUTES.values.encode(value, _NAMES))


def hop(vni: int, address: str, table: RouterTable = NO_TABLE) -> NextHopValue:
    return NextHopValue(vni, ip_address(address), table)


def own_mac(world: World, vni: int, mac: str, table: RouterTable, *addresses: str) -> None:
    """A router that is no gateway of the network."""
    flags = EndpointFlag.ENDPOINT_GATEWAY
    endpoint = layouts.Endpoint(flags=flags, mac=wire.mac_bytes(mac))
    mac_key = layouts.MacKey(vni, wire.mac_bytes(mac)).encode()
    world.put("macs_v1", mac_key, endpoint.encode())
    for address in addresses:
        world.add_address(vni, address, endpoint)
    by_mac(world, vni, mac, table)


def by_mac(world: World, vni: int, mac: str, table: RouterTable) -> None:
    key = ROUTERS.keys.encode(RouterKey(vni, mac), _NAMES)
    world.put("routers_v1", key, ROUTERS.values.encode(RouterValue(table, table), _NAMES))


def error(to_mac: str, quoted: bytes, kinds: tuple[int, int], code: int, source: str) -> bytes:
    """The answer to a frame: ICMP of the first kind or ICMPv6 of the second."""
    size = len(quoted) - 14
    if quoted[14] >> 4 == 4:
        target = str(IPv4Address(quoted[26:30]))
        length = next(each for each in (68, 40, 28) if each <= size)
        raw = struct.pack(">BBHI", kinds[0], code, 0, 0) + quoted[14 : 14 + length]
        raw = raw[:2] + struct.pack(">H", wire.checksum(raw)) + raw[4:]
        packet = wire.ipv4(source, target, wire.ICMP, raw, identity=0)
        return wire.ether(to_mac, GATEWAY_MAC, wire.IPV4, packet)
    target = str(IPv6Address(quoted[22:38]))
    length = next(each for each in (128, 60, 48) if each <= size)
    body = bytes(4) + quoted[14 : 14 + length]
    message = wire.icmpv6(source, target, kinds[1], body, code=code)
    return wire.ether(to_mac, GATEWAY_MAC, wire.IPV6, wire.ipv6(source, target, 58, message))


def encoded(address: str) -> bytes:
    return encode_address(ip_address(address))
