"""What records say of one name, and how that goes on the wire."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from weft.dns import wire
from weft.model.addresses import IPAddress


class Service(NamedTuple):
    """An SRV record with its target's full name (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


class Facts(NamedTuple):
    """What one name leads to, with the time to live of each in seconds.

    All empty: the name exists, but only as a part of longer ones.
    """

    addresses: dict[IPAddress, int]
    services: dict[Service, int]
    pointers: dict[str, int]
    """Names of an address."""
    near: set[IPAddress]
    """Those of `addresses` that are on this host."""

    @classmethod
    def none(cls) -> Facts:
        """Fresh and empty."""
        return cls({}, {}, {}, set())

    @property
    def is_held(self) -> bool:
        """Whether anything holds the name itself."""
        return any(self)


def name_in_wire_form(text: str) -> bytes | None:
    """None when DNS cannot carry it: its parts, each fit to be a name, may be too long together."""
    try:
        return wire.encode_name([label.encode("ascii") for label in text.strip(".").split(".")])
    except ValueError:
        return None


def address_records(facts: Facts, type: int, owner: bytes = wire.QUESTION_NAME) -> Iterator[bytes]:
    """A or AAAA records, the near ones first; none for any other type."""
    version = {wire.A: 4, wire.AAAA: 6}.get(type)
    for address in sorted(facts.addresses, key=lambda one: one not in facts.near):
        if address.version == version:
            ttl_s = facts.addresses[address]
            yield wire.resource_record(type, ttl_s, address.packed, owner)


def near_count(facts: Facts, type: int) -> int:
    """How many of the `address_records` are near."""
    version = {wire.A: 4, wire.AAAA: 6}.get(type)
    return sum(address.version == version for address in facts.near)


def pointer_records(facts: Facts) -> Iterator[bytes]:
    """PTR records."""
    for text, ttl_s in facts.pointers.items():
        name = name_in_wire_form(text)
        if name is not None:
            yield wire.resource_record(wire.PTR, ttl_s, name)


def service_records(facts: Facts) -> Iterator[bytes]:
    """SRV records."""
    for service, ttl_s in facts.services.items():
        target = name_in_wire_form(service.target)
        if target is not None:
            numbers = struct.pack(">HHH", service.priority, service.weight, service.port)
            yield wire.resource_record(wire.SRV, ttl_s, numbers + target)


def any_record(ttl_s: int) -> bytes:
    """The whole answer to type ANY (RFC 8482 section 4.2)."""
    return wire.resource_record(wire.HINFO, ttl_s, b"\7RFC8482\0")
