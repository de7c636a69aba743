"""Large logical networks, and what is expected of packets that rules judge."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from weft.bench import flows, groups, judging, markdown, policy, report, scenes
from weft.bench.bare import BPF_VXLAN, REDIRECT_PEER
from weft.bench.comparison import CONNECT_PINNED, PROGRAMS, RR_PINNED
from weft.bench.logical import LABEL, LogicalCluster, Size
from weft.bench.page import Report
from weft.bench.plan import Plan
from weft.bench.policy import ALL, FEW_RULES, HERE_AND_THERE, MANY_RULES, ONE_RULE, comparison_of
from weft.bench.programs import FROM_PORT, FROM_WIRE
from weft.bench.results import Figure, Quantity, Results
from weft.bench.topology import RAW_VETH, WEFT
from weft.bench.traffic import Traffic
from weft.bench.two_hosts import UNDERLAY
from weft.control.rule_text import parse_rule
from weft.engine.compiler import Compiler
from weft.engine.ebpf.plane import functions
from weft.model import codec
from weft.model.records import Host, Network, Port, SecurityGroup, SecurityRule, Subnet
from weft.semantics.members import members_of
from weft.store.memory import MemoryStore

SIZE = Size(networks=6, ports=60, groups=12)


@pytest.mark.parametrize("hosts", [1, 3])
def test_a_logical_cluster_has_what_it_says_and_every_group_has_members(hosts: int) -> None:
    cluster = LogicalCluster(SIZE, hosts)
    records = list(cluster.records())
    store = MemoryStore(records)
    found = {kind: list(store.list(kind)) for kind in (Host, Network, Port, SecurityGroup)}
    assert [len(each) for each in found.values()] == [hosts, 6, 60, 12]
    assert len(list(store.list(SecurityRule))) == 3 * 12
    subnets = {subnet.network_id: subnet.cidr for subnet in store.list(Subnet)}
    ports = list(store.list(Port))
    assert all(port.addresses[0] in subnets[port.network_id] for port in ports)
    assert len({(port.network_id, port.addresses) for port in ports}) == 60
    assert {port.host_id for port in ports} == set(cluster.hosts)
    slots = {(port.network_id, port.host_id, port.slot) for port in ports}
    assert len(slots) == 60
    assert all(len(members_of(store, group)) >= 3 for group in store.list(SecurityGroup))
    assert all(codec.decode(r.KIND, codec.encode(r)) == r for r in records)


def test_all_of_a_logical_cluster_is_compiled_and_judged() -> None:
    cluster = LogicalCluster(SIZE, 1)
    compiler = Compiler(functions(cluster.hosts[0]), MemoryStore(cluster.records()))
    rows = compiler.rows()
    assert not compiler.faults
    assert len(rows["port_rules"]) == 60
    assert len(rows["policy_rules"]) == 12 + 3 * 12


def test_ports_of_a_cluster_without_groups_have_no_labels() -> None:
    cluster = LogicalCluster(Size(1, 20, 0), 2)
    ports = [each for each in cluster.records() if isinstance(each, Port)]
    assert len(ports) == 20
    assert not any(port.labels for port in ports)
    labelled = [each for each in LogicalCluster(SIZE, 1).records() if isinstance(each, Port)]
    assert all(LABEL in dict(port.labels) for port in labelled)


def test_members_are_ports_of_hosts_of_which_nothing_else_is_known() -> None:
    cluster = scenes.Members(40)
    records = list(cluster.records())
    assert not [each for each in records if isinstance(each, Host)]
    ports = [each for each in records if isinstance(each, Port)]
    assert len(ports) == 40
    assert cluster.hosts[0] not in {port.host_id for port in ports}
    (group,) = [each for each in records if isinstance(each, SecurityGroup)]
    assert group.name == scenes.MEMBERS
    assert len(members_of(MemoryStore(records), group)) == 40


def test_rules_of_a_scene_are_many_different_ones_that_weft_and_others_can_say() -> None:
    texts = scenes.rules(10_000, "own")
    assert len(set(texts)) == 10_000
    assert len({parse_rule(text) for text in texts[:200]}) == 200
    assert texts[-1] == "allow ingress from group:own"
    assert scenes.rules(1, "own") == ["allow ingress from group:own"]
    others = list(judging.rules_of_iptables(100))
    assert len([line for line in others if line.endswith("ACCEPT")]) == 101
    assert len([flow for flow in judging.flows_of_openvswitch(100) if "commit" in flow]) == 100


def _measured(place: policy.Place, tmp_path: Path, key: str) -> Figure:
    comparison = comparison_of(place, {})
    every = comparison.measurements(Traffic(tmp_path), 1.0)
    return next(each.figure for each in every if each.figure.key == comparison.figure(key))


def _verdicts(place: policy.Place, results: Results) -> dict[str, str]:
    checks = list(policy.checks(place, comparison_of(place, {}), results))
    assert all(len(check.title) <= 46 for check in checks)
    return {check.title: check.verdict for check in checks}


def test_judged_packets_are_held_to_plain_ones_and_to_the_limit(tmp_path: Path) -> None:
    here, results = HERE_AND_THERE[0], Results()
    rates = {RAW_VETH: 100.0, WEFT: 92.0, ONE_RULE: 91.0, MANY_RULES: 90.0, ALL: 86.0}
    for name, rate in rates.items():
        figure = _measured(here, tmp_path, RR_PINNED)
        results.add(figure, name, {"rate": rate, "p50_us": 1.0, "p99_us": 1.0})
    for name, rate in ((WEFT, 100.0), (FEW_RULES, 96.0), (MANY_RULES, 84.0)):
        figure = _measured(here, tmp_path, CONNECT_PINNED)
        results.add(figure, name, {"rate": rate, "p50_us": 1.0, "p99_us": 1.0})
    for name, ns in ((REDIRECT_PEER, 60.0), (ALL, 139.0)):
        results.add(_measured(here, tmp_path, PROGRAMS), name, {FROM_PORT: ns})
    assert _verdicts(here, results) == {
        "Policy: from_port beyond redirect_peer": "met",
        "Policy: all at once, to raw veth": "missed",
        "Policy: 10k rules to 1": "met",
        "Policy: connects, 100 rules to none": "met",
        "Policy: connects, 10k rules to none": "missed",
        "Policy: connects, 10k rules, to bridge": "not measured",
    }


def test_both_programs_are_held_to_bare_ones_between_hosts(tmp_path: Path) -> None:
    there, results = HERE_AND_THERE[1], Results()
    figure = _measured(there, tmp_path, PROGRAMS)
    for name, ns in ((BPF_VXLAN, 100.0), (ALL, 161.0)):
        results.add(figure, name, {FROM_PORT: ns, FROM_WIRE: ns - 2})
    for name, rate in ((UNDERLAY, 100.0), (ALL, 77.0)):
        rr = _measured(there, tmp_path, RR_PINNED)
        results.add(rr, name, {"rate": rate, "p50_us": 1.0, "p99_us": 1.0})
    verdicts = _verdicts(there, results)
    assert verdicts["Policy, two hosts: from_port beyond bpf vxlan"] == "missed"
    assert verdicts["Policy, two hosts: from_wire beyond bpf vxlan"] == "missed"
    assert verdicts["Policy, two hosts: all at once, to underlay"] == "met"


def test_judged_packets_are_measured_without_streams(tmp_path: Path) -> None:
    comparison = comparison_of(HERE_AND_THERE[0], {})
    keys = [each.figure.key for each in comparison.measurements(Traffic(tmp_path), 1.0)]
    assert keys == [
        "policy_rr_pinned",
        "policy_connect_pinned",
        "policy_udp_flows",
        "policy_programs",
    ]


def test_what_a_table_of_flows_takes_is_held_to_the_larger_of_both_counts(tmp_path: Path) -> None:
    plan, results = Plan(tmp_path, lambda _: None, is_quick=True), Results()
    figure = Figure("flows_memory", "", (Quantity("mb", ""),))
    results.add(figure, "8000 conns", {"mb": 500.0, "map_mb": 400.0})
    verdicts = {check.title: check.verdict for check in flows.checks(plan, results)}
    assert verdicts["flows, memory of 8000 conns"] == "missed"
    assert verdicts["flows, collection of 8000 conns"] == "not measured"


def test_weftd_is_weighed_less_what_ports_alone_take() -> None:
    results = Results()
    figure = Figure("groups_memory", "", (Quantity("rss_mb", ""),))
    for name, mb in ((groups.ALONE, 60.0), (groups.PORTS, 100.0), (groups.WHOLE, 119.0)):
        results.add(figure, name, {"rss_mb": mb})
    checks = {check.title: check for check in groups.checks(results)}
    weighed = checks["groups, weftd less its ports, memory"]
    assert (weighed.measured, weighed.verdict) == (79.0, "met")
    assert all(len(title) <= 46 for title in checks)


def test_changes_in_force_are_counted_both_ways_together() -> None:
    results = Results()
    figure = Figure("groups_effect", "", (Quantity("ms", ""),))
    for way, ms in (("let through", 10.0), ("refused", 30.0), ("refused", 120.0)):
        results.add(figure, way, {"ms": ms})
    found = {check.title: check.measured for check in groups.checks(results)}
    assert found["groups, rules in force on 3 hosts, p50"] == 30.0
    assert found["groups, rules in force on 3 hosts, p99"] == 120.0


def test_compiling_and_changing_is_measured_for_both_spreads(tmp_path: Path) -> None:
    plan, results = Plan(tmp_path, lambda _: None, is_quick=True), Results()
    for name, hosts in ((groups.HERE, 1), (groups.SPREAD, 10)):
        groups.measure_compile(plan, results, name, LogicalCluster(plan.logical_size, hosts))
    assert list(results.samples["groups_compile"]) == [groups.HERE, groups.SPREAD]
    changed = results.samples["groups_change"]
    assert len(changed) == 6
    assert all(sample["rows"] > 0 for found in changed.values() for sample in found)


def test_tables_of_a_report_have_columns_of_variants_and_ratios() -> None:
    results = Results(environment={"title": "weft on a test machine"})
    rate = Figure("policy_udp", "Policy: UDP", (Quantity("rate", "per s"), Quantity("p", "p50", 1)))
    results.announce(rate, (RAW_VETH, WEFT, "bridge"))
    results.add(rate, RAW_VETH, {"rate": 200.0, "p": 5.0})
    results.add(rate, WEFT, {"rate": 150.0, "p": 6.0})
    weight = Figure("groups_memory", "Memory (MB)", (Quantity("mb", "MB", 1),))
    for mb in (60.0, 64.0, 61.0):
        results.add(weight, "alone", {"mb": mb})
    results.checks += policy.checks(
        HERE_AND_THERE[0], comparison_of(HERE_AND_THERE[0], {}), results
    )
    lines = markdown.tables(stored(results)).splitlines()
    assert "|  | raw veth | weft |" in lines
    assert "| UDP, per s | 200 | 150 (0.75) |" in lines
    assert "| p50 | 5.0 | 6.0 |" in lines
    assert "| alone | 61.0 (60.0..64.0) |" in lines
    assert "| Policy: 10k rules to 1 | - | at least 0.97 | not measured |" in lines


def stored(results: Results) -> Report:
    return msgspec.convert(report.as_json(results), Report)
