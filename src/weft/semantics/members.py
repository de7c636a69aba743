"""Who is a member of which security group. Pure.

Groups that select their members are found by a label that these must have, so that what a port is a
member of does not take longer where there are a thousand groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from weft.model.choices import Operator
from weft.model.ids import GroupId, NetworkId, PortId, TenantId
from weft.model.records import Network, Port, Requirement, SecurityGroup, Selector
from weft.store.interface import View, question

T = TypeVar("T", bound=Hashable)
Label = tuple[str, str]


class Selecting(NamedTuple):
    """A group that selects its members."""

    id: GroupId
    selector: Selector
    networks: tuple[NetworkId, ...]


class Labelled(NamedTuple):
    """Ports of a tenant that have a label; None: all of them."""

    tenant_id: TenantId
    label: Label | None


@question
def groups_of(port_id: PortId, view: View) -> tuple[GroupId, ...]:
    """The groups of which a port is a member, ascending."""
    port = view.get(Port, port_id)
    return () if port is None else groups_of_port(port, view)


def groups_of_port(port: Port, view: View) -> tuple[GroupId, ...]:
    """The same of a port that is at hand."""
    network = view.get(Network, port.network_id)
    if network is None:
        return ()
    tenant_id = network.tenant_id
    found = {id for id in port.groups if view.ask(tenant_of_group, id) == tenant_id}
    for label in (None, *port.labels):
        for each in view.ask(_selecting, Labelled(tenant_id, label)):
            is_there = not each.networks or port.network_id in each.networks
            if is_there and is_selected(port, each.selector):
                found.add(each.id)
    return tuple(sorted(found))


@question
def tenant_of_group(group_id: GroupId, view: View) -> TenantId | None:
    """Whose group it is; None: there is none of this id."""
    group = view.get(SecurityGroup, group_id)
    return None if group is None else group.tenant_id


@question
def _selecting(ports: Labelled, view: View) -> tuple[Selecting, ...]:
    """Groups that may select such ports, and are to be looked at for these alone."""
    return view.ask(_all_selecting, ports.tenant_id).get(ports.label, ())


@question
def _all_selecting(tenant_id: TenantId, view: View) -> Mapping[Label | None, tuple[Selecting, ...]]:
    """Of a tenant's groups those that select their members, by a label that these have."""
    groups = view.by(SecurityGroup, "tenant_id", tenant_id)
    found = [
        (Selecting(group.id, group.selector, group.networks), group.selector)
        for group in groups
        if group.selector is not None
    ]
    return by_label(sorted(found, key=lambda each: each[0].id))


def by_label(found: Iterable[tuple[T, Selector]]) -> Mapping[Label | None, tuple[T, ...]]:
    """What selects ports, by labels of which these have one; None: by no label in particular."""
    index: dict[Label | None, list[T]] = defaultdict(list)
    for each, selector in found:
        for label in _labels(selector):
            index[label].append(each)
    return {label: tuple(those) for label, those in index.items()}


def _labels(selector: Selector) -> Iterator[Label | None]:
    for requirement in selector.requirements:
        if requirement.operator is Operator.IN:
            yield from dict.fromkeys((requirement.key, value) for value in requirement.values)
            return
    yield None


def groups_of_each(view: View, ports: Iterable[Port]) -> dict[PortId, list[SecurityGroup]]:
    """The groups of many ports at once, by name. Linear in the ports and in the groups of their
    tenants, as far as these select by a label's value."""
    networks = {network.id: network.tenant_id for network in view.list(Network)}
    selecting: dict[TenantId, Mapping[Label | None, tuple[SecurityGroup, ...]]] = {}
    found: dict[PortId, list[SecurityGroup]] = {}
    for port in ports:
        tenant_id = networks.get(port.network_id, TenantId(""))
        if tenant_id not in selecting:
            groups = view.by(SecurityGroup, "tenant_id", tenant_id)
            selecting[tenant_id] = by_label((g, g.selector) for g in groups if g.selector)
        named = (view.get(SecurityGroup, id) for id in port.groups)
        chosen = {each.id: each for each in named if each and each.tenant_id == tenant_id}
        for label in (None, *port.labels):
            for group in selecting[tenant_id].get(label, ()):
                if is_member(port, group):
                    chosen[group.id] = group
        found[port.id] = sorted(chosen.values(), key=lambda each: (each.name, each.id))
    return found


def members_of(view: View, group: SecurityGroup) -> list[Port]:
    """A group's members, by id. Linear in those that name it or have a label that it selects by;
    without such a label, in the ports where it selects."""
    found = {port.id: port for port in view.by(Port, "groups", group.id)}
    found.update((port.id, port) for port in _selectable(view, group))
    return [
        port
        for _, port in sorted(found.items())
        if is_member(port, group) and _tenant_of(view, port) == group.tenant_id
    ]


def _selectable(view: View, group: SecurityGroup) -> Iterator[Port]:
    """Ports among which are all that a group selects."""
    labels = list(_labels(group.selector)) if group.selector is not None else []
    if None not in labels:
        for label in labels:
            yield from view.by(Port, "labels", label)
        return
    for network_id in group.networks or [
        network.id for network in view.by(Network, "tenant_id", group.tenant_id)
    ]:
        yield from view.by(Port, "network_id", network_id)


def is_member(port: Port, group: SecurityGroup) -> bool:
    """Whether a port is a member of a group of its tenant."""
    if group.id in port.groups:
        return True
    if group.selector is None or (group.networks and port.network_id not in group.networks):
        return False
    return is_selected(port, group.selector)


def is_selected(port: Port, selector: Selector) -> bool:
    """Whether a port's labels are as a selector requires."""
    return all(_has(port.labels, requirement) for requirement in selector.requirements)


def _tenant_of(view: View, port: Port) -> TenantId | None:
    network = view.get(Network, port.network_id)
    return None if network is None else network.tenant_id


def _has(labels: Iterable[tuple[str, str]], requirement: Requirement) -> bool:
    value = next((value for key, value in labels if key == requirement.key), None)
    match requirement.operator:
        case Operator.IN:
            return value in requirement.values
        case Operator.NOT_IN:
            return value not in requirement.values
        case Operator.EXISTS:
            return value is not None
        case Operator.ABSENT:
            return value is None
        case _:
            return False
