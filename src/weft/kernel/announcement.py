"""Says out of a port's device that an address has this MAC: gratuitous ARP (RFC 5227 section 3), as
a request and as a reply, or an unsolicited neighbour advertisement (RFC 4861 section 7.2.6)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from weft.errors import KernelError
from weft.model.addresses import IPAddress

_BROADCAST = b"\xff" * 6
_ALL_NODES = IPv6Address("ff02::1").packed
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ARP, _IPV6, _ICMPV6 = 0x0806, 0x86DD, 58
_REQUEST, _REPLY = 1, 2
_ADVERTISEMENT, _TARGET_MAC = 136, 2
_ROUTER, _OVERRIDE = 0x80, 0x20


def frames(address: IPAddress, mac: str, *, is_router: bool = False) -> tuple[bytes, ...]:
    """What is to be sent to every neighbour."""
    octets = bytes.fromhex(mac.replace(":", ""))
    if isinstance(address, IPv4Address):
        return tuple(_arp(operation, address.packed, octets) for operation in (_REQUEST, _REPLY))
    return (_advertisement(address.packed, octets, is_router=is_router),)


def _arp(operation: int, address: bytes, mac: bytes) -> bytes:
    target = mac if operation == _REPLY else bytes(6)
    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation) + mac + address + target + address
    return _BROADCAST + mac + struct.pack(">H", _ARP) + body


def _advertisement(address: bytes, mac: bytes, *, is_router: bool) -> bytes:
    flags = _OVERRIDE | (_ROUTER if is_router else 0)
    body = struct.pack(">BBHI", _ADVERTISEMENT, 0, 0, flags << 24) + address
    body += bytes([_TARGET_MAC, 1]) + mac
    pseudo = address + _ALL_NODES + struct.pack(">II", len(body), _ICMPV6)
    body = body[:2] + _checksum(pseudo + body) + body[4:]
    head = struct.pack(">IHBB", 6 << 28, len(body), _ICMPV6, 255) + address + _ALL_NODES
    return _ALL_NODES_MAC + mac + struct.pack(">H", _IPV6) + head + body


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


class Announcer:
    """Sends frames out of devices of the namespace in which it first does."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def send(self, ifname: str, sent: Sequence[bytes]) -> None:
        """Whether they go or not: a port may just be going away, or its queue be full. KernelError:
        this process may not send such at all."""
        try:
            opened = self._socket = self._socket or _opened()
        except OSError as error:
            raise KernelError("open a packet socket", error.errno or 0) from error
        for frame in sent:
            try:
                opened.sendto(frame, (ifname, 0))
            except OSError:
                return

    def close(self) -> None:
        """Give the socket back; it is opened again when there is something to send."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _opened() -> socket.socket:
    """Of no protocol, so that it hears nothing."""
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    return socket.socket(socket.AF_PACKET, kind, 0)
