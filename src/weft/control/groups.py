"""Security groups: create, change, remove, and their rules. A rule belongs to one group, and goes
with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from weft.control.context import Context
from weft.control.directions import directions
from weft.control.group_references import (
    find_group,
    find_network_of,
    group_label,
    groups_named,
    users_of_group,
)
from weft.control.group_rules import (
    by_turn,
    check_apart,
    check_beside,
    checked,
    flows_of,
    record_of,
    text_of,
)
from weft.control.group_specs import AnyRule, GroupChanges, GroupSpec
from weft.control.quotas import check_quota
from weft.control.references import check_labels, check_network_name, find_tenant, is_id, users_of
from weft.control.rule_text import parse_selector
from weft.control.tenants import tenant_for
from weft.errors import ConflictError, InUseError, InvalidError, NotFoundError, WeftError
from weft.model.codec import decode, encode
from weft.model.ids import GroupId, NetworkId, RuleId, TenantId, derived_id, new_id
from weft.model.records import SecurityGroup, SecurityRule
from weft.semantics.tenants import Use, tenant_name
from weft.store.interface import Change, Delete, Put


class Groups:
    """Security groups and their rules."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def find(self, reference: str) -> SecurityGroup:
        """The group that a reference names; NotFoundError."""
        return find_group(self._context.view, reference)

    def list(self, tenant: str | None = None) -> Sequence[SecurityGroup]:
        """All groups, or a tenant's, by tenant and name."""
        view = self._context.view
        found = view.list(SecurityGroup)
        if tenant is not None:
            found = view.by(SecurityGroup, "tenant_id", find_tenant(view, tenant).id)
        return sorted(found, key=lambda each: (tenant_name(view, each.tenant_id), each.name))

    def rules(self, group: SecurityGroup) -> Sequence[SecurityRule]:
        """A group's rules, in the order in which they are asked."""
        view = self._context.view
        return by_turn(view, view.by(SecurityRule, "group_id", group.id), group)

    async def create(self, spec: GroupSpec) -> SecurityGroup:
        """Make a group with its rules. ConflictError: the name is taken, or rules contradict each
        other."""
        async with self._context.lock:
            view = self._context.view
            check_network_name(spec.name, "group")
            changes: list[Change] = []
            tenant_id = tenant_for(view, spec.tenant, changes)
            self._check_name_is_free(spec.name, tenant_id)
            group = SecurityGroup(
                id=self._new_id(tenant_id, spec.name),
                name=spec.name,
                tenant_id=tenant_id,
                description=spec.description,
                labels=check_labels(spec.labels),
                networks=self._networks(spec.networks, tenant_id),
                denied=directions(spec.denied),
            )
            group = _selecting(group, spec.selector)
            changes += [Put(group), *self._rule_changes(group, spec.rules)]
            await self._context.commit(changes)
            return group

    async def change(self, reference: str, changes: GroupChanges) -> SecurityGroup:
        """Change what a group is, and which rules it has."""
        async with self._context.lock:
            old = self.find(reference)
            name, labels = changes.name, changes.labels
            networks, denied = changes.networks, changes.denied
            group = replace(
                old,
                name=old.name if name is UNSET else self._new_name(old, name),
                description=old.description
                if changes.description is UNSET
                else changes.description,
                labels=old.labels if labels is UNSET else check_labels(labels),
                networks=old.networks
                if networks is UNSET
                else self._networks(networks, old.tenant_id),
                denied=old.denied if denied is UNSET else directions(denied),
            )
            if changes.selector is not UNSET:
                group = _selecting(group, changes.selector)
            wanted: list[Change] = [] if group == old else [Put(group)]
            if changes.rules is not UNSET:
                wanted += self._rule_changes(group, changes.rules)
            if wanted:
                await self._context.commit(wanted)
            return group

    async def remove(self, reference: str) -> SecurityGroup:
        """Remove a group with its rules; InUseError names the groups with a rule for it, and the
        ports that name it."""
        async with self._context.lock:
            view = self._context.view
            group = self.find(reference)
            users = users_of_group(view, group)
            if users:
                raise InUseError(f"group {group_label(view, group)}: in use by {users_of(users)}")
            rules = view.by(SecurityRule, "group_id", group.id)
            going = [Delete(SecurityRule, rule.id) for rule in rules]
            await self._context.commit([*going, Delete(SecurityGroup, group.id)])
            return group

    async def add_rule(self, reference: str, rule: AnyRule) -> SecurityRule:
        """Give a group one more rule. The same again changes nothing, or what it logs, keeps and is
        described as. ConflictError: it contradicts another."""
        async with self._context.lock:
            view = self._context.view
            group = self.find(reference)
            made = record_of(view, checked(rule), group)
            same = self._same(made, group)
            if same is None:
                check_beside(view, made, self.rules(group), group)
                check_quota(view, group.tenant_id, Use(rules=1))
                made = replace(made, id=self._free_rule_id(made.id))
            else:
                made = replace(made, id=same.id)
            if made != same:
                await self._context.commit([Put(made)])
            return made

    async def change_rule(self, reference: str, rule: str, wanted: AnyRule) -> SecurityRule:
        """Put another rule in the place of one, in one step. Its id stays."""
        async with self._context.lock:
            view = self._context.view
            group = self.find(reference)
            old = self.find_rule(group, rule)
            made = replace(record_of(view, checked(wanted), group), id=old.id)
            others = (each for each in self.rules(group) if each.id != old.id)
            check_beside(view, made, others, group)
            if made != old:
                await self._context.commit([Put(made)])
            return made

    async def remove_rule(self, reference: str, rule: str) -> SecurityRule:
        """Take a rule from a group."""
        async with self._context.lock:
            found = self.find_rule(self.find(reference), rule)
            await self._context.commit([Delete(SecurityRule, found.id)])
            return found

    def find_rule(self, group: SecurityGroup, reference: str) -> SecurityRule:
        """A group's rule, by id, the beginning of its id, or its text."""
        view, rules = self._context.view, self.rules(group)
        found = [rule for rule in rules if is_id(reference, rule.id)]
        if not found:
            found = [rule for rule in rules if text_of(view, rule, group) == reference]
        if not found and " " in reference.strip():
            made = flows_of(record_of(view, checked(reference), group))
            found = [rule for rule in rules if flows_of(rule) == made]
        if len(found) == 1:
            return found[0]
        label = group_label(view, group)
        if found:
            raise ConflictError(f"rule {reference}: several ids begin so; give more digits")
        raise NotFoundError(
            f"rule {reference}: group {label} has none with such an id, or such a text; see weft "
            f"group rule ls {label}"
        )

    def _rule_changes(self, group: SecurityGroup, rules: Sequence[AnyRule]) -> Iterator[Change]:
        """What makes a group's rules the wanted ones. One that it has stays, with its id."""
        view = self._context.view
        wanted = [self._record(index, rule, group) for index, rule in enumerate(rules)]
        check_apart(view, wanted, group)
        left = {(flows_of(rule), rule.id): rule for rule in self.rules(group)}
        by_flows = {flows: rule for (flows, _), rule in left.items()}
        check_quota(view, group.tenant_id, Use(rules=max(0, len(wanted) - len(left))))
        puts: list[Change] = []
        for rule in wanted:
            old = by_flows.get(flows_of(rule))
            if old is None:
                puts.append(Put(replace(rule, id=self._free_rule_id(rule.id))))
                continue
            del left[flows_of(old), old.id]
            if replace(rule, id=old.id) != old:
                puts.append(Put(replace(rule, id=old.id)))
        yield from (Delete(SecurityRule, rule.id) for rule in left.values())
        yield from puts

    def _record(self, index: int, rule: AnyRule, group: SecurityGroup) -> SecurityRule:
        try:
            return record_of(self._context.view, checked(rule), group)
        except WeftError as error:
            raise error.of_field(f"rules[{index}]") from error

    def _same(self, rule: SecurityRule, group: SecurityGroup) -> SecurityRule | None:
        """The rule of the group that makes the same of the same flows."""
        for each in self._context.view.by(SecurityRule, "group_id", group.id):
            if flows_of(each) == flows_of(rule) and each.action is rule.action:
                return each
        return None

    def _free_rule_id(self, derived: RuleId) -> RuleId:
        """A rule has the id that follows from what it says, unless a rule that said so once has
        it."""
        if self._context.view.get(SecurityRule, derived) is None:
            return derived
        return RuleId(new_id(self._context.random_bytes))

    def _new_id(self, tenant_id: TenantId, name: str) -> GroupId:
        """Hosts that make a group of one name at once make the same one."""
        derived = GroupId(derived_id("security-group", tenant_id, name))
        if self._context.view.get(SecurityGroup, derived) is None:
            return derived
        return GroupId(new_id(self._context.random_bytes))

    def _new_name(self, group: SecurityGroup, name: str) -> str:
        if name != group.name:
            check_network_name(name, "group")
            self._check_name_is_free(name, group.tenant_id)
        return name

    def _check_name_is_free(self, name: str, tenant_id: TenantId) -> None:
        view = self._context.view
        for group in groups_named(view, name, tenant_id):
            raise ConflictError(f"group {group_label(view, group)}: exists already (id {group.id})")

    def _networks(self, references: Iterable[str], tenant_id: TenantId) -> tuple[NetworkId, ...]:
        view = self._context.view
        try:
            return tuple(sorted({find_network_of(view, each, tenant_id).id for each in references}))
        except WeftError as error:
            raise error.of_field("networks") from error


def _selecting(group: SecurityGroup, text: str | None) -> SecurityGroup:
    """A group whose members labels say, beside those that name it."""
    try:
        selecting = replace(group, selector=None if text is None else parse_selector(text))
        decode(SecurityGroup.KIND, encode(selecting))
    except InvalidError as error:
        raise error.of_field("selector") from error
    return selecting
