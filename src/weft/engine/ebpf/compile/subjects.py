"""Whose rules bear on this host, and whom they name: questions.

A host has the rules of subjects alone that have a port on it, and of an address it knows no more
than those rules ask for. What many ports ask alike has answers that seldom change, so that a port
which joins a group costs its own rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from weft.engine.ebpf.compile.meanings import meaning_of
from weft.engine.ebpf.policy.atoms import (
    Atom,
    CidrAtom,
    GroupAtom,
    NetworkAtom,
    PortsAtom,
    Subject,
    sorted_atoms,
    subjects_of,
)
from weft.model.addresses import IPNetwork, contains
from weft.model.choices import Direction
from weft.model.ids import GroupId, HostId, NetworkId, PortId, TenantId, Vni
from weft.model.records import Network, Place, Port, SecurityGroup, SecurityRule
from weft.semantics.members import (
    Label,
    by_label,
    groups_of,
    groups_of_port,
    is_selected,
    tenant_of_group,
)
from weft.semantics.policy import denied_on
from weft.semantics.unowned import users_of
from weft.store.interface import View, question

_BUCKETS = 64
_BLOCK_LENGTHS = {4: 16, 6: 32}
"""Of blocks of prefixes, by family."""


class PortPolicy(NamedTuple):
    """What decides about a port's flows."""

    subjects: tuple[Subject, ...]
    denied: tuple[Direction, ...]
    """Where what no rule allows is denied."""
    is_strict: bool
    tenant_id: TenantId
    vni: Vni
    judges_dns: bool = False
    admits_host: bool = False


class Named(NamedTuple):
    """An atom, as the rules on a host know it."""

    host_id: HostId
    atom: Atom


class Share(NamedTuple):
    """A tenant's, on a host."""

    host_id: HostId
    tenant_id: TenantId


class Covered(NamedTuple):
    """A prefix of a tenant, as the rules on a host know it."""

    host_id: HostId
    tenant_id: TenantId
    prefix: IPNetwork


@question
def policy_of(port_id: PortId, view: View) -> PortPolicy | None:
    """What decides about the flows of a port; None: nothing does, all pass and none is kept."""
    port = view.get(Port, port_id)
    network = None if port is None else view.get(Network, port.network_id)
    if port is None or network is None:
        return None
    groups = view.ask(groups_of, port_id)
    denied = tuple(
        sorted({each for each in denied_on(view, network.id) if each is not Direction.OTHER})
    )
    if not groups and not denied and not network.is_strict and not network.is_tracked:
        return None
    return PortPolicy(
        subjects_of(groups),
        denied,
        network.is_strict,
        network.tenant_id,
        network.vni,
        judges_dns=network.judges_dns,
        admits_host=port.admits_host or network.admits_host,
    )


def is_plugged(port: Port) -> bool:
    """Whether a port of this host has a device whose packets are judged."""
    return port.veth is not None and port.slot is not None and not port.is_host


def _policies_at(place: Place, view: View) -> Iterator[PortPolicy]:
    for port in view.by(Port, "place", place):
        policy = view.ask(policy_of, port.id) if is_plugged(port) else None
        if policy is not None:
            yield policy


@question
def is_judging(place: Place, view: View) -> bool:
    """Whether a network has judged ports on a host."""
    return any(True for _ in _policies_at(place, view))


@question
def _subjects_at(place: Place, view: View) -> frozenset[Subject]:
    return frozenset(each for policy in _policies_at(place, view) for each in policy.subjects)


@question
def subjects_on(host_id: HostId, view: View) -> frozenset[Subject]:
    """The subjects with ports on a host."""
    if not view.ask(_has_groups, ""):
        return frozenset()
    buckets = (_Bucket(host_id, number) for number in range(_BUCKETS))
    return frozenset().union(*(view.ask(_subjects_in, bucket) for bucket in buckets))


class _Bucket(NamedTuple):
    """Some of what there is of a kind on a host, so that when one comes few others are looked at
    again."""

    host_id: HostId
    number: int


@question
def _subjects_in(bucket: _Bucket, view: View) -> frozenset[Subject]:
    """The subjects with ports on some of the networks."""
    found: set[Subject] = set()
    for network_id in view.ask(_networks_in, bucket.number):
        place = Place(network_id, bucket.host_id)
        if view.any(Port, "place", place):
            found |= view.ask(_subjects_at, place)
    return frozenset(found)


@question
def _networks_in(number: int, view: View) -> frozenset[NetworkId]:
    return view.ask(_network_buckets, "").get(number, frozenset())


@question
def _network_buckets(_: str, view: View) -> Mapping[int, frozenset[NetworkId]]:
    found: defaultdict[int, set[NetworkId]] = defaultdict(set)
    for network in view.list(Network):
        found[hash(network.id) % _BUCKETS].add(network.id)
    return {number: frozenset(networks) for number, networks in found.items()}


@question
def _has_groups(_: str, view: View) -> bool:
    return any(True for _ in view.list(SecurityGroup))


@question
def peers_of(group_id: GroupId, view: View) -> frozenset[Atom]:
    """Whom the rules of a group name."""
    tenant_id = view.ask(tenant_of_group, group_id)
    if tenant_id is None:
        return frozenset()
    rules = view.by(SecurityRule, "group_id", group_id)
    meant = (meaning_of(rule, tenant_id).meant for rule in rules)
    return frozenset(each.atom for each in meant if each is not None and each.atom is not None)


@question
def _named_on(host_id: HostId, view: View) -> frozenset[Atom]:
    groups = {group for subject in view.ask(subjects_on, host_id) for group in subject}
    return frozenset(atom for group in groups for atom in view.ask(peers_of, group))


@question
def _buckets(host_id: HostId, view: View) -> Mapping[int, frozenset[Atom]]:
    """So that an atom which comes has few others looked at again."""
    found: dict[int, set[Atom]] = defaultdict(set)
    for atom in view.ask(_named_on, host_id):
        found[hash(atom) % _BUCKETS].add(atom)
    return {number: frozenset(atoms) for number, atoms in found.items()}


@question
def _bucket(bucket: _Bucket, view: View) -> frozenset[Atom]:
    return view.ask(_buckets, bucket.host_id).get(bucket.number, frozenset())


@question
def is_named(named: Named, view: View) -> bool:
    """Whether rules on a host name an atom."""
    bucket = _Bucket(named.host_id, hash(named.atom) % _BUCKETS)
    return named.atom in view.ask(_bucket, bucket)


@question
def _names_ports(host_id: HostId, view: View) -> bool:
    """Whether rules on a host name anything that a port can be."""
    return any(not isinstance(atom, CidrAtom) for atom in view.ask(_named_on, host_id))


def atoms_of_port(host_id: HostId, port: Port, network: Network, view: View) -> tuple[Atom, ...]:
    """What a port is to the rules on a host."""
    if not view.ask(_names_ports, host_id):
        return ()
    atoms: list[Atom] = [GroupAtom(group) for group in groups_of_port(port, view)]
    atoms.append(NetworkAtom(network.id))
    found = [atom for atom in atoms if view.ask(is_named, Named(host_id, atom))]
    for label in (None, *port.labels):
        for atom in view.ask(_naming, _Labelled(host_id, network.tenant_id, label)):
            if is_selected(port, atom.selector):
                found.append(atom)
    return sorted_atoms(found)


def atoms_of_place(host_id: HostId, network: Network, view: View) -> tuple[Atom, ...]:
    """What an address of a network is that no port has."""
    atom = NetworkAtom(network.id)
    return (atom,) if view.ask(is_named, Named(host_id, atom)) else ()


def atoms_of_unowned(
    host_id: HostId, network: Network, prefix: IPNetwork, view: View
) -> tuple[Atom, ...]:
    """What addresses of a prefix are on a network as long as no port has them for its own."""
    found = {*atoms_of_place(host_id, network, view)}
    for port in users_of(view, network.id, prefix):
        found.update(atoms_of_port(host_id, port, network, view))
    return sorted_atoms(found)


class _Labelled(NamedTuple):
    host_id: HostId
    tenant_id: TenantId
    label: Label | None


@question
def _naming(ports: _Labelled, view: View) -> tuple[PortsAtom, ...]:
    """Atoms that may select such ports, and are to be looked at for these alone."""
    return view.ask(_all_naming, Share(ports.host_id, ports.tenant_id)).get(ports.label, ())


@question
def _all_naming(share: Share, view: View) -> Mapping[Label | None, tuple[PortsAtom, ...]]:
    found = [
        atom
        for atom in view.ask(_named_on, share.host_id)
        if isinstance(atom, PortsAtom) and atom.tenant_id == share.tenant_id
    ]
    return by_label((atom, atom.selector) for atom in sorted(found, key=repr))


class _Block(NamedTuple):
    """Prefixes that begin alike."""

    share: Share
    bits: tuple[int, int, int]


_Cidrs = Mapping[tuple[int, int, int], tuple[CidrAtom, ...]]
"""Prefixes that rules name, by family, length and first bits."""


@question
def _cidrs(share: Share, view: View) -> Mapping[tuple[int, int, int], _Cidrs]:
    """What a tenant's rules on a host name, by the blocks in which it is; shorter prefixes are
    blocks themselves."""
    groups = {group for subject in view.ask(subjects_on, share.host_id) for group in subject}
    own = [group for group in groups if view.ask(tenant_of_group, group) == share.tenant_id]
    named = {atom for group in own for atom in view.ask(peers_of, group)}
    found: dict[tuple[int, int, int], dict[tuple[int, int, int], list[CidrAtom]]] = {}
    for atom in named:
        if isinstance(atom, CidrAtom):
            length = atom.cidr.prefixlen
            block = found.setdefault(_block(atom.cidr, length), {})
            block.setdefault(_bits(atom.cidr, length), []).append(atom)
    return {
        block: {bits: _ordered(atoms) for bits, atoms in inner.items()}
        for block, inner in found.items()
    }


@question
def _cidrs_in(block: _Block, view: View) -> _Cidrs:
    return view.ask(_cidrs, block.share).get(block.bits, {})


def _bits(prefix: IPNetwork, length: int) -> tuple[int, int, int]:
    first = int(prefix.network_address) >> (prefix.max_prefixlen - length)
    return prefix.version, length, first


def _block(prefix: IPNetwork, length: int) -> tuple[int, int, int]:
    """Of what begins as the prefix does, so far."""
    return _bits(prefix, min(length, _BLOCK_LENGTHS[prefix.version]))


def _ordered(atoms: list[CidrAtom]) -> tuple[CidrAtom, ...]:
    return tuple(sorted(atoms, key=repr)) if len(atoms) > 1 else tuple(atoms)


@question
def atoms_of_prefix(covered: Covered, view: View) -> tuple[Atom, ...]:
    """What all addresses of a prefix are that no longer prefix has which rules name: all that cover
    it, and of which no exception does."""
    prefix = covered.prefix
    share = Share(covered.host_id, covered.tenant_id)
    found: list[Atom] = []
    for length in range(prefix.prefixlen + 1):
        if length <= _BLOCK_LENGTHS[prefix.version]:
            cidrs = view.ask(_cidrs_in, _Block(share, _block(prefix, length)))
        for atom in cidrs.get(_bits(prefix, length), ()):
            if not any(contains(part, prefix) for part in atom.excepts):
                found.append(atom)
    return sorted_atoms(found)
