"""Rules log as many connections a second as they say, into a file or weftd's own log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.flows.test_flow_history import FLOW
from weft.model.choices import Action, Direction
from weft.model.ids import GroupId, NetworkId, RuleId, Vni
from weft.model.records import Network, SecurityGroup, SecurityRule, Tenant
from weft.model.records.tenants import tenant_id
from weft.observers.flows.rule_log import FlowLog, Line, RuleLog
from weft.observers.flows.seen import Denial, FlowWord
from weft.store.memory import MemoryStore

GROUP = SecurityGroup(id=GroupId("g1"), name="web")
IN, OUT, QUIET = (
    SecurityRule(
        id=RuleId(name),
        group_id=GROUP.id,
        direction=direction,
        action=Action.ALLOW,
        logs_per_s=logs_per_s,
    )
    for name, direction, logs_per_s in (
        ("in", Direction.INGRESS, 3),
        ("out", Direction.EGRESS, 1),
        ("quiet", Direction.INGRESS, None),
    )
)
FLOW_IN = replace(FLOW, ingress_rule=IN.id, egress_rule=OUT.id)
DENIED = replace(FLOW_IN, denied_by=Denial.INGRESS, state=FlowWord.DENIED)


@pytest.fixture
def rule_log() -> RuleLog:
    network = Network(id=NetworkId("n1"), name="foo", vni=Vni(7))
    return RuleLog(MemoryStore([GROUP, IN, OUT, QUIET, network]))


def test_both_rules_say_what_they_let_pass(rule_log: RuleLog) -> None:
    out, into = rule_log.lines([FLOW_IN], 0.0)
    assert (into.direction, into.group, into.rule, into.verdict) == (
        "ingress",
        "web",
        "in",
        "allowed",
    )
    assert (into.network, into.source, into.destination_port) == ("foo", "10.1.0.2", 80)
    assert (out.direction, out.rule) == ("egress", "out")


def test_of_what_is_denied_the_rule_that_does_so(rule_log: RuleLog) -> None:
    (line,) = rule_log.lines([DENIED], 0.0)
    assert (line.rule, line.verdict) == ("in", "denied")


def test_rules_that_do_not_log(rule_log: RuleLog) -> None:
    quiet = replace(FLOW, ingress_rule=QUIET.id, egress_rule="gone")
    assert list(rule_log.lines([quiet, FLOW], 0.0)) == []
    assert rule_log.is_wanted()
    assert not RuleLog(MemoryStore([GROUP, QUIET])).is_wanted()


def test_no_more_a_second_than_the_rule_says(rule_log: RuleLog) -> None:
    def logged(count: int, now_s: float) -> list[int]:
        return [line.suppressed for line in rule_log.lines([DENIED] * count, now_s)]

    assert logged(10, 100.0) == [0, 0, 0]
    assert logged(1, 100.1) == []
    assert logged(5, 100.4) == [8]
    assert logged(10, 200.0) == [4, 0, 0], "what was not used is not saved up"


def test_a_flood_is_bounded_for_each_rule_alone(rule_log: RuleLog) -> None:
    total = sum(1 for at in range(100) for _ in rule_log.lines([FLOW_IN] * 50, at / 10))
    assert total == pytest.approx(10 * (3 + 1), abs=5)


def test_a_line_of_json_each(rule_log: RuleLog, tmp_path: Path) -> None:
    file = tmp_path / "flows.jsonl"
    FlowLog(file).write(list(rule_log.lines([FLOW_IN], 0.0)))
    FlowLog(file).write(list(rule_log.lines([DENIED], 5.0)))
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert [each["rule"] for each in found] == ["out", "in", "in"]
    assert found[-1]["verdict"] == "denied"
    assert set(found[0]) == set(Line.__struct_fields__)


def test_a_large_file_makes_room(rule_log: RuleLog, tmp_path: Path) -> None:
    file = tmp_path / "flows.jsonl"
    flow_log = FlowLog(file, most_bytes=1000)
    for at in range(20):
        flow_log.write(list(rule_log.lines([DENIED], float(at))))
    sizes = [each.stat().st_size for each in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert all(0 < size <= 1000 for size in sizes)


def test_a_file_that_cannot_be_written_ends_nothing(
    rule_log: RuleLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow_log = FlowLog(tmp_path / "nowhere" / "flows.jsonl")
    for at in range(3):
        flow_log.write(list(rule_log.lines([DENIED], float(at))))
    out, err = capsys.readouterr()
    assert (out + err).count("flows are not logged") == 1


def test_without_a_file_it_is_an_event_of_weftds(
    rule_log: RuleLog, capsys: pytest.CaptureFixture[str]
) -> None:
    FlowLog(None).write(list(rule_log.lines([DENIED], 0.0)))
    out, err = capsys.readouterr()
    assert "rule=in" in out + err


def test_a_line_names_the_tenant_of_group_and_network() -> None:
    acme = Tenant(id=tenant_id("acme"), name="acme")
    network = Network(id=NetworkId("n1"), name="foo", vni=Vni(7), tenant_id=acme.id)
    log = RuleLog(MemoryStore([acme, replace(GROUP, tenant_id=acme.id), IN, network]))
    (line,) = log.lines([replace(FLOW, ingress_rule=IN.id)], 0.0)
    assert (line.group, line.network) == ("acme/web", "acme/foo")
