"""What requests about security groups name, and who names a group or a network. Every name is one
of the group's own tenant: ``web``, or ``acme/web`` in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weft.control.references import find_network, is_id, near, networks_named, port_label
from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.ipam.records import is_forgotten
from weft.model.choices import PeerKind
from weft.model.ids import GroupId, NetworkId, TenantId
from weft.model.records import Network, Port, SecurityGroup, SecurityRule
from weft.model.records.tenants import DEFAULT_TENANT
from weft.semantics.tenants import tenant_name, tenants_named
from weft.store.interface import View


def find_group(view: View, reference: str, tenant_id: TenantId = DEFAULT_TENANT) -> SecurityGroup:
    """By name in a tenant, ``tenant/name``, id, or the unambiguous beginning of an id."""
    found = groups_named(view, reference, tenant_id)
    if len(found) > 1:
        ids = " and ".join(group.id for group in found)
        raise ConflictError(f"group {reference}: several are called so; give one of the ids {ids}")
    if not found:
        found = [each for each in view.list(SecurityGroup) if is_id(reference, each.id)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConflictError(f"group {reference}: several ids begin so; give more digits")
    names = (group_label(view, group) for group in view.list(SecurityGroup))
    raise NotFoundError(f"group {reference}: not found{near(reference, names)}")


def groups_named(
    view: View, reference: str, tenant_id: TenantId = DEFAULT_TENANT
) -> list[SecurityGroup]:
    """Groups of a name in a tenant or of ``tenant/name``, by id."""
    tenant, slash, name = reference.rpartition("/")
    tenants = tenants_named(view, tenant) if slash else [tenant_id]
    found = [each for each in view.by(SecurityGroup, "name", name) if each.tenant_id in tenants]
    return sorted(found, key=lambda group: group.id)


def find_group_of(view: View, reference: str, tenant_id: TenantId) -> SecurityGroup:
    """One of that very tenant; InvalidError: it is another's."""
    group = find_group(view, reference, tenant_id)
    if group.tenant_id != tenant_id:
        raise _of_another("group", reference, view, group.tenant_id, tenant_id)
    return group


def find_network_of(view: View, reference: str, tenant_id: TenantId) -> Network:
    """Likewise a network."""
    if "/" not in reference:
        full = f"{tenant_name(view, tenant_id)}/{reference}"
        if networks_named(view, full):
            reference = full
    network = find_network(view, reference)
    if network.tenant_id != tenant_id:
        raise _of_another("network", reference, view, network.tenant_id, tenant_id)
    return network


def group_ids(view: View, references: Iterable[str], network: Network) -> tuple[GroupId, ...]:
    """The groups that a port on a network shall name, as its record has them."""
    found = {find_group_of(view, each, network.tenant_id).id for each in references}
    return tuple(sorted(found))


def group_label(view: View, group: SecurityGroup) -> str:
    """How a group is called towards users: ``acme/web``."""
    if group.tenant_id == DEFAULT_TENANT:
        return group.name
    return f"{tenant_name(view, group.tenant_id)}/{group.name}"


def users_of_group(view: View, group: SecurityGroup) -> Sequence[str]:
    """Those that name it: other groups by a rule, and ports. Of ports that are members by their
    labels there are none among them."""
    rules = view.by(SecurityRule, "peer_group_id", group.id)
    naming = (view.get(SecurityGroup, rule.group_id) for rule in rules if rule.group_id != group.id)
    groups = sorted({f"a rule of group {group_label(view, each)}" for each in naming if each})
    ports = view.by(Port, "groups", group.id)
    living = (port for port in ports if not is_forgotten(view, port.host_id))
    return [*groups, *sorted(f"port {port_label(view, port)}" for port in living)]


def groups_on(view: View, network: Network) -> Sequence[str]:
    """The groups that name a network, or of which a rule does. Linear in the rules of its
    tenant."""
    return [
        f"group {group_label(view, group)}"
        for group in sorted(
            view.by(SecurityGroup, "tenant_id", network.tenant_id), key=lambda each: each.name
        )
        if network.id in group.networks or _has_rule_for(view, group, network.id)
    ]


def _has_rule_for(view: View, group: SecurityGroup, network_id: NetworkId) -> bool:
    return any(
        rule.peer.kind is PeerKind.NETWORK and rule.peer.network_id == network_id
        for rule in view.by(SecurityRule, "group_id", group.id)
    )


def _of_another(
    kind: str, reference: str, view: View, theirs: TenantId, ours: TenantId
) -> InvalidError:
    return InvalidError(
        f"{kind} {reference}: is of tenant {tenant_name(view, theirs)}, and one of tenant "
        f"{tenant_name(view, ours)} is needed; for others name a prefix"
    )
