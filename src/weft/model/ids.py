"""Identifiers: distinct types, so that a port's id is never taken for a network's.

An id is a UUID (RFC 9562) as text, random or derived, chosen by whoever creates the record, unique
without asking anybody; so records of other systems that have one (Neutron's, OVN's, Kubernetes')
keep it. A host's is half as long: it is the half of an address that is the host's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NewType

from weft.model.addresses import IPAddress
from weft.model.values import HostIdText, Id, MacText, VniNumber

HostId = NewType("HostId", HostIdText)
TenantId = NewType("TenantId", Id)
NetworkId = NewType("NetworkId", Id)
SubnetId = NewType("SubnetId", Id)
PortId = NewType("PortId", Id)
NameId = NewType("NameId", Id)
ReservationId = NewType("ReservationId", Id)
BindingId = NewType("BindingId", Id)
GroupId = NewType("GroupId", Id)
RuleId = NewType("RuleId", Id)
RouterId = NewType("RouterId", Id)
RouterPortId = NewType("RouterPortId", Id)
RouterRouteId = NewType("RouterRouteId", Id)
HostTag = NewType("HostTag", int)
"""A host in BPF maps and in the header of relayed packets: 1 .. 2**32-1."""
Vni = NewType("Vni", VniNumber)
"""VXLAN network identifier, 1 .. 2**24-1 (RFC 7348)."""
MacAddress = NewType("MacAddress", MacText)
"""Six octets, lower case, colons: ``0a:57:45:46:54:01``."""

HOST_ID_LENGTH = 16
"""Lower-case hexadecimal digits."""
_RANDOM, _DERIVED = 4, 8
"""Versions of UUIDs: of random numbers, and of whatever its maker likes."""

RandomBytes = Callable[[int], bytes]
"""A source of randomness, passed in so that tests and simulations can seed it."""


def new_id(random_bytes: RandomBytes) -> str:
    """A fresh id.

    >>> new_id(bytes)
    '00000000-0000-4000-8000-000000000000'
    """
    return _uuid(random_bytes(16), _RANDOM)


def derived_id(*parts: str) -> str:
    """An id that everybody who knows `parts` computes alike."""
    return _uuid(_digest(parts), _DERIVED)


def new_host_id(random_bytes: RandomBytes) -> HostId:
    """A fresh id of a host: one whose tag is not 0."""
    while not int((chosen := random_bytes(HOST_ID_LENGTH // 2).hex())[: HOST_ID_LENGTH // 2], 16):
        continue
    return HostId(chosen)


def derived_number(*parts: str) -> int:
    """64 bits that everybody who knows `parts` computes alike."""
    return int.from_bytes(_digest(parts)[:8], "big")


def derived_mac(*parts: str) -> MacAddress:
    """A locally administered unicast MAC that depends only on `parts`.

    An address that is given again in the same network gets its old MAC again, so neighbours'
    caches stay true.
    """
    octets = bytearray(_digest(parts)[:6])
    octets[0] = 0x02
    return MacAddress(octets.hex(":"))


def host_place_id(host_id: HostId, network_id: NetworkId) -> PortId:
    """Id of the port that is a host's own place on a network (`weft expose`)."""
    return PortId(derived_id("host-place", host_id, network_id))


def reservation_id(subnet_id: str, address: IPAddress) -> ReservationId:
    """Id of the reservation that holds an address of a subnet, whoever makes it."""
    return ReservationId(derived_id("reservation", subnet_id, str(address)))


@lru_cache(maxsize=4096)
def host_tag(host_id: HostId) -> HostTag:
    """The first half of a host's id. A host whose tag is 0 or is another's must take a new id.

    An id that is no number, which no weftd chooses, has a tag all the same.
    """
    try:
        return HostTag(int(host_id[: HOST_ID_LENGTH // 2], 16))
    except ValueError:
        return HostTag(derived_number("host-tag", host_id) >> 32)


def _digest(parts: Iterable[str]) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _uuid(random: bytes, version: int) -> str:
    """Variant and version are in bits of their own (RFC 9562 section 4)."""
    octets = bytearray(random[:16])
    octets[6] = octets[6] & 0x0F | version << 4
    octets[8] = octets[8] & 0x3F | 0x80
    digits = octets.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
