"""Tenants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from weft.api.resources.base import Applied, Column, Document, Option, Resource, Verb
from weft.api.resources.matching import has_all_of, same_words
from weft.api.schema.base import Answer
from weft.control.specs import QuotaSpec, Spec, TenantChanges, TenantSpec
from weft.errors import ConflictError, InUseError, InvalidError, NotFoundError
from weft.model.records import Quota, SecurityGroup, Tenant
from weft.model.records.tenants import DEFAULT_TENANT
from weft.semantics.tenants import (
    all_tenants,
    default_tenant,
    networks_of,
    tenants_named,
    use_of,
)
from weft.store.interface import View

if TYPE_CHECKING:
    from weft.api.context import Context
    from weft.control.control import Control


class QuotaInfo(Answer, frozen=True, kw_only=True):
    """How much a tenant may have, on all hosts together; null: any number."""

    networks: int | None
    ports: int | None
    addresses: int | None
    rules: int | None


class TenantInfo(Answer, frozen=True, kw_only=True):
    """Somebody with networks of his own."""

    id: str
    name: str
    labels: dict[str, str]
    quota: QuotaInfo
    network_count: int
    port_count: int
    """Ports on all hosts, the hosts' own places not counted."""
    address_count: int
    """Of these ports."""
    rule_count: int
    """Of its security groups."""
    denied: tuple[str, ...] = ()
    """``ingress``, ``egress``: where only that is let through which a rule of a security group
    allows, on networks that say nothing else."""
    group_count: int = 0


class TenantList(Answer, frozen=True, kw_only=True):
    """All tenants, by name; ``default`` is always there."""

    tenants: tuple[TenantInfo, ...]


class TenantDetail(TenantInfo, frozen=True, kw_only=True):
    """A tenant with what it has."""

    networks: tuple[str, ...]
    """Names."""


def _info(context: Context, tenant: Tenant) -> TenantInfo:
    use = use_of(context.control.view, tenant.id)
    quota = msgspec.structs.asdict(tenant.quota or Quota())
    return TenantInfo(
        id=tenant.id,
        name=tenant.name,
        labels=dict(tenant.labels),
        quota=QuotaInfo(**quota),
        network_count=use.networks,
        port_count=use.ports,
        address_count=use.addresses,
        rule_count=use.rules,
        denied=tuple(direction.value for direction in tenant.denied),
        group_count=len(tuple(context.control.view.by(SecurityGroup, "tenant_id", tenant.id))),
    )


def _detail(context: Context, tenant: Tenant) -> TenantDetail:
    names = (network.name for network in networks_of(context.control.view, tenant.id))
    info = msgspec.structs.asdict(_info(context, tenant))
    return TenantDetail(**info, networks=tuple(names))


def _list(context: Context, query: Spec) -> TenantList:
    return TenantList(tenants=tuple(_info(context, one) for one in context.control.tenants.list()))


def _use(count: int, limit: int | None) -> str:
    return str(count) if limit is None else f"{count} of {limit}"


def _facts(one: TenantDetail) -> list[tuple[str, str]]:
    return [
        ("id", one.id),
        ("networks", _use(one.network_count, one.quota.networks)),
        ("ports", _use(one.port_count, one.quota.ports)),
        ("addresses", _use(one.address_count, one.quota.addresses)),
        ("rules", _use(one.rule_count, one.quota.rules)),
        ("groups", str(one.group_count)),
        ("denied", ", ".join(one.denied) or "-"),
        *((f"label {key}", value) for key, value in one.labels.items()),
        *(("network", name) for name in one.networks),
    ]


def _document(view: View, tenant: Tenant) -> Document:
    quota = msgspec.structs.asdict(tenant.quota or Quota())
    return {
        "name": tenant.name,
        "labels": dict(tenant.labels),
        "quota": {what: limit for what, limit in quota.items() if limit is not None},
        "denied": [direction.value for direction in tenant.denied],
    }


def _named(view: View, spec: TenantSpec) -> Tenant | None:
    for id in tenants_named(view, spec.name):
        return default_tenant(view) if id == DEFAULT_TENANT else view.get(Tenant, id)
    return None


def _exported(view: View) -> Iterable[Tenant]:
    """The default one only where something is said of it."""
    for tenant in all_tenants(view):
        if (
            tenant.id != DEFAULT_TENANT
            or tenant.labels
            or tenant.quota is not None
            or tenant.denied
        ):
            yield tenant


async def _remove(control: Control, tenant: Tenant) -> None:
    """Of the default one, what is said of it."""
    if tenant.id != DEFAULT_TENANT:
        await control.tenants.remove(tenant.id)
        return
    nothing = QuotaSpec(networks=None, ports=None, addresses=None, rules=None)
    await control.tenants.change(tenant.id, TenantChanges(labels=(), quota=nothing, denied=()))


TENANT: Resource[Tenant, TenantSpec, TenantChanges, TenantInfo] = Resource(
    noun="tenant",
    plural="tenants",
    help="Make, list, inspect, change and remove tenants.",
    record=Tenant,
    spec=TenantSpec,
    changes=TenantChanges,
    info=TenantInfo,
    detail=TenantDetail,
    listing=TenantList,
    parameters=("tenant",),
    answer=_info,
    inspect=_detail,
    find=lambda control, path: control.tenants.find(path["tenant"]),
    list=_list,
    create=lambda control, spec: control.tenants.create(spec),
    change=lambda control, tenant, changes: control.tenants.change(tenant.id, changes),
    remove=lambda control, tenant, query: control.tenants.remove(tenant.id),
    verbs={
        "create": Verb(
            summary="Make a tenant",
            more="A tenant also comes about by its first network.",
            examples=("acme", "acme --label team=a --networks 10 --ports 200"),
            errors=(InvalidError, ConflictError),
            said=lambda one: "made",
        ),
        "ls": Verb(summary="List tenants, and what they have of their quotas", examples=("",)),
        "inspect": Verb(
            summary="Show a tenant with its networks and quota",
            examples=("acme", "default --json"),
            errors=(NotFoundError,),
        ),
        "set": Verb(
            summary="Give a tenant another name, other labels or another quota",
            more="What it has already stays, also where the quota is smaller.",
            examples=("acme --name acme-labs", "default --ports 500 --addresses none"),
            errors=(InvalidError, NotFoundError, ConflictError),
            said=lambda one: "is so now",
        ),
        "rm": Verb(
            summary="Remove tenants that have no network",
            examples=("acme",),
            errors=(InvalidError, NotFoundError, InUseError),
        ),
    },
    columns=(
        Column("TENANT", lambda one: one.name),
        Column("NETWORKS", lambda one: _use(one.network_count, one.quota.networks), is_right=True),
        Column("PORTS", lambda one: _use(one.port_count, one.quota.ports), is_right=True),
        Column(
            "ADDRESSES", lambda one: _use(one.address_count, one.quota.addresses), is_right=True
        ),
        Column("RULES", lambda one: _use(one.rule_count, one.quota.rules), is_right=True),
    ),
    options=(
        Option("name", "--name", "Another name."),
        Option("labels", "--label", "KEY=VALUE; repeatable."),
        Option("quota.networks", "--networks", "How many networks it may have."),
        Option("quota.ports", "--ports", "How many ports, on all hosts together."),
        Option("quota.addresses", "--addresses", "How many addresses of ports."),
        Option("quota.rules", "--rules", "How many rules of security groups."),
    ),
    facts=_facts,
    called=lambda one: (one.name, f"{one.network_count} networks"),
    is_followed=True,
    applied=Applied(
        identity=("name",),
        key=lambda spec: spec.name,
        find=_named,
        document=_document,
        exported=_exported,
        fits={"quota": has_all_of, "denied": same_words},
        remove=_remove,
    ),
)
