"""Who a rule can be about: its subject, and its peer, an atom. Symbols, of which a driver makes
numbers.

A port is judged by the rules of its subjects. A subject is mostly one group; a port in more groups
than a row holds has the rest of them as one subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from weft.kernel.bpf.layouts import Rules
from weft.model.addresses import IPNetwork
from weft.model.choices import Action, PeerKind
from weft.model.ids import GroupId, NetworkId, TenantId
from weft.model.records import SecurityRule, Selector

Subject = tuple[GroupId, ...]
"""Ascending."""


class GroupAtom(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Members of a group."""

    id: GroupId


class NetworkAtom(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Whoever is on a network."""

    id: NetworkId


class PortsAtom(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Ports of a tenant with certain labels."""

    tenant_id: TenantId
    selector: Selector


class CidrAtom(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Addresses of a prefix, less those of others in it."""

    cidr: IPNetwork
    excepts: tuple[IPNetwork, ...] = ()


Atom = GroupAtom | NetworkAtom | PortsAtom | CidrAtom


class Meant(NamedTuple):
    """Whom a rule is about."""

    atom: Atom | None
    """None: anybody."""
    family: int | None
    """None: either."""


def meant_by(rule: SecurityRule, tenant_id: TenantId) -> Meant | None:
    """Whom the rule of a group of that tenant is about; None: nobody that there can be."""
    peer, family = rule.peer, rule.family
    match peer.kind:
        case PeerKind.ANY:
            return Meant(None, family)
        case PeerKind.GROUP if peer.group_id is not None:
            return Meant(GroupAtom(peer.group_id), family)
        case PeerKind.NETWORK if peer.network_id is not None:
            return Meant(NetworkAtom(peer.network_id), family)
        case PeerKind.PORTS if peer.selector is not None:
            return Meant(PortsAtom(tenant_id, peer.selector), family)
        case PeerKind.CIDR if peer.cidr is not None:
            if family not in (None, peer.cidr.version):
                return None
            if not peer.cidr.prefixlen and not peer.excepts:
                return Meant(None, peer.cidr.version)
            excepts = tuple(sorted(set(peer.excepts), key=str))
            return Meant(CidrAtom(peer.cidr, excepts), peer.cidr.version)
        case _:  # only a newer weft knows whom it means
            return None if rule.action is Action.ALLOW else Meant(None, family)


def subjects_of(groups: Sequence[GroupId]) -> tuple[Subject, ...]:
    """The subjects of a port that is a member of these groups."""
    room = int(Rules.RULES_SUBJECTS)
    if len(groups) <= room:
        return tuple((group,) for group in groups)
    alone = room - 1
    return (*((group,) for group in groups[:alone]), tuple(groups[alone:]))


def sorted_atoms(atoms: Iterable[Atom]) -> tuple[Atom, ...]:
    """Each once, in an order that depends on nothing else."""
    found = set(atoms)
    return tuple(sorted(found, key=repr)) if len(found) > 1 else tuple(found)
