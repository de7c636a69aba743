"""IP addresses and prefixes of either family as one type each.

To the type checker `IPAddress` is the union of the two classes of `ipaddress`. msgspec decodes no
union of two custom types, so at run time it is an abstract class with which both are registered.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    IPAddress = IPv4Address | IPv6Address
    IPNetwork = IPv4Network | IPv6Network
else:

    class IPAddress(ABC):  # noqa: B024
        """An IPv4Address or IPv6Address."""

    class IPNetwork(ABC):  # noqa: B024
        """An IPv4Network or IPv6Network."""

    IPAddress.register(IPv4Address)
    IPAddress.register(IPv6Address)
    IPNetwork.register(IPv4Network)
    IPNetwork.register(IPv6Network)

__all__ = [
    "IPAddress",
    "IPNetwork",
    "address_from_mac",
    "address_in_packets",
    "check_ranges",
    "contains",
    "first_of_family",
    "ip_address",
    "ip_network",
    "link_local_from_mac",
    "plain_address",
    "plain_network",
]
MAPPED = IPv6Network("::ffff:0:0/96")


def plain_address(text: str) -> IPAddress:
    """An address out of a record or a request; ValueError: it is none that Weft can use.

    IPv4 inside IPv6 would be taken for the IPv4 address that is in it: the kernel's maps hold both
    in that form.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            raise ValueError(f"{text[:60]!r} is an IPv4 address: write {address.ipv4_mapped}")
        if address.scope_id is not None:
            raise ValueError(f"{text[:60]!r} says a device: leave out %{address.scope_id}")
    return address


def address_in_packets(address: IPAddress) -> IPAddress:
    """What is in packets to an address that a host's own files name, and so what records hold.

    >>> address_in_packets(ip_address("2001:db8::1%eth0"))
    IPv6Address('2001:db8::1')
    >>> address_in_packets(ip_address("::ffff:192.0.2.1"))
    IPv4Address('192.0.2.1')
    """
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(address.packed)


def plain_network(text: str) -> IPNetwork:
    """The same for prefixes."""
    network = ip_network(text)
    if isinstance(network, IPv6Network):
        if network.subnet_of(MAPPED):
            raise ValueError(f"{text[:60]!r} is an IPv4 prefix: write it as one")
        if network.network_address.scope_id is not None:
            raise ValueError(f"{text[:60]!r} has a scope")
    return network


def contains(outer: IPNetwork, inner: IPNetwork) -> bool:
    """Whether all of a prefix, of whichever family, lies in another."""
    return (
        outer.version == inner.version
        and outer.prefixlen <= inner.prefixlen
        and inner.network_address in outer
    )


def first_of_family(version: int, addresses: Iterable[IPAddress]) -> IPAddress | None:
    """The first address of that version of IP; None: there is none."""
    return next((address for address in addresses if address.version == version), None)


def check_ranges(ranges: Iterable[tuple[IPAddress, IPAddress]]) -> None:
    """ValueError: one ends before it begins, or in another family."""
    for first, last in ranges:
        if first.version != last.version or int(first) > int(last):
            raise ValueError(f"range {first}-{last}: the first address comes after the last")


def address_from_mac(prefix: IPv6Network, mac: str) -> IPv6Address:
    """The address in a prefix of 64 bits that is formed from a MAC (modified EUI-64, RFC 4862)."""
    interface = int(link_local_from_mac(mac)) & (2**64 - 1)
    return IPv6Address(int(prefix.network_address) | interface)


def link_local_from_mac(mac: str) -> IPv6Address:
    """The link-local address that Linux forms from a MAC (modified EUI-64, RFC 4291 appendix A).

    >>> link_local_from_mac("02:00:00:00:00:01")
    IPv6Address('fe80::ff:fe00:1')
    """
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    interface = bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])
    return IPv6Address(b"\xfe\x80" + bytes(6) + interface)
