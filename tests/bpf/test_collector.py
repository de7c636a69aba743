"""The collector over real entries: what it tells, what it ends, and what it remembers of that."""

from __future__ import annotations

import asyncio
import struct
import time
import uuid
from pathlib import Path

import pytest

from tests.bpf.judged import (
    ACK,
    ALLOW_ALL,
    NONE,
    SYN,
    SYN_ACK,
    Judged,
    datagram,
    echo,
    segment,
)
from tests.bpf.rules import INGRESS, Rule
from tests.bpf.test_flows import DNS, HTTP
from tests.bpf.world import ANN, BOB, CYD, RED, WORKLOADS, Workload, World
from weft.errors import KernelError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.flow_limits import FlowLimits
from weft.kernel.bpf.flow_table import now
from weft.kernel.bpf.layouts import RuleAction
from weft.model.addresses import ip_address
from weft.model.ids import MacAddress, NetworkId, PortId, Vni
from weft.model.records import Network, Owner, Port
from weft.observers.flows.collector import AGAIN_S, Collector
from weft.observers.flows.interface import RuleCount, Told
from weft.observers.flows.rule_log import FlowLog
from weft.observers.flows.seen import Denial, FlowsAsked, FlowSeen, FlowWord
from weft.store.memory import MemoryStore

VERSIONS = pytest.mark.parametrize("version", [4, 6])
RULE_ID = "11111111-2222-4333-8444-555555555555"
RED_ID = NetworkId("red")


def port_of(workload: Workload) -> Port:
    return Port(
        id=PortId(workload.device),
        network_id=RED_ID if workload.vni == RED else NetworkId(f"n{workload.vni}"),
        mac=MacAddress(workload.mac),
        addresses=(ip_address(workload.ipv4), ip_address(workload.ipv6)),
        owner=Owner(frontend="cli"),
    )


@pytest.fixture
def judged(world: World) -> Judged:
    judged = Judged(world)
    judged.judge(BOB, (), ALLOW_ALL)
    judged.apply()
    return judged


@pytest.fixture
def collector(judged: Judged, bpffs: Path) -> Collector:
    ports = {judged.world.ifindexes[each.device]: port_of(each) for each in WORKLOADS}
    store = MemoryStore([Network(id=RED_ID, name="red", vni=Vni(RED))])
    return Collector(store, bpffs, FlowLimits(), ports.get, FlowLog(None))


ALL = FlowsAsked()


def told(collector: Collector, asked: FlowsAsked = ALL) -> list[FlowSeen]:
    return list(asyncio.run(collector.told(asked)).flows)


def sweep(collector: Collector, times: int = 1) -> float:
    async def sweeps() -> float:
        return [await collector._sweep() for _ in range(times)][-1]

    return asyncio.run(sweeps())


def await_tick() -> None:
    """Until the clock of the entries has moved on."""
    before = now()
    while now() == before:
        pass


def exchange(judged: Judged, version: int = 4, port: int = 4000, answered: bool = True) -> None:
    judged.world.send(ANN, segment(ANN, BOB, SYN, (port, 80), version=version))
    if answered:
        back = segment(BOB, ANN, SYN_ACK, (80, port), version=version)
        judged.world.send(BOB, back)
        judged.world.send(ANN, segment(ANN, BOB, ACK, (port, 80), version=version))


@VERSIONS
def test_a_connection_is_told_once_with_both_its_directions(
    judged: Judged, collector: Collector, version: int
) -> None:
    before_s = time.time()
    exchange(judged, version)
    (flow,) = told(collector)
    ends = (ANN.ipv4, BOB.ipv4) if version == 4 else (ANN.ipv6, BOB.ipv6)
    assert (str(flow.source), str(flow.destination)) == ends
    assert (flow.protocol, flow.source_port, flow.destination_port) == (6, 4000, 80)
    assert (flow.state, flow.network_id, flow.denied_by) == (FlowWord.ESTABLISHED, "red", None)
    assert (flow.packets, flow.answer_packets) == (2, 1)
    assert flow.octets == 2 * flow.answer_octets
    assert before_s - 0.1 <= flow.began_s <= flow.seen_s <= time.time() + 0.1
    assert flow.ended_s is None


@VERSIONS
def test_ping_is_told_with_its_answers(judged: Judged, collector: Collector, version: int) -> None:
    judged.world.send(ANN, echo(ANN, BOB, version=version))
    judged.world.send(BOB, echo(BOB, ANN, version=version, is_answer=True))
    (flow,) = told(collector)
    assert flow.destination_port == (8 << 8 if version == 4 else 128 << 8)
    assert (flow.packets, flow.answer_packets) == (1, 1)


@VERSIONS
def test_what_ends_is_remembered_with_its_last_counts(
    judged: Judged, collector: Collector, version: int
) -> None:
    exchange(judged, version)
    (before,) = told(collector)
    judged.age(FlowLimits().tcp_established_s + 1)
    sweep(collector, 2)
    assert judged.flows() == {}
    assert told(collector) == []
    (flow,) = told(collector, FlowsAsked(since_s=7 * 86400.0))
    assert (flow.packets, flow.answer_packets) == (2, 1)
    assert (flow.octets, flow.answer_octets) == (before.octets, before.answer_octets)
    assert flow.ended_s is not None
    assert flow.ended_s - flow.seen_s == pytest.approx(FlowLimits().tcp_established_s, abs=5)
    assert told(collector, FlowsAsked(since_s=60.0)) == [], "it was seen hours ago"
    assert collector.table.ended == 2


@VERSIONS
def test_one_sweep_removes_nothing_that_another_program_may_read(
    judged: Judged, collector: Collector, version: int
) -> None:
    exchange(judged, version)
    judged.age(FlowLimits().tcp_established_s + 1)
    sweep(collector)
    assert [flow.generation for flow in judged.flows().values()] == [0, 0]
    assert told(collector) == []
    (flow,) = told(collector, FlowsAsked(since_s=7 * 86400.0))
    assert flow.ended_s is not None


@VERSIONS
def test_denied_attempts_are_told_while_they_last_and_afterwards(
    judged: Judged, collector: Collector, version: int
) -> None:
    judged.judge(BOB, [1], NONE)
    judged.apply(Rule(3, 1, INGRESS, None, RuleAction.RULE_DROP, HTTP))
    rule = layouts.Rule(uuid.UUID(RULE_ID).bytes).encode()
    judged.world.put("rules_v1", struct.pack("<I", 3), rule)
    for _ in range(3):
        judged.world.send(ANN, segment(ANN, BOB, SYN, version=version))
    denied = FlowsAsked(is_denied=True)
    for _ in range(2):
        (flow,) = told(collector, denied)
        assert (flow.state, flow.denied_by) == (FlowWord.DENIED, Denial.INGRESS)
        assert (flow.ingress_rule, flow.egress_rule, flow.packets) == (RULE_ID, None, 3)
        judged.age(2)
        sweep(collector, 2)
    assert judged.flows() == {}
    assert told(collector, FlowsAsked(is_denied=False, since_s=60.0)) == []


def test_what_is_asked_for_is_chosen(judged: Judged, collector: Collector) -> None:
    exchange(judged)
    judged.world.send(CYD, segment(CYD, BOB, version=6))
    ann, cyd = ip_address(ANN.ipv4), ip_address(CYD.ipv6)

    def sources(asked: FlowsAsked) -> set[object]:
        return {flow.source for flow in told(collector, asked)}

    assert sources(FlowsAsked()) == {ann, cyd}
    assert sources(FlowsAsked(addresses=(ann,))) == {ann}
    assert sources(FlowsAsked(addresses=(ip_address(BOB.ipv6),))) == {cyd}
    assert sources(FlowsAsked(network_ids=("red",))) == {ann, cyd}
    assert sources(FlowsAsked(network_ids=("blue",))) == set()
    assert sources(FlowsAsked(is_denied=False)) == {ann, cyd}
    assert sources(FlowsAsked(is_denied=True)) == set()


def test_of_many_the_last_ones_are_told(judged: Judged, collector: Collector) -> None:
    exchange(judged, port=4000, answered=False)
    judged.age(3)
    for port in (4001, 4002):
        exchange(judged, port=port, answered=False)
    answer: Told = asyncio.run(collector.told(FlowsAsked(most=2)))
    assert not answer.is_whole
    assert {flow.source_port for flow in answer.flows} == {4001, 4002}
    assert asyncio.run(collector.told(FlowsAsked(most=3))).is_whole


def test_who_follows_hears_of_each_once(judged: Judged, collector: Collector) -> None:
    async def follow() -> tuple[list[int], list[int]]:
        begun: list[int] = []
        ended: list[int] = []
        follower = collector.follow()
        await collector._sweep()
        for port in (4000, 4001):
            exchange(judged, port=port, answered=False)
            await_tick()
            await collector._sweep()
        judged.age(FlowLimits().tcp_new_s + 1)
        for _ in range(3):
            await collector._sweep()
        async with asyncio.timeout(5):
            async for news in follower.news():
                begun += [flow.source_port for flow in news.begun]
                ended += [flow.source_port for flow in news.ended]
                return begun, ended
        raise AssertionError

    begun, ended = asyncio.run(follow())
    assert begun == [4000, 4001]
    assert sorted(ended) == [4000, 4001]


def test_another_weftd_goes_on_where_one_ended(
    judged: Judged, collector: Collector, bpffs: Path
) -> None:
    exchange(judged)
    judged.age(FlowLimits().tcp_established_s + 1)
    sweep(collector)
    later = Collector(MemoryStore([]), bpffs, FlowLimits(), lambda _: None, FlowLog(None))
    sweep(later)
    assert judged.flows() == {}
    (flow,) = told(later, FlowsAsked(since_s=7 * 86400.0))
    assert flow.network_id is None, "no record says so any more"


def test_a_table_that_is_nearly_full_lets_go_of_what_nobody_answers(
    judged: Judged, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange(judged, port=4000)
    exchange(judged, port=4001, answered=False)
    judged.age(7)
    sweep(collector, 2)
    assert len(judged.flows()) == 4
    monkeypatch.setattr("weft.observers.flows.sweep.FULL", 4 / 131072)
    sweep(collector, 3)
    assert len(judged.flows()) == 2
    assert {flow.source_port for flow in told(collector)} == {4000}


def test_the_table_is_told(judged: Judged, collector: Collector) -> None:
    made = collector.table.made
    exchange(judged)
    judged.world.send(ANN, datagram(ANN, BOB, version=6))
    sweep(collector)
    table = collector.table
    assert (table.entries, table.room) == ({4: 2, 6: 2}, {4: 131072, 6: 131072})
    assert table.made - made >= 4
    assert (table.refused, table.over_share) == (0, 0)


def test_without_programs_nothing_is_told(tmp_path: Path) -> None:
    collector = Collector(MemoryStore([]), tmp_path, FlowLimits(), lambda _: None, FlowLog(None))
    assert sweep(collector) == AGAIN_S
    with pytest.raises(KernelError, match="flows4_v1"):
        told(collector)


def test_ports_that_are_not_judged_have_no_connections(
    judged: Judged, collector: Collector
) -> None:
    judged.world.send(ANN, segment(ANN, CYD))
    assert told(collector) == []


def test_what_rules_have_done_is_counted(judged: Judged, collector: Collector) -> None:
    judged.judge(BOB, [1], NONE)
    judged.apply(
        Rule(3, 1, INGRESS, None, RuleAction.RULE_ALLOW, HTTP),
        Rule(4, 1, INGRESS, None, RuleAction.RULE_DROP, DNS),
    )
    rule = layouts.Rule(uuid.UUID(RULE_ID).bytes).encode()
    judged.world.put("rules_v1", struct.pack("<I", 3), rule)
    before = {each.id: each for each in asyncio.run(collector.rule_counts())}
    exchange(judged)
    judged.world.send(ANN, datagram(ANN, BOB))
    after = {each.id: each for each in asyncio.run(collector.rule_counts())}
    assert after[RULE_ID] == RuleCount(RULE_ID, 1, 0)
    assert RULE_ID not in before
    assert after[None].drops - (before[None].drops if None in before else 0) == 1
