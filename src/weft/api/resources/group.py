"""Security groups. The commands for rules, members and defaults are in `cli.group`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from weft.api.resources.base import Applied, Column, Document, Option, Resource, Verb
from weft.api.resources.matching import same_words
from weft.api.schema.groups import (
    GroupDetail,
    GroupInfo,
    GroupList,
    GroupMember,
    GroupQuery,
    RuleInfo,
)
from weft.control.group_references import groups_named
from weft.control.group_rules import (
    by_turn,
    checked,
    faults,
    in_tenant,
    local_name,
    spec_of,
)
from weft.control.group_specs import GroupChanges, GroupSpec
from weft.control.rule_text import parse_selector, protocol_number, rule_text, selector_text
from weft.errors import (
    ConflictError,
    ExhaustedError,
    InUseError,
    InvalidError,
    NotFoundError,
)
from weft.model.ids import NetworkId
from weft.model.records import Host, Network, Port, SecurityGroup, SecurityRule
from weft.semantics.members import groups_of_each, members_of
from weft.semantics.tenants import tenant_name, tenants_named
from weft.store.interface import View

if TYPE_CHECKING:
    from weft.api.context import Context


def full_name(one: GroupInfo) -> str:
    """As commands name it."""
    return _full(one.tenant, one.name)


def rule_info(view: View, rule: SecurityRule, group: SecurityGroup) -> RuleInfo:
    """A rule, field by field and as text."""
    spec = spec_of(view, rule, group)
    return RuleInfo(
        id=rule.id,
        text=rule_text(spec),
        action=spec.action,
        direction=spec.direction,
        family=spec.family,
        protocol=protocol_number(spec.protocol),
        first_port=spec.first_port,
        last_port=spec.last_port,
        icmp_type=spec.icmp_type,
        icmp_code=spec.icmp_code,
        peer=spec.peer,
        excepts=tuple(map(str, spec.excepts)),
        tier=spec.tier,
        priority=spec.priority,
        is_stateless=spec.is_stateless,
        keeps_flows=spec.keeps_flows,
        logs_per_s=spec.logs_per_s,
        description=spec.description,
    )


def _full(tenant: str, name: str) -> str:
    return name if tenant == "default" else f"{tenant}/{name}"


def _network_name(view: View, id: NetworkId) -> str:
    network = view.get(Network, id)
    return network.name if network is not None else id


def _info(context: Context, group: SecurityGroup, member_count: int | None = None) -> GroupInfo:
    view = context.control.view
    if member_count is None:
        member_count = len(members_of(view, group))
    return GroupInfo(
        id=group.id,
        name=group.name,
        tenant=tenant_name(view, group.tenant_id),
        tenant_id=group.tenant_id,
        description=group.description,
        labels=dict(group.labels),
        selector=None if group.selector is None else selector_text(group.selector),
        networks=tuple(_network_name(view, id) for id in group.networks),
        denied=tuple(direction.value for direction in group.denied),
        rule_count=len(tuple(view.by(SecurityRule, "group_id", group.id))),
        member_count=member_count,
    )


def _list(context: Context, query: GroupQuery) -> GroupList:
    view, found = context.control.view, context.control.groups.list(query.tenant)
    every = groups_of_each(view, view.list(Port)).values()
    counts = Counter(group.id for groups in every for group in groups)
    return GroupList(groups=tuple(_info(context, group, counts[group.id]) for group in found))


def _detail(context: Context, group: SecurityGroup) -> GroupDetail:
    view = context.control.view
    rules = context.control.groups.rules(group)
    members = (_member(view, port, group) for port in members_of(view, group))
    return GroupDetail(
        **msgspec.structs.asdict(_info(context, group)),
        rules=tuple(rule_info(view, rule, group) for rule in rules),
        members=tuple(sorted(members, key=lambda one: (one.network, one.names, one.port_id))),
    )


def _member(view: View, port: Port, group: SecurityGroup) -> GroupMember:
    host = view.get(Host, port.host_id or "")
    return GroupMember(
        port_id=port.id,
        names=port.names,
        network=_network_name(view, port.network_id),
        host=host.name if host is not None else port.host_id,
        addresses=tuple(map(str, port.addresses)),
        is_named=group.id in port.groups,
    )


def _facts(one: GroupDetail) -> list[tuple[str, str]]:
    return [
        ("id", one.id),
        *([("description", one.description)] if one.description else []),
        ("denied", ", ".join(one.denied) or "-"),
        ("selects", _selects(one)),
        *((f"label {key}", value) for key, value in one.labels.items()),
        *(("rule", rule.text) for rule in one.rules),
        *(("member", _member_text(member)) for member in one.members),
    ]


def _selects(one: GroupInfo) -> str:
    if one.selector is None:
        return "-"
    return " on ".join([one.selector, *([", ".join(one.networks)] if one.networks else [])])


def _member_text(one: GroupMember) -> str:
    name = one.names[0] if one.names else one.port_id
    return f"{name} on {one.network}  {', '.join(one.addresses)}".rstrip()


def _named(view: View, spec: GroupSpec) -> SecurityGroup | None:
    for tenant_id in tenants_named(view, spec.tenant):
        found = groups_named(view, spec.name, tenant_id)
        if len(found) > 1:
            ids = " and ".join(group.id for group in found)
            raise ConflictError(
                f"group {_full(spec.tenant, spec.name)}: several are called so, {ids}; rename one "
                "of them first"
            )
        if found:
            return found[0]
    return None


def _document(view: View, group: SecurityGroup) -> Document:
    rules = by_turn(view, view.by(SecurityRule, "group_id", group.id), group)
    return {
        "name": group.name,
        "tenant": tenant_name(view, group.tenant_id),
        "description": group.description,
        "labels": dict(group.labels),
        "selector": None if group.selector is None else selector_text(group.selector),
        "networks": [_network_name(view, id) for id in group.networks],
        "denied": [direction.value for direction in group.denied],
        "rules": [rule_text(spec_of(view, rule, group)) for rule in rules],
    }


def _exported(view: View) -> Iterable[SecurityGroup]:
    groups = view.list(SecurityGroup)
    return sorted(groups, key=lambda each: (tenant_name(view, each.tenant_id), each.name, each.id))


def _faults(spec: GroupSpec) -> Iterator[tuple[str, str]]:
    yield from faults(spec.rules)
    if spec.selector is not None:
        try:
            parse_selector(spec.selector)
        except InvalidError as error:
            yield "selector", str(error)


def _normal(spec: GroupSpec, given: Document) -> Document:
    """With rules, names and the selector as `_document` says them."""
    rules = [rule_text(in_tenant(checked(rule), spec.tenant)) for rule in spec.rules]
    selector = None if spec.selector is None else selector_text(parse_selector(spec.selector))
    networks = [local_name(name, spec.tenant) for name in spec.networks]
    normal: Document = {"rules": rules, "selector": selector, "networks": networks}
    return {field: normal.get(field, value) for field, value in given.items()}


GROUP: Resource[SecurityGroup, GroupSpec, GroupChanges, GroupInfo] = Resource(
    noun="group",
    plural="groups",
    help="Security groups: who may talk to whom (docs/policies.md).",
    record=SecurityGroup,
    spec=GroupSpec,
    changes=GroupChanges,
    info=GroupInfo,
    detail=GroupDetail,
    listing=GroupList,
    parameters=("group",),
    answer=_info,
    inspect=_detail,
    find=lambda control, path: control.groups.find(path["group"]),
    list=_list,
    create=lambda control, spec: control.groups.create(spec),
    change=lambda control, group, changes: control.groups.change(group.id, changes),
    remove=lambda control, group, query: control.groups.remove(group.id),
    verbs={
        "create": Verb(
            summary="Make a security group",
            more="Members are the ports that name it (weft attach --group, weft port set --group), "
            "and those whose labels it selects.",
            examples=("web", "acme/web", "shop --select app=shop,zone!=test --network back"),
            errors=(InvalidError, NotFoundError, ConflictError, ExhaustedError),
            said=lambda one: "made",
        ),
        "ls": Verb(
            summary="List security groups, of all tenants or of one TENANT",
            examples=("", "acme --json"),
            errors=(NotFoundError, ConflictError),
            query=GroupQuery,
        ),
        "inspect": Verb(
            summary="Show a security group with its rules and members",
            examples=("web", "acme/web --json"),
            errors=(NotFoundError, ConflictError),
        ),
        "set": Verb(
            summary="Give a security group another name, or select other members",
            examples=("web --name front", "shop --select app=shop --network none"),
            errors=(InvalidError, NotFoundError, ConflictError, ExhaustedError),
            said=lambda one: "is so now",
        ),
        "rm": Verb(
            summary="Remove security groups that no port and no rule of another group names",
            examples=("web",),
            errors=(NotFoundError, ConflictError, InUseError),
        ),
    },
    columns=(
        Column("GROUP", full_name),
        Column("MEMBERS", lambda one: str(one.member_count), is_right=True),
        Column("RULES", lambda one: str(one.rule_count), is_right=True),
        Column("SELECTS", _selects),
        Column("DENIED", lambda one: ", ".join(one.denied) or "-"),
    ),
    options=(
        Option("name", "--name", "Another name."),
        Option("tenant", "--tenant", "Whose it is [default]; one that is not there is made."),
        Option(
            "selector", "--select", "Labels of its members: KEY=VALUE|VALUE,KEY!=VALUE,KEY,!KEY."
        ),
        Option("networks", "--network", "Select there alone; repeatable [all of the tenant]."),
        Option("description", "--description", "What it is for."),
        Option("labels", "--label", "KEY=VALUE of the group itself; repeatable."),
    ),
    facts=_facts,
    called=lambda one: (full_name(one), f"{one.member_count} members, {one.rule_count} rules"),
    applied=Applied(
        identity=("name", "tenant"),
        key=lambda spec: _full(spec.tenant, spec.name),
        find=_named,
        document=_document,
        exported=_exported,
        faults=_faults,
        normal=_normal,
        later={"rules": []},
        fits={"rules": same_words, "networks": same_words, "denied": same_words},
        remove=lambda control, group: control.groups.remove(group.id),
    ),
)
