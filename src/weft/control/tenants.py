"""Tenants: create, change, remove. A tenant also comes about by its first network."""

from __future__ import annotations

from collections.abc import Collection, MutableSequence, Sequence
from typing import NoReturn

from msgspec import UNSET
from msgspec.structs import asdict, replace

from weft.control.context import Context
from weft.control.directions import directions
from weft.control.references import check_labels, check_tenant_name, find_tenant, users_of
from weft.control.specs import QuotaSpec, TenantChanges, TenantSpec
from weft.errors import ConflictError, InUseError, InvalidError
from weft.model.ids import TenantId
from weft.model.records import Quota, Router, SecurityGroup, Subnet, Tenant
from weft.model.records.tenants import DEFAULT_TENANT, DEFAULT_TENANT_NAME, tenant_id
from weft.semantics.tenants import all_tenants, networks_of, tenants_named
from weft.store.interface import Change, Delete, Put, View


class Tenants:
    """Those who have networks."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def find(self, reference: str) -> Tenant:
        """The tenant that a reference names; NotFoundError."""
        return find_tenant(self._context.view, reference)

    def list(self) -> Sequence[Tenant]:
        """All tenants, by name."""
        return all_tenants(self._context.view)

    async def create(self, spec: TenantSpec) -> Tenant:
        """Make a tenant. ConflictError: the name is taken."""
        async with self._context.lock:
            view = self._context.view
            if tenants_named(view, spec.name):
                raise ConflictError(f"tenant {spec.name}: exists already")
            made = replace(
                new_tenant(view, spec.name),
                labels=check_labels(spec.labels),
                quota=_changed(None, spec.quota),
                denied=directions(spec.denied),
            )
            await self._context.commit([Put(made)])
            return made

    async def change(self, reference: str, changes: TenantChanges) -> Tenant:
        """Give a tenant another name, other labels, another quota or another default. What it has
        stays, also where a quota is smaller than that. ConflictError: the name is taken."""
        async with self._context.lock:
            tenant = self.find(reference)
            labels, quota, denied = changes.labels, changes.quota, changes.denied
            changed = replace(
                tenant,
                name=self._new_name(tenant, changes),
                labels=tenant.labels if labels is UNSET else check_labels(labels),
                quota=tenant.quota if quota is UNSET else _changed(tenant.quota, quota),
                denied=tenant.denied if denied is UNSET else directions(denied),
            )
            if changed != tenant:
                await self._context.commit([Put(changed)])
            return changed

    async def remove(self, reference: str) -> Tenant:
        """Remove a tenant that has nothing; InUseError names its networks, routers or groups."""
        async with self._context.lock:
            tenant = self.find(reference)
            self._check_unused(tenant)
            await self._context.commit([Delete(Tenant, tenant.id)])
            return tenant

    def _new_name(self, tenant: Tenant, changes: TenantChanges) -> str:
        name = changes.name
        if name is UNSET or name == tenant.name:
            return tenant.name
        if tenant.id == DEFAULT_TENANT:
            _refuse_default("cannot have another name")
        check_tenant_name(name)
        if tenants_named(self._context.view, name):
            raise ConflictError(f"tenant {name}: exists already; choose another name")
        return name

    def _check_unused(self, tenant: Tenant) -> None:
        view = self._context.view
        if tenant.id == DEFAULT_TENANT:
            _refuse_default("cannot be removed")
        networks = [network.name for network in networks_of(view, tenant.id)]
        if networks:
            raise InUseError(f"tenant {tenant.name}: in use by network {users_of(networks)}")
        routers = sorted(router.name for router in view.by(Router, "tenant_id", tenant.id))
        if routers:
            raise InUseError(f"tenant {tenant.name}: in use by router {users_of(routers)}")
        groups = sorted(each.name for each in view.by(SecurityGroup, "tenant_id", tenant.id))
        if groups:
            raise InUseError(f"tenant {tenant.name}: in use by group {users_of(groups)}")
        pools = [str(each.cidr) for each in view.list(Subnet) if each.tenant_id == tenant.id]
        if pools:
            raise InUseError(f"tenant {tenant.name}: in use by address pool {users_of(pools)}")


def tenant_for(view: View, name: str, changes: MutableSequence[Change]) -> TenantId:
    """The tenant of a name, which its first network makes."""
    found: Collection[TenantId] = tenants_named(view, name)
    for id in found:
        return id
    tenant = new_tenant(view, name)
    changes.append(Put(tenant))
    return tenant.id


def new_tenant(view: View, name: str) -> Tenant:
    """One of a name that nobody has. ConflictError: somebody had it, and has its id still."""
    tenant = Tenant(id=tenant_id(name), name=check_tenant_name(name))
    if view.get(Tenant, tenant.id) is not None:
        raise ConflictError(f"tenant {name}: another tenant was called so; choose another name")
    return tenant


def _changed(quota: Quota | None, wanted: QuotaSpec) -> Quota | None:
    given = {name: value for name, value in asdict(wanted).items() if value is not UNSET}
    changed = replace(quota or Quota(), **given)
    return None if changed == Quota() else changed


def _refuse_default(why: str) -> NoReturn:
    raise InvalidError(
        f"tenant {DEFAULT_TENANT_NAME}: is the one of all that names none, so it {why}"
    )
