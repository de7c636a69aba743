"""Addresses that the server listens on, and the sockets there."""

from __future__ import annotations

import socket
from typing import NamedTuple

from weft.model.addresses import IPAddress
from weft.model.service_addresses import DNS4, DNS6, DNS_PORT

# linux/in.h, linux/in6.h; Python 3.11 has no names for them.
_IP_FREEBIND = 15
_IPV6_FREEBIND = 78
_BACKLOG = 64
_RECEIVE_BUFFER_BYTES = 1 << 20


class Endpoint(NamedTuple):
    """An address and a port, for UDP and TCP."""

    address: IPAddress
    port: int


DEFAULT_ENDPOINTS = (Endpoint(DNS4, DNS_PORT), Endpoint(DNS6, DNS_PORT))


def open_udp(endpoint: Endpoint) -> socket.socket:
    """A bound socket; OSError. The address need not be there yet.

    SO_REUSEADDR lets it live beside another server's socket on the wildcard address.
    """
    sock = _bound(endpoint, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    return sock


def open_tcp(endpoint: Endpoint) -> socket.socket:
    """A listening socket; OSError. The address need not be there yet."""
    sock = _bound(endpoint, socket.SOCK_STREAM)
    try:
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _bound(endpoint: Endpoint, type: socket.SocketKind) -> socket.socket:
    is_ipv6 = endpoint.address.version == 6
    sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, type)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind((str(endpoint.address), endpoint.port))
    except OSError:
        sock.close()
        raise
    return sock
