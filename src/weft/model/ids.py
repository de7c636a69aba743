"""Identifiers: distinct types, so that a port's id is never taken for a network's.

An id is 16 lower-case hexadecimal digits, random, chosen by whoever creates the record, unique
without asking anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import NewType

from weft.model.values import HostIdText, Id, MacText, VniNumber

HostId = NewType("HostId", HostIdText)
TenantId = NewType("TenantId", Id)
NetworkId = NewType("NetworkId", Id)
SubnetId = NewType("SubnetId", Id)
PortId = NewType("PortId", Id)
NameId = NewType("NameId", Id)
ReservationId = NewType("ReservationId", Id)
BindingId = NewType("BindingId", Id)
HostTag = NewType("HostTag", int)
"""A host in BPF maps and in the header of relayed packets: 1 .. 2**32-1."""
Vni = NewType("Vni", VniNumber)
"""VXLAN network identifier, 1 .. 2**24-1 (RFC 7348)."""
MacAddress = NewType("MacAddress", MacText)
"""Six octets, lower case, colons: ``0a:57:45:46:54:01``."""

ID_LENGTH = 16

RandomBytes = Callable[[int], bytes]
"""A source of randomness, passed in so that tests and simulations can seed it."""


def new_id(random_bytes: RandomBytes) -> str:
    """A fresh id."""
    return random_bytes(ID_LENGTH // 2).hex()


def derived_id(*parts: str) -> str:
    """An id that everybody who knows `parts` computes alike."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:ID_LENGTH]


def derived_mac(*parts: str) -> MacAddress:
    """A locally administered unicast MAC that depends only on `parts`.

    An address that is given again in the same network gets its old MAC again, so neighbours'
    caches stay true.
    """
    octets = bytearray(hashlib.sha256("\0".join(parts).encode()).digest()[:6])
    octets[0] = 0x02
    return MacAddress(octets.hex(":"))


def host_place_id(host_id: HostId, network_id: NetworkId) -> PortId:
    """Id of the port that is a host's own place on a network (`weft expose`)."""
    return PortId(derived_id("host-place", host_id, network_id))


@lru_cache(maxsize=4096)
def host_tag(host_id: HostId) -> HostTag:
    """The first half of a host's id. A host whose tag is 0 or is another's must take a new id.

    An id that is no number, which no weftd chooses, has a tag all the same.
    """
    try:
        return HostTag(int(host_id[: ID_LENGTH // 2], 16))
    except ValueError:
        return HostTag(int(derived_id("host-tag", host_id)[: ID_LENGTH // 2], 16))
