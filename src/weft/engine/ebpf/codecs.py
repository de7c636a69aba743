"""Rows of the BPF maps to bytes and back, one `Codec` a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Generic, NamedTuple, TypeVar

from weft.engine.ebpf import rows
from weft.engine.ebpf.devices import Devices
from weft.kernel.bpf import berths, layouts
from weft.kernel.bpf.layouts import EndpointFlag, MulticastFlag, NetworkFlag, PeerFlag, PortFlag
from weft.model.addresses import IPAddress, IPNetwork

K = TypeVar("K")
V = TypeVar("V")

_V4_MAPPED = bytes(10) + b"\xff\xff"
_NO_ADDRESS = bytes(16)
_NO_MAC = bytes(6)


class Codec(NamedTuple, Generic[K, V]):
    """How one table's keys and values look in its map.

    Encoding raises NotFoundError when a row names a device that is not there.
    """

    map_name: str
    encode_key: Callable[[K, Devices], bytes]
    decode_key: Callable[[bytes, Devices], K]
    encode_value: Callable[[V, Devices], bytes]
    decode_value: Callable[[bytes, Devices], V]
    write_order: Callable[[K], int] | None = None
    """By what the rows that change are written, lowest first; None: it does not matter."""


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


def _some_address(raw: bytes) -> IPAddress:
    return decode_address(raw) or IPv6Address(0)


def _encode_prefix(prefix: IPNetwork) -> tuple[int, bytes]:
    """(bits of the 128-bit form, address)."""
    bits = prefix.prefixlen + (96 if prefix.version == 4 else 0)
    return bits, encode_address(prefix.network_address)


def _decode_prefix(bits: int, raw: bytes) -> IPNetwork:
    if bits >= 96 and raw[:12] == _V4_MAPPED:
        return IPv4Network((raw[12:], bits - 96))
    return IPv6Network((raw, bits), strict=False)


def encode_mac(mac: str) -> bytes:
    """Six octets; of an empty text zeros."""
    return bytes.fromhex(mac.replace(":", "")) if mac else _NO_MAC


def decode_mac(raw: bytes) -> str:
    """The opposite."""
    return "" if raw == _NO_MAC else raw.hex(":")


def _encode_port(value: rows.PortValue, devices: Devices) -> bytes:
    flags = PortFlag(0)
    if not value.is_spoof_checked:
        flags |= PortFlag.PORT_ANY_SOURCE
    if not value.is_internal:
        flags |= PortFlag.PORT_OUTSIDE
    return layouts.Port(
        vni=value.vni,
        flags=flags,
        mac=encode_mac(value.mac),
        mtu=value.mtu_bytes,
        slot=value.slot,
        ipv4=encode_address(value.ipv4),
        ipv6=encode_address(value.ipv6),
    ).encode()


def _decode_port(raw: bytes, devices: Devices) -> rows.PortValue:
    port = layouts.Port.decode(raw)
    return rows.PortValue(
        vni=port.vni,
        mac=decode_mac(port.mac),
        slot=port.slot,
        is_spoof_checked=not port.flags & PortFlag.PORT_ANY_SOURCE,
        ipv4=decode_address(port.ipv4),
        ipv6=decode_address(port.ipv6),
        is_internal=not port.flags & PortFlag.PORT_OUTSIDE,
        mtu_bytes=port.mtu,
    )


def _encode_endpoint(value: rows.AddressValue, devices: Devices) -> bytes:
    flags = EndpointFlag(0)
    if value.is_gateway:
        flags |= EndpointFlag.ENDPOINT_GATEWAY
    if value.is_host:
        flags |= EndpointFlag.ENDPOINT_HOST
    ifindex = devices.ifindex(value.ifname) if value.ifname else 0
    return layouts.Endpoint(
        ifindex=ifindex,
        flags=flags,
        mac=encode_mac(value.mac),
        tunnel=value.host,
        way=devices.ways.of(value.host),
    ).encode()


def _read_endpoint(raw: bytes, devices: Devices) -> layouts.Endpoint:
    """ValueError: it names another way than the one to its host."""
    endpoint = layouts.Endpoint.decode(raw)
    if endpoint.way != devices.ways.known(endpoint.tunnel):
        raise ValueError(f"way {endpoint.way} does not lead to host {endpoint.tunnel:08x}")
    return endpoint


def _decode_endpoint(raw: bytes, devices: Devices) -> rows.AddressValue:
    endpoint = _read_endpoint(raw, devices)
    return rows.AddressValue(
        mac=decode_mac(endpoint.mac),
        ifname=devices.name(endpoint.ifindex) if endpoint.ifindex else "",
        is_gateway=bool(endpoint.flags & EndpointFlag.ENDPOINT_GATEWAY),
        is_host=bool(endpoint.flags & EndpointFlag.ENDPOINT_HOST),
        host=endpoint.tunnel,
    )


def _encode_address_key(key: rows.AddressKey, devices: Devices) -> bytes:
    return layouts.AddressKey(key.vni, encode_address(key.address)).encode()


def _decode_address_key(raw: bytes, devices: Devices) -> rows.AddressKey:
    key = layouts.AddressKey.decode(raw)
    return rows.AddressKey(key.vni, _some_address(key.address))


def _encode_mac_value(value: rows.MacValue, devices: Devices) -> bytes:
    flags = EndpointFlag.ENDPOINT_HOST if value.is_host else EndpointFlag(0)
    ifindex = devices.ifindex(value.ifname) if value.ifname else 0
    way = devices.ways.of(value.host)
    return layouts.Endpoint(ifindex=ifindex, flags=flags, tunnel=value.host, way=way).encode()


def _decode_mac_value(raw: bytes, devices: Devices) -> rows.MacValue:
    endpoint = _read_endpoint(raw, devices)
    return rows.MacValue(
        ifname=devices.name(endpoint.ifindex) if endpoint.ifindex else "",
        is_host=bool(endpoint.flags & EndpointFlag.ENDPOINT_HOST),
        host=endpoint.tunnel,
    )


def _decode_mac_key(raw: bytes, devices: Devices) -> rows.MacKey:
    key = layouts.MacKey.decode(raw)
    return rows.MacKey(key.vni, key.mac.hex(":"))


def _encode_network(value: rows.NetworkValue, devices: Devices) -> bytes:
    flags = NetworkFlag(0)
    if value.is_internal:
        flags |= NetworkFlag.NETWORK_INTERNAL
    if value.has_unknown:
        flags |= NetworkFlag.NETWORK_HAS_UNKNOWN
    if value.is_snooping:
        flags |= NetworkFlag.NETWORK_SNOOPS
    return layouts.Network(flags=flags, slot_count=value.slot_count).encode()


def _decode_network(raw: bytes, devices: Devices) -> rows.NetworkValue:
    network = layouts.Network.decode(raw)
    return rows.NetworkValue(
        is_internal=bool(network.flags & NetworkFlag.NETWORK_INTERNAL),
        slot_count=network.slot_count,
        has_unknown=bool(network.flags & NetworkFlag.NETWORK_HAS_UNKNOWN),
        is_snooping=bool(network.flags & NetworkFlag.NETWORK_SNOOPS),
    )


def _encode_group(value: rows.MulticastValue, devices: Devices) -> bytes:
    flags = MulticastFlag.MULTICAST_FLOODED if value.is_flooded else MulticastFlag(0)
    return layouts.MulticastGroup(flags=flags).encode()


def _decode_group(raw: bytes, devices: Devices) -> rows.MulticastValue:
    group = layouts.MulticastGroup.decode(raw)
    return rows.MulticastValue(bool(group.flags & MulticastFlag.MULTICAST_FLOODED))


def _decode_group_key(raw: bytes, devices: Devices) -> rows.MulticastKey:
    key = layouts.MulticastKey.decode(raw)
    return rows.MulticastKey(key.vni, _some_address(key.address))


def _encode_member_key(key: rows.MemberKey, devices: Devices) -> bytes:
    return layouts.MemberKey(key.vni, encode_address(key.group), key.member).encode()


def _decode_member_key(raw: bytes, devices: Devices) -> rows.MemberKey:
    key = layouts.MemberKey.decode(raw)
    return rows.MemberKey(key.vni, _some_address(key.address), key.member)


def _encode_peer(value: rows.PeerValue, devices: Devices) -> bytes:
    flags = PeerFlag(0)
    if value.is_encrypted:
        flags |= PeerFlag.PEER_ENCRYPTED
    if value.is_refused:
        flags |= PeerFlag.PEER_REFUSED
    return layouts.Peer(tag=value.tag, flags=flags).encode()


def _decode_peer(raw: bytes, devices: Devices) -> rows.PeerValue:
    peer = layouts.Peer.decode(raw)
    return rows.PeerValue(
        tag=peer.tag,
        is_encrypted=bool(peer.flags & PeerFlag.PEER_ENCRYPTED),
        is_refused=bool(peer.flags & PeerFlag.PEER_REFUSED),
    )


def _encode_allowed_key(key: rows.AllowedKey, devices: Devices) -> bytes:
    bits, address = _encode_prefix(key.prefix)
    return layouts.AllowedKey(32 + bits, devices.ifindex(key.ifname), address).encode()


def _decode_allowed_key(raw: bytes, devices: Devices) -> rows.AllowedKey:
    key = layouts.AllowedKey.decode(raw)
    prefix = _decode_prefix(key.prefixlen - 32, key.address)
    return rows.AllowedKey(devices.name(key.ifindex), prefix)


def _encode_subnet_key(key: rows.SubnetKey, devices: Devices) -> bytes:
    bits, address = _encode_prefix(key.prefix)
    return layouts.SubnetKey(32 + bits, key.vni, address).encode()


def _decode_subnet_key(raw: bytes, devices: Devices) -> rows.SubnetKey:
    key = layouts.SubnetKey.decode(raw)
    return rows.SubnetKey(key.vni, _decode_prefix(key.prefixlen - 32, key.address))


def _decode_host_prefix_key(raw: bytes, devices: Devices) -> IPNetwork:
    key = layouts.HostPrefixKey.decode(raw)
    return _decode_prefix(key.prefixlen, key.address)


def _encode_flood(value: str, devices: Devices) -> bytes:
    return layouts.Flood(devices.ifindex(value)).encode()


def _decode_flood(raw: bytes, devices: Devices) -> str:
    return devices.name(layouts.Flood.decode(raw).ifindex)


def _encode_replica(value: int, devices: Devices) -> bytes:
    return layouts.Replica(value).encode()


def _decode_replica(raw: bytes, devices: Devices) -> int:
    return layouts.Replica.decode(raw).tag


def _u32(value: int, devices: Devices) -> bytes:
    return value.to_bytes(4, "little")


def _of_u32(raw: bytes, devices: Devices) -> int:
    return int.from_bytes(raw, "little")


def _of_ifindex(raw: bytes, devices: Devices) -> str:
    return devices.name(int.from_bytes(raw, "little"))


PORTS: Codec[str, rows.PortValue] = Codec(
    berths.PORTS,
    lambda key, devices: _u32(devices.ifindex(key), devices),
    _of_ifindex,
    _encode_port,
    _decode_port,
)
ADDRESSES: Codec[rows.AddressKey, rows.AddressValue] = Codec(
    "addresses_v1", _encode_address_key, _decode_address_key, _encode_endpoint, _decode_endpoint
)
MACS: Codec[rows.MacKey, rows.MacValue] = Codec(
    "macs_v1",
    lambda key, devices: layouts.MacKey(key.vni, encode_mac(key.mac)).encode(),
    _decode_mac_key,
    _encode_mac_value,
    _decode_mac_value,
)
NETWORKS: Codec[int, rows.NetworkValue] = Codec(
    "networks_v1", _u32, _of_u32, _encode_network, _decode_network
)
FLOOD: Codec[rows.FloodKey, str] = Codec(
    "flood_v1",
    lambda key, devices: layouts.FloodKey(*key).encode(),
    lambda raw, devices: rows.FloodKey(*layouts.FloodKey.decode(raw)),
    _encode_flood,
    _decode_flood,
)
ALLOWED: Codec[rows.AllowedKey, rows.AllowedValue] = Codec(
    "allowed_v1",
    _encode_allowed_key,
    _decode_allowed_key,
    lambda value, devices: layouts.Allowed(encode_mac(value.mac)).encode(),
    lambda raw, devices: rows.AllowedValue(decode_mac(layouts.Allowed.decode(raw).mac)),
)
SUBNETS: Codec[rows.SubnetKey, rows.SubnetValue] = Codec(
    "subnets_v1",
    _encode_subnet_key,
    _decode_subnet_key,
    lambda value, devices: layouts.Subnet(encode_address(value.gateway)).encode(),
    lambda raw, devices: rows.SubnetValue(decode_address(layouts.Subnet.decode(raw).gateway)),
)
HOST_PREFIXES: Codec[IPNetwork, rows.HostPrefixValue] = Codec(
    "host_prefixes_v1",
    lambda key, devices: layouts.HostPrefixKey(*_encode_prefix(key)).encode(),
    _decode_host_prefix_key,
    lambda value, devices: layouts.HostPrefix(value.vni).encode(),
    lambda raw, devices: rows.HostPrefixValue(layouts.HostPrefix.decode(raw).vni),
)
RESOLVERS: Codec[IPAddress, rows.ResolverValue] = Codec(
    "resolvers_v1",
    lambda key, devices: encode_address(key),
    lambda raw, devices: _some_address(raw),
    lambda value, devices: layouts.Resolver().encode(),
    lambda raw, devices: rows.ResolverValue(),
)
PEERS: Codec[IPAddress, rows.PeerValue] = Codec(
    "peers_v1",
    lambda key, devices: encode_address(key),
    lambda raw, devices: _some_address(raw),
    _encode_peer,
    _decode_peer,
)
REPLICAS: Codec[rows.ReplicaKey, int] = Codec(
    "replicas_v2",
    lambda key, devices: layouts.ReplicaKey(key.vni, key.after).encode(),
    lambda raw, devices: rows.ReplicaKey(*layouts.ReplicaKey.decode(raw)),
    _encode_replica,
    _decode_replica,
    # The end of a chain first: at no moment does it lead past a host that was in it and stays.
    write_order=lambda key: -key.after,
)
MULTICAST_GROUPS: Codec[rows.MulticastKey, rows.MulticastValue] = Codec(
    "multicast_groups_v1",
    lambda key, devices: layouts.MulticastKey(key.vni, encode_address(key.group)).encode(),
    _decode_group_key,
    _encode_group,
    _decode_group,
)
MULTICAST_PORTS: Codec[rows.MemberKey, str] = Codec(
    "multicast_ports_v1", _encode_member_key, _decode_member_key, _encode_flood, _decode_flood
)
MULTICAST_HOSTS: Codec[rows.MemberKey, int] = Codec(
    "multicast_hosts_v1", _encode_member_key, _decode_member_key, _encode_replica, _decode_replica
)

CODECS: Mapping[str, Codec[Any, Any]] = {
    rows.PORTS: PORTS,
    rows.ADDRESSES: ADDRESSES,
    rows.MACS: MACS,
    rows.NETWORKS: NETWORKS,
    rows.FLOOD: FLOOD,
    rows.ALLOWED: ALLOWED,
    rows.SUBNETS: SUBNETS,
    rows.HOST_PREFIXES: HOST_PREFIXES,
    rows.RESOLVERS: RESOLVERS,
    rows.PEERS: PEERS,
    rows.REPLICAS: REPLICAS,
    rows.MULTICAST_GROUPS: MULTICAST_GROUPS,
    rows.MULTICAST_PORTS: MULTICAST_PORTS,
    rows.MULTICAST_HOSTS: MULTICAST_HOSTS,
}
"""By table."""
