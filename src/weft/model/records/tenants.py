"""Whose networks are whose."""

from __future__ import annotations

from weft.model.ids import TenantId, derived_id
from weft.model.records.base import Record
from weft.model.values import NetworkName


class Tenant(Record, frozen=True, kw_only=True):
    """Somebody with networks of his own, whose names no other tenant sees."""

    KIND = "tenant"
    INDEXED = ("name",)
    id: TenantId
    name: NetworkName


def tenant_id(name: str) -> TenantId:
    """The id of a tenant that comes about by its first network: hosts that make it at once make the
    same one."""
    return TenantId(derived_id("tenant", name))


DEFAULT_TENANT_NAME = "default"
DEFAULT_TENANT = tenant_id(DEFAULT_TENANT_NAME)
"""Of all that names no tenant. There is no record of it: it is always there."""
