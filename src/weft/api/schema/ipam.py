"""Who owns which addresses."""

from __future__ import annotations

from typing import Literal

from weft.api.schema.base import Answer


class ShareInfo(Answer, frozen=True, kw_only=True):
    """What one host owns of a subnet. Counts beyond 2**63 - 1 are said as that."""

    host_id: str
    host: str
    """Its name."""
    blocks: tuple[str, ...]
    """``FIRST-LAST`` or one address each; what is never given (network, gateway) is in them too."""
    address_count: int
    """Addresses that can be given."""
    free_count: int
    """Of these, those that nobody has."""
    reserve_count: int
    """Of `address_count`, those that are never taken from the host unless it is forgotten."""
    coming_count: int
    """Of `address_count`, those that it was given and has not taken up yet."""


class SubnetShares(Answer, frozen=True, kw_only=True):
    """Who owns what of a subnet."""

    subnet_id: str
    cidr: str
    network: str | None
    """Name; null: a pool that waits for its network."""
    shares: tuple[ShareInfo, ...]
    """By host name."""


class LeaseInfo(Answer, frozen=True, kw_only=True):
    """How a host holds its blocks."""

    host_id: str
    host: str
    """Its name."""
    is_local: bool
    """Whether it is the host that answers."""
    quorum: tuple[str, ...]
    """Names of the hosts of its lease quorum, itself among them."""
    state: Literal["held", "fenced", "returning", "lost", "given-up"]
    """held: as it should be. fenced: it reaches no majority of its quorum and gives only what is in
    its reserve. returning: restored from a backup, it has not heard yet what it gave away since.
    lost: not reached. given-up: its quorum has decided who takes its leased blocks."""
    since_s: float | None
    """Since when; null: not known, or held."""
    until_s: float | None
    """When its leased blocks are taken if it is not back; null: not at any set time."""
    reason: str
    """What it means and what ends it; empty: held."""


class IpamInfo(Answer, frozen=True, kw_only=True):
    """Who owns which addresses."""

    subnets: tuple[SubnetShares, ...]
    leases: tuple[LeaseInfo, ...]
    """The host that answers comes first."""
