"""Prefixes that can be no subnet of a network, for the kernel or Weft itself means them otherwise.

Whatever overlaps one of them is refused: a route to such a subnet would take the host's own
loopback, its links' neighbours or its workloads' resolver away.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from weft.model.addresses import IPNetwork
from weft.model.service_addresses import ALIAS6, DNS6, WIREGUARD6

RESERVED4 = {
    IPv4Network("0.0.0.0/8"): "means this host (RFC 1122)",
    IPv4Network("127.0.0.0/8"): "is the loopback (RFC 1122)",
    IPv4Network("169.254.0.0/16"): "is link-local (RFC 3927), and Weft's resolver is in it",
    IPv4Network("224.0.0.0/4"): "is multicast (RFC 5771)",
    IPv4Network("240.0.0.0/4"): "is reserved (RFC 1112), and Weft's own between host and ports",
}
RESERVED6 = {
    IPv6Network("::/96"): "holds the loopback and the unspecified address (RFC 4291)",
    IPv6Network("::ffff:0:0/96"): "stands for IPv4 addresses (RFC 4291)",
    IPv6Network((DNS6, 64), strict=False): "is Weft's own, for its resolver",
    ALIAS6: "is Weft's own between host and ports",
    WIREGUARD6: "is Weft's own, inside WireGuard",
    IPv6Network("fe80::/10"): "is link-local (RFC 4291)",
    IPv6Network("ff00::/8"): "is multicast (RFC 4291)",
}


def why_reserved(prefix: IPNetwork) -> str | None:
    """Why a prefix can be no subnet; None: it can.

    >>> from ipaddress import ip_network
    >>> why_reserved(ip_network("127.5.0.0/16"))
    '127.0.0.0/8 is the loopback (RFC 1122)'
    """
    reserved = RESERVED4 if isinstance(prefix, IPv4Network) else RESERVED6
    for other, reason in reserved.items():
        if prefix.overlaps(other):
            return f"{other} {reason}"
    return None
