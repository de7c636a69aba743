"""IP addresses and prefixes of either family as one type each.

To the type checker `IPAddress` is the union of the two classes of `ipaddress`. msgspec decodes no
union of two custom types, so at run time it is an abstract class with which both are registered.
"""

from __future__ import annotations

from abc import ABC
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

__all__ = ["IPAddress", "IPNetwork", "ip_address", "ip_network", "link_local_from_mac"]


def link_local_from_mac(mac: str) -> IPv6Address:
    """The link-local address that Linux forms from a MAC (modified EUI-64, RFC 4291 appendix A).

    >>> link_local_from_mac("02:00:00:00:00:01")
    IPv6Address('fe80::ff:fe00:1')
    """
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    interface = bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])
    return IPv6Address(b"\xfe\x80" + bytes(6) + interface)
