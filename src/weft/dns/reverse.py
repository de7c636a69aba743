"""Names of addresses: from ``in-addr.arpa`` and ``ip6.arpa`` back to the address."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from weft.model.addresses import IPAddress, IPNetwork

_OCTETS = {str(value).encode(): value for value in range(256)}
_NIBBLES = {f"{value:x}".encode(): value for value in range(16)}


def address_of(labels: list[bytes]) -> IPAddress | None:
    """The address whose reverse name this is; None when it is that of no single address.

    `labels` in lower case. RFC 1035 section 3.5, RFC 3596 section 2.5.
    """
    value = 0
    if labels[-2:] == [b"in-addr", b"arpa"] and len(labels) == 6:
        for label in reversed(labels[:4]):
            if label not in _OCTETS:
                return None
            value = value << 8 | _OCTETS[label]
        return IPv4Address(value)
    if labels[-2:] == [b"ip6", b"arpa"] and len(labels) == 34:
        for label in reversed(labels[:32]):
            if label not in _NIBBLES:
                return None
            value = value << 4 | _NIBBLES[label]
        return IPv6Address(value)
    return None


class PrefixSet:
    """Prefixes; whether an address lies in any costs one look a prefix length."""

    def __init__(self, prefixes: Iterable[IPNetwork]) -> None:
        self._networks: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for prefix in prefixes:
            shift = prefix.max_prefixlen - prefix.prefixlen
            self._networks[prefix.version, shift].add(int(prefix.network_address) >> shift)

    def __contains__(self, address: IPAddress) -> bool:
        value = int(address)
        return any(
            version == address.version and value >> shift in networks
            for (version, shift), networks in self._networks.items()
        )
