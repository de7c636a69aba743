"""Names, and what DNS answers."""

from __future__ import annotations

from typing import Literal

import msgspec

from weft.api.schema.base import Answer
from weft.control.specs import Spec
from weft.model.addresses import IPAddress


class NameInfo(Answer, frozen=True, kw_only=True):
    """A name that DNS answers."""

    name: str
    network: str
    """The network's name."""
    network_id: str
    fqdn: str
    """With network and domain: ``db.foo.weft.internal``."""
    addresses: tuple[str, ...]
    services: tuple[str, ...]
    """``PRIORITY WEIGHT PORT TARGET`` each (RFC 2782)."""
    source: Literal["added", "port"]
    """Whether somebody added it by hand or ports carry it."""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    """Of one that was added."""


class NameList(Answer, frozen=True, kw_only=True):
    """Names, by network and name."""

    names: tuple[NameInfo, ...]


class RemoveNameQuery(Spec, frozen=True, kw_only=True):
    """Limits a removal to some addresses of the name."""

    address: tuple[IPAddress, ...] = ()


class LookupRecord(Answer, frozen=True, kw_only=True):
    """One record of a DNS answer."""

    name: str
    type: str
    ttl_s: int
    data: str


class LookupInfo(Answer, frozen=True, kw_only=True):
    """What DNS answers to a question."""

    name: str
    """The full name that was asked for."""
    type: str
    rcode: str
    """``NOERROR``, ``NXDOMAIN``, ``SERVFAIL`` …"""
    records: tuple[LookupRecord, ...]


class LookupQuery(Spec, frozen=True, kw_only=True):
    """A DNS question."""

    name: str
    """An address stands for its reverse name when the type is PTR."""
    type: str | None = None
    """null: PTR for an address, A for anything else."""
    network: str | None = None
    """Ask as a workload of this network would; null: as the host would."""
