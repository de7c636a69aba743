"""The kernel's WireGuard, over its generic netlink family (include/uapi/linux/wireguard.h)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence

from weft.kernel.netlink import (
    Netlink,
    Request,
    attribute,
    attribute_text,
    attribute_u32,
    attributes,
    nested,
    open_socket,
)
from weft.kernel.wireguard.state import DeviceChange, DeviceState, Endpoint, Peer, PeerSetting
from weft.model.addresses import IPAddress, IPNetwork, ip_address, ip_network

_NETLINK_GENERIC = 16
_GENL_ID_CTRL = 16
_CTRL_CMD_GETFAMILY = 3
_CTRL_ATTR_FAMILY_ID = 1
_CTRL_ATTR_FAMILY_NAME = 2
_FAMILY_NAME = "wireguard"

_CMD_GET_DEVICE = 0
_CMD_SET_DEVICE = 1
_DEVICE_IFNAME = 2
_DEVICE_PRIVATE_KEY = 3
_DEVICE_LISTEN_PORT = 6
_DEVICE_PEERS = 8
_PEER_PUBLIC_KEY = 1
_PEER_FLAGS = 3
_PEER_ENDPOINT = 4
_PEER_KEEPALIVE = 5
_PEER_LAST_HANDSHAKE = 6
_PEER_RX_BYTES = 7
_PEER_TX_BYTES = 8
_PEER_ALLOWED = 9
_PEER_REMOVE = 1
_PEER_REPLACE_ALLOWED = 2
_ALLOWED_FAMILY = 1
_ALLOWED_ADDRESS = 2
_ALLOWED_LENGTH = 3

_GENL = struct.Struct("=BBH")
_VERSION = 1
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_BATCH = 256
"""Peers in one message: the attribute that holds them all has 16 bits for its length."""


class KernelWireGuard:
    """A device of the kernel's. See `state.WireGuard`."""

    def __init__(self, ifname: str) -> None:
        self._ifname = ifname

    def read(self) -> DeviceState:
        """See `state.WireGuard.read`."""
        with open_netlink() as netlink:
            request = get_device(find_family(netlink), self._ifname)
            return parse_device(netlink.dump(request))

    def write(self, change: DeviceChange) -> None:
        """See `state.WireGuard.write`."""
        with open_netlink() as netlink:
            netlink.do(*set_device(find_family(netlink), self._ifname, change))


def open_netlink() -> Netlink:
    """A socket for requests of this family, in the calling thread's namespace."""
    return Netlink(open_socket(_NETLINK_GENERIC))


def find_family(netlink: Netlink) -> int:
    """The number that this kernel gave to WireGuard's messages. ENOENT: it has no WireGuard."""
    body = _GENL.pack(_CTRL_CMD_GETFAMILY, 1, 0)
    body += attribute_text(_CTRL_ATTR_FAMILY_NAME, _FAMILY_NAME)
    answer = netlink.get(Request("find the kernel's WireGuard", _GENL_ID_CTRL, 0, body))
    return int.from_bytes(attributes(answer, _GENL.size)[_CTRL_ATTR_FAMILY_ID], "little")


def get_device(family: int, ifname: str) -> Request:
    """Ask for all of a device; `parse_device` reads what the dump gives."""
    body = _GENL.pack(_CMD_GET_DEVICE, _VERSION, 0) + attribute_text(_DEVICE_IFNAME, ifname)
    return Request(f"read WireGuard device {ifname}", family, 0, body)


def set_device(family: int, ifname: str, change: DeviceChange) -> list[Request]:
    """The requests of a change, several where it names many peers."""
    head = _GENL.pack(_CMD_SET_DEVICE, _VERSION, 0) + attribute_text(_DEVICE_IFNAME, ifname)
    first = b""
    if change.private_key is not None:
        first += attribute(_DEVICE_PRIVATE_KEY, change.private_key)
    if change.port is not None:
        first += attribute(_DEVICE_LISTEN_PORT, struct.pack("=H", change.port))
    removed = [_removed_peer(key) for key in change.removed]
    peers = removed + [_peer(setting) for setting in change.peers]
    parts = [
        nested(_DEVICE_PEERS, *peers[start : start + _BATCH])
        for start in range(0, len(peers), _BATCH)
    ]
    parts = [first + parts[0], *parts[1:]] if parts else [first]
    operation = f"set up WireGuard device {ifname}"
    return [Request(operation, family, 0, head + part) for part in parts]


def _removed_peer(public_key: bytes) -> bytes:
    flags = attribute_u32(_PEER_FLAGS, _PEER_REMOVE)
    return nested(0, attribute(_PEER_PUBLIC_KEY, public_key), flags)


def _peer(setting: PeerSetting) -> bytes:
    parts = [
        attribute(_PEER_PUBLIC_KEY, setting.public_key),
        attribute_u32(_PEER_FLAGS, _PEER_REPLACE_ALLOWED),
        attribute(_PEER_KEEPALIVE, struct.pack("=H", setting.keepalive_s)),
    ]
    if setting.endpoint is not None:
        parts.append(attribute(_PEER_ENDPOINT, _pack_endpoint(setting.endpoint)))
    parts.append(nested(_PEER_ALLOWED, *(_allowed(each) for each in sorted_prefixes(setting))))
    return nested(0, *parts)


def sorted_prefixes(setting: PeerSetting) -> Sequence[IPNetwork]:
    """The allowed prefixes, always in the same order."""
    return sorted(setting.allowed, key=lambda prefix: (prefix.version, prefix))


def _allowed(prefix: IPNetwork) -> bytes:
    return nested(
        0,
        attribute(_ALLOWED_FAMILY, struct.pack("=H", _FAMILY[prefix.version])),
        attribute(_ALLOWED_ADDRESS, prefix.network_address.packed),
        attribute(_ALLOWED_LENGTH, bytes((prefix.prefixlen,))),
    )


def _pack_endpoint(endpoint: Endpoint) -> bytes:
    """struct sockaddr_in or sockaddr_in6."""
    family = struct.pack("=H", _FAMILY[endpoint.address.version])
    port = struct.pack(">H", endpoint.port)
    if endpoint.address.version == 4:
        return family + port + endpoint.address.packed + bytes(8)
    return family + port + bytes(4) + endpoint.address.packed + bytes(4)


def _parse_endpoint(packed: bytes) -> Endpoint:
    (family,) = struct.unpack_from("=H", packed)
    (port,) = struct.unpack_from(">H", packed, 2)
    address = packed[4:8] if family == socket.AF_INET else packed[8:24]
    return Endpoint(ip_address(address), port)


def parse_device(bodies: Iterable[bytes]) -> DeviceState:
    """A device from the messages of a dump. A peer with many prefixes goes on in the next one."""
    private_key, port = b"", 0
    peers: dict[bytes, Peer] = {}
    for body in bodies:
        found = attributes(body, _GENL.size)
        private_key = found.get(_DEVICE_PRIVATE_KEY, private_key)
        port = _number(found.get(_DEVICE_LISTEN_PORT)) or port
        for item in _items(found.get(_DEVICE_PEERS, b"")):
            key, peer = _parse_peer(item)
            before = peers.get(key)
            more = before._replace(allowed=before.allowed | peer.allowed) if before else peer
            peers[key] = more
    return DeviceState(private_key if any(private_key) else b"", port, peers)


def _parse_peer(body: bytes) -> tuple[bytes, Peer]:
    found = attributes(body)
    endpoint = found.get(_PEER_ENDPOINT)
    seconds, nanoseconds = struct.unpack("=qq", found.get(_PEER_LAST_HANDSHAKE, bytes(16)))
    return found[_PEER_PUBLIC_KEY], Peer(
        endpoint=_parse_endpoint(endpoint) if endpoint else None,
        allowed=frozenset(map(_parse_allowed, _items(found.get(_PEER_ALLOWED, b"")))),
        keepalive_s=_number(found.get(_PEER_KEEPALIVE)),
        handshake_s=seconds + nanoseconds / 1e9,
        rx_bytes=_number(found.get(_PEER_RX_BYTES)),
        tx_bytes=_number(found.get(_PEER_TX_BYTES)),
    )


def _parse_allowed(body: bytes) -> IPNetwork:
    found = attributes(body)
    address: IPAddress = ip_address(found[_ALLOWED_ADDRESS])
    return ip_network((address, found[_ALLOWED_LENGTH][0]))


def _items(body: bytes) -> Iterator[bytes]:
    """The attributes of a list, whatever their kinds."""
    start = 0
    while start + 4 <= len(body):
        length, _ = struct.unpack_from("=HH", body, start)
        if length < 4:
            return
        yield body[start + 4 : start + length]
        start += (length + 3) & ~3


def _number(payload: bytes | None) -> int:
    return 0 if payload is None else int.from_bytes(payload, "little")
