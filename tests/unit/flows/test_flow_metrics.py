"""Metrics of connections and rules, in a bounded number of series."""

from __future__ import annotations

from msgspec.structs import replace

from tests.unit.flows.test_rule_log import GROUP, IN
from weft.metrics.flows import MOST_RULES, flow_families, rule_families
from weft.model.ids import GroupId
from weft.model.records import Tenant
from weft.model.records.tenants import tenant_id
from weft.observers.flows.interface import RuleCount, Table
from weft.store.memory import MemoryStore

VIEW = MemoryStore([GROUP, IN])


def samples(
    counts: list[RuleCount], name: str = "weft_rule_drops", view: MemoryStore = VIEW
) -> dict[tuple[str, str], float]:
    (family,) = (each for each in rule_families(view, counts) if each.name == name)
    found = {
        (sample.labels["group"], sample.labels["rule"]): sample.value for sample in family.samples
    }
    assert len(found) == len(family.samples), "a series twice"
    return found


def test_rules_groups_and_defaults_are_named() -> None:
    counts = [RuleCount("in", 1, 2), RuleCount("g1", 0, 3), RuleCount(None, 4, 5)]
    assert samples(counts) == {("web", "in"): 2, ("web", "default"): 3, ("", "default"): 5}
    assert samples(counts, "weft_rule_flows")["web", "in"] == 1


def test_what_is_nobodys_any_more_is_one_series() -> None:
    assert samples([RuleCount(None, 1, 1), RuleCount(None, 1, 2)]) == {("", "default"): 3}


def test_groups_of_one_name_in_two_tenants_are_two_series() -> None:
    acme = Tenant(id=tenant_id("acme"), name="acme")
    theirs = replace(GROUP, id=GroupId("g2"), tenant_id=acme.id)
    counts = [RuleCount("g1", 0, 3), RuleCount("g2", 0, 4)]
    view = MemoryStore([GROUP, IN, acme, theirs])
    assert samples(counts, view=view) == {("web", "default"): 3, ("acme/web", "default"): 4}


def test_many_rules_are_few_series() -> None:
    counts = [RuleCount(f"r{number}", 0, number) for number in range(1, 1001)]
    found = samples(counts)
    assert len(found) == MOST_RULES + 1
    assert found["other", "other"] == sum(range(1, 1001 - MOST_RULES))
    assert sum(found.values()) == sum(range(1, 1001))
    assert found["", "r1000"] == 1000


def test_the_table() -> None:
    table = Table({4: 2, 6: 8}, {4: 10, 6: 10}, made=20, refused=3, over_share=4, ended=5)
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in flow_families(table)
        for sample in family.samples
    }
    assert values == {
        ("weft_flow_entries", "ipv4"): 2,
        ("weft_flow_entries", "ipv6"): 8,
        ("weft_flow_entries_room", "ipv4"): 10,
        ("weft_flow_entries_room", "ipv6"): 10,
        ("weft_flow_entries_made_total",): 20,
        ("weft_flow_entries_ended_total",): 5,
        ("weft_flow_entries_refused_total", "table"): 3,
        ("weft_flow_entries_refused_total", "share"): 4,
    }
