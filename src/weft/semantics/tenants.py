"""What tenants are called, and which are meant. Pure."""

from __future__ import annotations

from weft.model.ids import TenantId
from weft.model.records import Network, Tenant
from weft.model.records.tenants import DEFAULT_TENANT, DEFAULT_TENANT_NAME
from weft.store.interface import View


def tenant_name(view: View, id: TenantId) -> str:
    """A tenant's name; its id when its record is not there (yet)."""
    if id == DEFAULT_TENANT:
        return DEFAULT_TENANT_NAME
    tenant = view.get(Tenant, id)
    return tenant.name if tenant is not None else id


def tenant_of(view: View, network: Network) -> str:
    """The name of the tenant that a network belongs to."""
    return tenant_name(view, network.tenant_id)


def tenants_named(view: View, name: str) -> list[TenantId]:
    """Those of a name; an id is a name as well while nothing better is known."""
    if name == DEFAULT_TENANT_NAME:
        return [DEFAULT_TENANT]
    return sorted(tenant.id for tenant in view.by(Tenant, "name", name))
