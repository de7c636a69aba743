"""Whose networks are whose, and how much each may have."""

from __future__ import annotations

from weft.model.choices import Direction
from weft.model.ids import TenantId, derived_id
from weft.model.records.base import Part, Record
from weft.model.values import Count, NetworkName, Words


class Quota(Part, frozen=True, kw_only=True):
    """How much a tenant may have, on all hosts together. None: any number."""

    networks: Count | None = None
    ports: Count | None = None
    """But for the hosts' own places."""
    addresses: Count | None = None
    """Of these ports."""
    rules: Count | None = None
    """Of its security groups."""


class Tenant(Record, frozen=True, kw_only=True):
    """Somebody with networks of his own, whose names no other tenant sees."""

    KIND = "tenant"
    INDEXED = ("name",)
    id: TenantId
    name: NetworkName
    labels: tuple[tuple[Words, Words], ...] = ()
    """(key, value), ascending, each key once."""
    quota: Quota | None = None
    """None: as much as there is."""
    denied: tuple[Direction, ...] = ()
    """In these directions only those new flows are let through that a rule allows."""


def tenant_id(name: str) -> TenantId:
    """The id of a tenant that comes about by its first network: hosts that make it at once make the
    same one."""
    return TenantId(derived_id("tenant", name))


DEFAULT_TENANT_NAME = "default"
DEFAULT_TENANT = tenant_id(DEFAULT_TENANT_NAME)
"""Of all that names no tenant. It is always there, and has a record once there is something to say
of it."""
