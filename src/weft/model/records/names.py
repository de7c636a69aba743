"""Names that people add to DNS."""

from __future__ import annotations

from weft.model.addresses import IPAddress
from weft.model.ids import NameId, NetworkId
from weft.model.records.base import Part, Record
from weft.model.values import Label, PortNumber, Short, TtlSeconds, Words


class Name(Record, frozen=True, kw_only=True):
    """A DNS name that somebody added by hand."""

    KIND = "name"
    INDEXED = ("network_id", "name", "addresses")
    id: NameId
    name: Label
    """Lower case, without the domain: ``db`` or ``_http._tcp.web``."""
    network_id: NetworkId
    addresses: tuple[IPAddress, ...] = ()
    services: tuple[ServiceTarget, ...] = ()
    ttl_s: TtlSeconds = 1
    labels: tuple[tuple[Words, Words], ...] = ()
    """(key, value), ascending, each key once."""


class ServiceTarget(Part, frozen=True, kw_only=True):
    """What an SRV record points to (RFC 2782)."""

    priority: Short
    weight: Short
    port: PortNumber
    target: Label
    """A label of the same network, or a full domain name when it contains a dot."""

    @property
    def text(self) -> str:
        """As users say it: ``PRIORITY WEIGHT PORT TARGET``."""
        return f"{self.priority} {self.weight} {self.port} {self.target}"
