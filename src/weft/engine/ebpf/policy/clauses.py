"""What a rule says, as clauses of the profile of its subject, direction and peer. Symbolic: a
clause names its rule, and has a number only in the map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from weft.engine.ebpf.policy.points import EVERYTHING, ICMP, Stretch, icmp, stretch
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RuleAction
from weft.model.choices import Action, Direction, Tier
from weft.model.ids import GroupId
from weft.model.records import SecurityRule

LAST_RANK = 2**32 - 1
"""Behind all rules of a tier."""
DIRECTIONS = {
    Direction.INGRESS: layouts.Direction.INGRESS,
    Direction.EGRESS: layouts.Direction.EGRESS,
}
_TIERS = {
    Tier.ADMIN: layouts.Tier.TIER_ADMIN,
    Tier.NORMAL: layouts.Tier.TIER_NORMAL,
    Tier.BASELINE: layouts.Tier.TIER_BASELINE,
}
_ACTIONS = {
    Action.DROP: RuleAction.RULE_DROP,
    Action.REJECT: RuleAction.RULE_REJECT,
    Action.ALLOW: RuleAction.RULE_ALLOW,
    Action.PASS: RuleAction.RULE_PASS,
}
_BOTH = (4, 6)


class Said(NamedTuple):
    """One rule on one stretch of the line. Plain numbers, for they are many."""

    first: int
    last: int
    tier: int
    rank: int
    action: int
    id: str
    """Of the rule, or of the group that denies the direction."""


def said_by(rule: SecurityRule, family: int | None) -> Iterator[Said]:
    """What a rule says about packets of a family; None: of both."""
    tier, action = int(_TIERS[rule.tier]), int(_ACTIONS[rule.action])
    for its in _stretches(rule, family):
        yield Said(its.first, its.last, tier, rule.priority, action, rule.id)


def isolation(group_id: GroupId) -> Said:
    """A group that denies a direction: the last word of the normal tier."""
    tier, action = int(layouts.Tier.TIER_NORMAL), int(RuleAction.RULE_DROP)
    return Said(*EVERYTHING, tier, LAST_RANK, action, group_id)


def _stretches(rule: SecurityRule, family: int | None) -> Iterator[Stretch]:
    families = _BOTH if family is None else (family,)
    if rule.protocol is None:
        yield EVERYTHING if family is None else stretch(family)
    elif rule.icmp_type is not None:
        for each in families:
            if ICMP[each] == rule.protocol:
                yield icmp(each, rule.icmp_type, rule.icmp_code)
    else:
        ports = None
        if rule.first_port is not None and rule.last_port is not None:
            ports = range(rule.first_port, rule.last_port + 1)
        for each in families:
            yield stretch(each, rule.protocol, ports)
