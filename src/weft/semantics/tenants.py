"""What tenants are called, which are meant, and how much each has. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from weft.ipam.records import is_forgotten
from weft.model.ids import TenantId
from weft.model.records import Network, Port, SecurityGroup, SecurityRule, Tenant
from weft.model.records.tenants import DEFAULT_TENANT, DEFAULT_TENANT_NAME
from weft.store.interface import View


class Use(NamedTuple):
    """How much a tenant has, on all hosts together; as `model.records.tenants.Quota` counts it."""

    networks: int = 0
    ports: int = 0
    addresses: int = 0
    rules: int = 0


def tenant_name(view: View, id: TenantId) -> str:
    """A tenant's name; its id when its record is not there (yet)."""
    if id == DEFAULT_TENANT:
        return DEFAULT_TENANT_NAME
    tenant = view.get(Tenant, id)
    return tenant.name if tenant is not None else id


def tenant_of(view: View, network: Network) -> str:
    """The name of the tenant that a network belongs to."""
    return tenant_name(view, network.tenant_id)


def full_group_name(view: View, group: SecurityGroup) -> str:
    """As a command names it: with its tenant, but for the one that is implied."""
    if group.tenant_id == DEFAULT_TENANT:
        return group.name
    return f"{tenant_name(view, group.tenant_id)}/{group.name}"


def tenants_named(view: View, name: str) -> list[TenantId]:
    """Those of a name; an id is a name as well while nothing better is known."""
    if name == DEFAULT_TENANT_NAME:
        return [DEFAULT_TENANT]
    return sorted(tenant.id for tenant in view.by(Tenant, "name", name))


def default_tenant(view: View) -> Tenant:
    """The one that is always there, whether it has a record or not."""
    return view.get(Tenant, DEFAULT_TENANT) or Tenant(id=DEFAULT_TENANT, name=DEFAULT_TENANT_NAME)


def all_tenants(view: View) -> Sequence[Tenant]:
    """All of them, by name and id."""
    others = (tenant for tenant in view.list(Tenant) if tenant.id != DEFAULT_TENANT)
    return sorted((default_tenant(view), *others), key=lambda tenant: (tenant.name, tenant.id))


def networks_of(view: View, id: TenantId) -> Sequence[Network]:
    """A tenant's networks, by name."""
    return sorted(view.by(Network, "tenant_id", id), key=lambda each: (each.name, each.id))


def use_of(view: View, id: TenantId) -> Use:
    """What a tenant has. Linear in its ports and rules. What belongs to a host that was removed
    from the cluster counts no more, nor do the hosts' own places."""
    networks = networks_of(view, id)
    ports = [
        port
        for network in networks
        for port in view.by(Port, "network_id", network.id)
        if not port.is_host and not is_forgotten(view, port.host_id)
    ]
    rules = sum(
        len(tuple(view.by(SecurityRule, "group_id", group.id)))
        for group in view.by(SecurityGroup, "tenant_id", id)
    )
    return Use(len(networks), len(ports), sum(len(port.addresses) for port in ports), rules)
