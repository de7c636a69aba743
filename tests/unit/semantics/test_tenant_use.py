"""How much a tenant has."""

from __future__ import annotations

from weft.model.choices import Action, Direction
from weft.model.ids import GroupId, RuleId
from weft.model.records import SecurityGroup, SecurityRule
from weft.model.records.tenants import DEFAULT_TENANT, tenant_id
from weft.semantics.tenants import use_of
from weft.store.memory import MemoryStore

ACME = tenant_id("acme")


def group(id: str) -> SecurityGroup:
    return SecurityGroup(id=GroupId(id), name=id, tenant_id=ACME)


def rule(id: str, of: str) -> SecurityRule:
    return SecurityRule(
        id=RuleId(id), group_id=GroupId(of), direction=Direction.INGRESS, action=Action.ALLOW
    )


def test_the_rules_of_all_its_groups_count_and_no_others() -> None:
    store = MemoryStore((group("web"), group("db"), rule("a", "web"), rule("b", "web")))
    assert use_of(store, ACME).rules == 2
    assert use_of(store, DEFAULT_TENANT).rules == 0
