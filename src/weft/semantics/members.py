"""Who is a member of which security group. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from weft.model.choices import Operator
from weft.model.ids import GroupId, PortId
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
