"""`policy_rules`: a rule, or a group that denies what its rules do not allow -> how it is called in
entries of flows, and what becomes of flows that it decides on beside their passing."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from weft.engine.ebpf.map_table import Coding, Flags, MapTable, Names, decode_u32, encode_u32
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RuleFlag


class PolicyRuleValue(NamedTuple):
    """The rule."""

    id: str
    """Once more: the map has it, so that programs' numbers lead back to records."""
    logs: bool = False
    keeps: bool = False
    """Flows that it has let begin go on when it goes."""
    forgets: bool = False
    """Of what it lets pass nothing is remembered."""


_FLAGS = Flags(
    logs=RuleFlag.RULE_LOGS.value,
    keeps=RuleFlag.RULE_KEEPS.value,
    forgets=RuleFlag.RULE_FORGETS.value,
)


def rule_bytes(id: str) -> bytes:
    """A rule's id, or a group's, as the map has it: a UUID as it is, of others a digest."""
    with suppress(ValueError):
        return UUID(id).bytes
    return hashlib.sha256(id.encode()).digest()[:16]


def _encode(value: PolicyRuleValue, _: Names) -> bytes:
    return layouts.Rule(rule_bytes(value.id), _FLAGS.encode(value)).encode()


def _decode(raw: bytes, _: Names) -> PolicyRuleValue:
    rule = layouts.Rule.decode(raw)
    return PolicyRuleValue(str(UUID(bytes=rule.id)), **_FLAGS.decode(rule.flags))


POLICY_RULES: MapTable[str, PolicyRuleValue] = MapTable(
    "policy_rules",
    Rank.RULES,
    map_name="rules_v1",
    keys=Coding(
        lambda id, names: encode_u32(names.number(Kind.RULE, id)),
        lambda raw, names: str(names.symbol(Kind.RULE, decode_u32(raw))),
    ),
    values=Coding(_encode, _decode),
    are_deletes_left=True,
)
