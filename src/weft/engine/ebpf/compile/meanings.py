"""What one rule means to the packet path, remembered for as long as the rule is the same record.

A group is compiled as a whole when one of its rules changes; with ten thousand rules nearly all of
that is what each of the others says, which is what it was.
"""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.policy.atoms import Meant, meant_by
from weft.engine.ebpf.policy.clauses import DIRECTIONS, Said, said_by
from weft.engine.ebpf.tables.policy_rules import POLICY_RULES, PolicyRuleValue
from weft.engine.rows import Row
from weft.kernel.bpf.layouts import Direction
from weft.model.ids import RuleId, TenantId
from weft.model.records import SecurityRule

MOST = 65_536
"""Remembered; with more, all are forgotten."""


class Meaning(NamedTuple):
    """Of a rule of a tenant's group."""

    rule: SecurityRule
    tenant_id: TenantId
    meant: Meant | None
    """Whom it is about; None: nobody that there can be."""
    direction: Direction | None
    """None: one that only a newer weft knows."""
    said: tuple[Said, ...]
    row: Row
    """What the rule is called in flows."""


_known: dict[RuleId, Meaning] = {}


def meaning_of(rule: SecurityRule, tenant_id: TenantId) -> Meaning:
    """What a rule means."""
    known = _known.get(rule.id)
    if known is not None and known.rule is rule and known.tenant_id == tenant_id:
        return known
    meant = meant_by(rule, tenant_id)
    direction = DIRECTIONS.get(rule.direction)
    is_said = meant is not None and direction is not None
    value = PolicyRuleValue(
        rule.id,
        logs=rule.logs_per_s is not None,
        keeps=rule.keeps_flows,
        forgets=rule.is_stateless,
    )
    found = Meaning(
        rule,
        tenant_id,
        meant,
        direction,
        tuple(said_by(rule, meant.family)) if meant is not None and is_said else (),
        POLICY_RULES.row(rule.id, value),
    )
    if len(_known) >= MOST:
        _known.clear()
    _known[rule.id] = found
    return found
