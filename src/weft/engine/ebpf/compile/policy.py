"""Security groups as rows: what decides about a judged port, and what the rules of its groups say.

A host has the rules of subjects that have a port on it. Each subject is compiled by itself: one
that comes, goes or changes its rules costs its own rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial

from weft.engine.ebpf.compile.meanings import Meaning, meaning_of
from weft.engine.ebpf.compile.subjects import (
    Covered,
    atoms_of_prefix,
    policy_of,
    subjects_on,
)
from weft.engine.ebpf.policy.atoms import Atom, CidrAtom, Subject
from weft.engine.ebpf.policy.clauses import DIRECTIONS, Said, isolation
from weft.engine.ebpf.tables.heads import HEADS, HeadKey
from weft.engine.ebpf.tables.policy_rules import POLICY_RULES, PolicyRuleValue
from weft.engine.ebpf.tables.port_rules import PortRules
from weft.engine.ebpf.tables.prefixes import PREFIXES, PrefixKey
from weft.engine.reads import Asked
from weft.engine.rows import Each, Row
from weft.kernel.bpf import layouts
from weft.model.choices import Direction
from weft.model.ids import HostId, PortId, TenantId
from weft.model.records import SecurityGroup, SecurityRule
from weft.store.interface import View

_Heads = dict[tuple[layouts.Direction, Atom | None], list[Said]]


def port_rules(port_id: PortId, ifname: str, view: View) -> PortRules | None:
    """What decides about the flows of a port of this host; None: all pass."""
    policy = view.ask(policy_of, port_id)
    if policy is None:
        return None
    return PortRules(
        ifname=ifname,
        subjects=policy.subjects,
        allows_ingress=Direction.INGRESS not in policy.denied,
        allows_egress=Direction.EGRESS not in policy.denied,
        is_strict=policy.is_strict,
        tenant_id=policy.tenant_id,
        vni=policy.vni,
        allows_dns=not policy.judges_dns,
        admits_host=policy.admits_host,
    )


def subjects(host_id: HostId) -> Each:
    """The rules of all subjects with ports on the host."""
    return Each(Asked(subjects_on, host_id), partial(_rows_of_subject, host_id))


def _rows_of_subject(host_id: HostId, subject: Subject, view: View) -> Iterator[Row]:
    """Linear in the subject's rules."""
    heads: _Heads = defaultdict(list)
    for id in subject:
        group = view.get(SecurityGroup, id)
        if group is None:
            continue
        for denied in group.denied:
            if denied in DIRECTIONS:
                heads[DIRECTIONS[denied], None].append(isolation(id))
        if group.denied:
            yield POLICY_RULES.row(id, PolicyRuleValue(id))
        rules = view.by(SecurityRule, "group_id", id)
        meanings = [meaning_of(rule, group.tenant_id) for rule in rules]
        yield from (meaning.row for meaning in meanings)
        cidrs = _say(meanings, heads)
        yield from _prefixes(host_id, group.tenant_id, cidrs, view)
    for (direction, atom), said in heads.items():
        yield HEADS.row(HeadKey(subject, direction, atom), tuple(sorted(said)))


def _say(meanings: Iterable[Meaning], heads: _Heads) -> dict[CidrAtom, None]:
    """Put what rules say where it belongs. The prefixes that they name."""
    cidrs: dict[CidrAtom, None] = {}
    for meaning in meanings:
        if meaning.meant is None:
            continue
        if isinstance(meaning.meant.atom, CidrAtom):
            cidrs[meaning.meant.atom] = None
        if meaning.direction is not None:
            heads[meaning.direction, meaning.meant.atom] += meaning.said
    return cidrs


def _prefixes(
    host_id: HostId, tenant_id: TenantId, cidrs: Iterable[CidrAtom], view: View
) -> Iterator[Row]:
    """A prefix and its exceptions, each with all that is so of the addresses that it is the longest
    row of."""
    prefixes = {prefix: None for each in cidrs for prefix in (each.cidr, *each.excepts)}
    for prefix in prefixes:
        atoms = view.ask(atoms_of_prefix, Covered(host_id, tenant_id, prefix))
        yield PREFIXES.row(PrefixKey(tenant_id, prefix), atoms)
