"""Families about connections of ports that have rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from weft.model.records import SecurityGroup, SecurityRule
from weft.observers.flows.interface import RuleCount, Table
from weft.semantics.tenants import full_group_name
from weft.store.interface import View

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

MOST_RULES = 100
"""That are told by name; what the others have done is told together, for who makes rules makes
series in Prometheus."""
_OTHER = ("other", "other")


def flow_families(table: Table) -> Iterator[Metric]:
    """How full the table of flows is, as of the last sweep."""
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    for name, text, numbers in (
        ("weft_flow_entries", "Entries of connections; each has two.", table.entries),
        ("weft_flow_entries_room", "How many there may be.", table.room),
    ):
        family = GaugeMetricFamily(name, text, labels=["family"])
        for version, number in numbers.items():
            family.add_metric([f"ipv{version}"], number)
        yield family
    yield CounterMetricFamily("weft_flow_entries_made", "Entries that were made.", table.made)
    yield CounterMetricFamily(
        "weft_flow_entries_ended", "Entries that were removed, being over.", table.ended
    )
    refused = CounterMetricFamily(
        "weft_flow_entries_refused",
        "Entries that there was no room for: in the table, or in a port's share of it.",
        labels=["reason"],
    )
    refused.add_metric(["table"], table.refused)
    refused.add_metric(["share"], table.over_share)
    yield refused


def rule_families(view: View, counts: Sequence[RuleCount]) -> Iterator[Metric]:
    """What rules have done on this host: those that have done most by name, all others together."""
    from prometheus_client.metrics_core import CounterMetricFamily

    flows = CounterMetricFamily(
        "weft_rule_flows", "Connections that the rule let begin.", labels=("group", "rule")
    )
    drops = CounterMetricFamily(
        "weft_rule_drops", "Packets that the rule dropped.", labels=("group", "rule")
    )
    for labels, count in _named(view, counts):
        flows.add_metric(labels, count.flows)
        drops.add_metric(labels, count.drops)
    yield flows
    yield drops


def _named(view: View, counts: Sequence[RuleCount]) -> Iterator[tuple[tuple[str, str], RuleCount]]:
    ordered = sorted(counts, key=lambda one: -(one.flows + one.drops))
    kept, rest = ordered[:MOST_RULES], ordered[MOST_RULES:]
    summed: dict[tuple[str, str], RuleCount] = {}
    for count in kept:
        labels = _labels(view, count.id)
        before = summed.get(labels, RuleCount(None, 0, 0))
        summed[labels] = RuleCount(count.id, before.flows + count.flows, before.drops + count.drops)
    if rest:
        flows, drops = sum(one.flows for one in rest), sum(one.drops for one in rest)
        summed[_OTHER] = RuleCount(None, flows, drops)
    yield from summed.items()


def _labels(view: View, id: str | None) -> tuple[str, str]:
    """The group as commands name it, and the rule's id; ``default`` where a group, or nobody, says
    so."""
    if id is None:
        return "", "default"
    rule = view.get(SecurityRule, id)
    group = view.get(SecurityGroup, rule.group_id if rule is not None else id)
    name = full_group_name(view, group) if group is not None else ""
    return name, id if rule is not None or group is None else "default"
