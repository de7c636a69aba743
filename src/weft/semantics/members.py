"""Who is a member of which security group. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from weft.model.choices import Operator
from weft.model.ids import GroupId, NetworkId, PortId, TenantId
from weft.model.records import Network, Port, Requirement, SecurityGroup, Selector
from weft.store.interface import View, question


@question
def groups_of(port_id: PortId, view: View) -> tuple[GroupId, ...]:
    """The groups of which a port is a member, ascending. Linear in the groups of its tenant."""
    port = view.get(Port, port_id)
    network = None if port is None else view.get(Network, port.network_id)
    if port is None or network is None:
        return ()
    groups = view.by(SecurityGroup, "tenant_id", network.tenant_id)
    return tuple(sorted(group.id for group in groups if is_member(port, group)))


def groups_of_each(view: View, ports: Iterable[Port]) -> dict[PortId, list[SecurityGroup]]:
    """The groups of many ports at once, by name: linear in the ports, times the groups that
    select."""
    tenants: dict[NetworkId, tuple[TenantId, list[SecurityGroup]]] = {}
    found: dict[PortId, list[SecurityGroup]] = {}
    for port in ports:
        if port.network_id not in tenants:
            tenants[port.network_id] = _selecting_on(view, port.network_id)
        tenant_id, selecting = tenants[port.network_id]
        named = (view.get(SecurityGroup, id) for id in port.groups)
        groups = {each.id: each for each in named if each and each.tenant_id == tenant_id}
        groups.update((each.id, each) for each in selecting if is_member(port, each))
        found[port.id] = sorted(groups.values(), key=lambda each: (each.name, each.id))
    return found


def members_of(view: View, group: SecurityGroup) -> list[Port]:
    """A group's members, by id. Linear in those that name it, and in the ports where it selects."""
    found = {port.id: port for port in view.by(Port, "groups", group.id)}
    if group.selector is not None:
        networks = group.networks or [
            network.id for network in view.by(Network, "tenant_id", group.tenant_id)
        ]
        for network_id in networks:
            found.update((port.id, port) for port in view.by(Port, "network_id", network_id))
    return [
        port
        for _, port in sorted(found.items())
        if is_member(port, group) and _tenant_of(view, port) == group.tenant_id
    ]


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


def _selecting_on(view: View, network_id: NetworkId) -> tuple[TenantId, list[SecurityGroup]]:
    network = view.get(Network, network_id)
    if network is None:
        return TenantId(""), []
    groups = view.by(SecurityGroup, "tenant_id", network.tenant_id)
    return network.tenant_id, [each for each in groups if each.selector is not None]


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
