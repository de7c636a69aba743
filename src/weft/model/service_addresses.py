"""Addresses that Weft itself uses between a host and its workloads; the same in ``bpf/abi.h``.

Unencrypted they never appear inside a network or on the wire: a query for a resolver of the host is
rewritten to `DNS4` or `DNS6` on its way up to weftd, its source to the asker's alias, and back on
the way down. Class E and a ULA of our own, so that they collide with nobody's networks.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from weft.model.ids import derived_number

GATEWAY_MAC = "0a:57:45:46:54:01"
"""Of every subnet's gateway, on every host."""
DNS4 = IPv4Address("169.254.53.53")
DNS6 = IPv6Address("fd77:6566:7400::53")
DNS_PORT = 335
"""Of weftd's DNS server, instead of 53, which is free for others so, on all addresses of the host.
Assigned to nobody, and below 1024: no unprivileged program can take it while weftd is away."""
PROXY_PORT = 336
"""Where published ports are taken for clients of the family that the workload has not; as above."""
ALIAS4 = IPv4Network("240.0.0.0/4")
"""Plus the ifindex of a port's host-side device: that port, as the host sees it."""
ALIAS6 = IPv6Network("fd77:6566:7400:1::/64")
WIREGUARD6 = IPv6Network("fd77:6566:7401::/64")
"""Inside the WireGuard of the hosts: they reach each other so, and nothing else may."""


def is_of_weft(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is one that Weft uses itself on every host, so that nobody else can have it."""
    if address.version == 4:
        return address == DNS4 or address in ALIAS4
    return address == DNS6 or address in ALIAS6 or address in WIREGUARD6


def ifindex_of_alias(address: IPv4Address | IPv6Address) -> int | None:
    """The ifindex in a port's alias; None when the address is no alias."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return ifindex_of_alias(address.ipv4_mapped)
        return int(address) & 0xFFFFFFFF if address in ALIAS6 else None
    return int(address) & 0x0FFFFFFF if address in ALIAS4 else None


def wireguard_address(host_id: str) -> IPv6Address:
    """A host's address inside WireGuard: its id is the half that is its own.

    >>> wireguard_address("0123456789abcdef")
    IPv6Address('fd77:6566:7401:0:123:4567:89ab:cdef')
    """
    try:
        return WIREGUARD6[int(host_id, 16)]
    except (ValueError, IndexError):
        # An id that is no number, which no weftd chooses (see `ids.host_tag`).
        return WIREGUARD6[derived_number("wireguard-address", host_id)]
