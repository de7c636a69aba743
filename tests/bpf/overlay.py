"""Other hosts around the world of `world.py`, and packets as they are on the underlay."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from typing import NamedTuple

from tests.bpf import wire
from tests.bpf.world import HOST_TAG, RED, Workload, World
from weft.engine.ebpf.drivers.tunnels import constant_sum
from weft.engine.ebpf.map_table import encode_address
from weft.engine.ebpf.ways import Ways
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Own, TunnelFlag
from weft.kernel.bpf.maps import BpfMap

PORT = 4789
OWN4, OWN6 = "192.0.2.1", "2001:db8:1::1"
"""This host's addresses on the underlay."""
UPLINK_MAC, NEXT_HOP_MAC = "02:aa:00:00:00:01", "02:aa:00:00:00:02"
TUNNEL_MTU = 1450
STRANGER = {4: "192.0.2.66", 6: "2001:db8:1::66"}
"""Of no host of the cluster."""


class Peer(NamedTuple):
    """Another host."""

    tag: int
    ipv4: str
    ipv6: str


HUGO = Peer(0x11223344, "192.0.2.2", "2001:db8:1::2")
IDA = Peer(0x55667788, "192.0.2.3", "2001:db8:1::3")
PEERS = (HUGO, IDA)
FAR = Workload("", RED, "02:00:00:00:01:01", "10.1.0.101", "fd00:1::101")
"""A port on Hugo."""
FAR_ROUTED = Workload("", RED, "02:00:00:00:01:02", "10.1.1.102", "fd00:1:1::102")
"""The same in another subnet."""


WAYS = Ways()
"""The same on all hosts."""


def endpoint_at(tag: int, mac: str) -> layouts.Endpoint:
    """On another host."""
    return layouts.Endpoint(mac=wire.mac_bytes(mac), tunnel=tag, way=WAYS.of(tag))


def encode(address: str) -> bytes:
    return encode_address(ip_address(address))


def connect(world: World, version: int = 4, **changes: object) -> None:
    """Fill in peers, tunnels by IPv4 or IPv6, and the far ports."""
    for address in (OWN4, OWN6):
        add_peer(world, address, HOST_TAG)
    for peer in PEERS:
        for address in (peer.ipv4, peer.ipv6):
            add_peer(world, address, peer.tag)
        set_tunnel(world, peer, version, **changes)
    for workload in (FAR, FAR_ROUTED):
        endpoint = endpoint_at(HUGO.tag, workload.mac)
        for address in (workload.ipv4, workload.ipv6):
            world.add_address(RED, address, endpoint)
        key = layouts.MacKey(RED, wire.mac_bytes(workload.mac)).encode()
        world.put("macs_v1", key, endpoint.encode())


def add_peer(world: World, address: str, tag: int, flags: int = 0) -> None:
    set_peer(world.plane.maps, encode(address), layouts.Peer(tag, flags), HOST_TAG)


def set_peer(maps: Mapping[str, BpfMap], address: bytes, peer: layouts.Peer, own_tag: int) -> None:
    """Also where programs find the host's own addresses."""
    assert not maps["peers_v1"].update({address: peer.encode()})
    peers = maps["peers_v1"].read().items()
    own = sorted(key for key, raw in peers if layouts.Peer.decode(raw).tag == own_tag)
    raw = layouts.OwnAddresses(b"".join(own[: Own.OWN_ADDRESSES])).encode()
    assert not maps["own_addresses_v1"].update({bytes(4): raw})


def tunnel_to(world: World, peer: Peer, version: int = 4) -> layouts.Tunnel:
    """The pushed, direct way."""
    local, remote = (OWN4, peer.ipv4) if version == 4 else (OWN6, peer.ipv6)
    return layouts.Tunnel(
        ifindex=world.ifindexes["uplink"],
        flags=TunnelFlag(0) if version == 4 else TunnelFlag.TUNNEL_IPV6,
        next_hop=wire.mac_bytes(NEXT_HOP_MAC),
        source_mac=wire.mac_bytes(UPLINK_MAC),
        local=encode(local),
        remote=encode(remote),
        mtu=TUNNEL_MTU,
    )


def set_tunnel(world: World, peer: Peer, version: int = 4, **changes: object) -> None:
    value = tunnel_to(world, peer, version)._replace(**changes)  # type: ignore[arg-type]
    put_tunnel(world.plane.maps, peer.tag, value)


def put_tunnel(maps: Mapping[str, BpfMap], tag: int, tunnel: layouts.Tunnel) -> None:
    """Where the host has its way; what follows from the rest is filled in."""
    is_ipv6 = bool(tunnel.flags & TunnelFlag.TUNNEL_IPV6)
    local, remote = (ip_address(raw[-4:]) for raw in (tunnel.local, tunnel.remote))
    value = tunnel._replace(
        tag=tag,
        type_be=struct.pack(">H", wire.IPV6 if is_ipv6 else wire.IPV4),
        sum=0 if is_ipv6 else constant_sum(local, remote),
    )
    way = struct.pack("<I", WAYS.of(tag))
    assert not maps["tunnels_v2"].update({way: value.encode()})
    assert not maps["ways_v1"].update({struct.pack("<I", tag): way + bytes(4)})


def tunnel_of(maps: Mapping[str, BpfMap], tag: int) -> layouts.Tunnel:
    raw = maps["tunnels_v2"].lookup(struct.pack("<I", WAYS.of(tag)))
    assert raw is not None
    return layouts.Tunnel.decode(raw)


def remove_tunnel(maps: Mapping[str, BpfMap], tag: int) -> None:
    maps["ways_v1"].delete([struct.pack("<I", tag)])
    maps["tunnels_v2"].delete([struct.pack("<I", WAYS.of(tag))])


def set_replicas(world: World, vni: int, tags: list[int], slots: int = 6) -> None:
    chain = world.plane.maps["replicas_v2"]
    chain.delete(key for key in chain.read() if layouts.ReplicaKey.decode(key).vni == vni)
    for after, tag in pairwise([0, *sorted(tags)]):
        key = layouts.ReplicaKey(vni, after).encode()
        world.put("replicas_v2", key, layouts.Replica(tag).encode())
    value = layouts.Network(0, slots).encode()
    world.put("networks_v1", struct.pack("<I", vni), value)


def vxlan(vni: int, frame: bytes, tag: int = 0, flags: int = 0x08) -> bytes:
    first = flags << 24 | tag >> 8
    return struct.pack(">II", first, vni << 8 | (tag & 0xFF)) + frame


def outer(
    source: str,
    destination: str,
    payload: bytes,
    *,
    source_port: int = 50000,
    port: int = PORT,
    traffic_class: int = 0,
    hop_limit: int = 64,
    fragment: int = 0x4000,
    macs: tuple[str, str] = (UPLINK_MAC, NEXT_HOP_MAC),
    checksum: int = 0,
    label: int | None = None,
) -> bytes:
    """An underlay packet: as it arrives, unless the MACs say otherwise."""
    datagram = struct.pack(">HHHH", source_port, port, 8 + len(payload), checksum) + payload
    if ":" in source:
        label = source_port if label is None else label
        first = 6 << 28 | traffic_class << 20 | label
        head = struct.pack(">IHBB", first, len(datagram), wire.UDP, hop_limit)
        head += IPv6Address(source).packed + IPv6Address(destination).packed
        return wire.ether(*macs, wire.IPV6, head + datagram)
    head = struct.pack(
        ">BBHHHBBH", 0x45, traffic_class, 20 + len(datagram), 0, fragment, hop_limit, wire.UDP, 0
    )
    head += IPv4Address(source).packed + IPv4Address(destination).packed
    head = head[:10] + struct.pack(">H", wire.checksum(head)) + head[12:]
    return wire.ether(*macs, wire.IPV4, head + datagram)


def source_port_of(packet: bytes) -> int:
    """UDP's source port of an underlay packet."""
    (kind,) = struct.unpack_from(">H", packet, 12)
    port: int = struct.unpack_from(">H", packet, 34 if kind == wire.IPV4 else 54)[0]
    return port


def leaving(peer: Peer, version: int, packet: bytes, payload: bytes, **options: object) -> bytes:
    """What an underlay packet to `peer` must be; its source port is taken from `packet`."""
    ends = (OWN4, peer.ipv4) if version == 4 else (OWN6, peer.ipv6)
    port = source_port_of(packet)
    assert 0xC000 <= port <= 0xFFFF
    macs = (NEXT_HOP_MAC, UPLINK_MAC)
    return outer(*ends, payload, source_port=port, macs=macs, **options)  # type: ignore[arg-type]


def coming(peer: Peer, version: int, payload: bytes, **options: object) -> bytes:
    """An underlay packet from `peer` to this host."""
    ends = (peer.ipv4, OWN4) if version == 4 else (peer.ipv6, OWN6)
    return outer(*ends, payload, **options)  # type: ignore[arg-type]
