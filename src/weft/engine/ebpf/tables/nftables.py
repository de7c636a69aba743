"""`nftables`: one fact of Weft's own nftables table."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table
from weft.model.addresses import IPAddress


class NftKey(NamedTuple):
    """Which fact, by the set that holds it.

    ``("masquerade", prefix)``  what leaves the host from here gets the host's address
    ``("internal", prefix)``    is never forwarded to or from the outside
    ``("exposed", prefix)``     the host itself may open connections to it
    ``("contested", prefix)``   the host's main routing table may lead somewhere else
    ``("hosts", prefix)``       another host's address on the underlay, or this one's
    ``("underlay", prefix)``    this host's own
    ``("doors", Door)``         where a host waits for others: not for workloads
    ``("gateway", prefix)``     value is the gateway: source of what is DNATed into the prefix
    ``("publish", PublishKey)`` value is PublishTarget
    ``("proxy", PublishKey)``   the same, where a process takes clients: `semantics.proxied`
    """

    set: str
    element: object


class Door(NamedTuple):
    """Where a host waits for other hosts: of the mesh, of WireGuard."""

    address: IPAddress
    protocol: str
    port: int


class PublishKey(NamedTuple):
    """Published ports of the host in a row; `host_address` None is every address of the family."""

    protocol: str
    host_port: int
    host_address: IPAddress | None
    family: int
    """4 or 6."""
    length: int = 1
    """How many, from `host_port` on."""


class PublishTarget(NamedTuple):
    """Where the first of them leads; the next leads to the next port."""

    address: IPAddress
    port: int


NFTABLES: Table[NftKey, IPAddress | PublishTarget | bool] = Table(
    "nftables",
    Rank.HOST_FILTERS,
    # The table is replaced whole.
    are_deletes_last=True,
)
