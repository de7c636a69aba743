"""Flows that are over are ended, and then removed; what was used in the meantime is not."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.bpf.judged import (
    ACK,
    ALLOW_ALL,
    FIN,
    NONE,
    RST,
    SYN,
    SYN_ACK,
    Judged,
    datagram,
    echo,
    segment,
)
from tests.bpf.world import ANN, BOB, CYD, Workload, World
from weft.kernel.bpf.flow_limits import FlowLimits
from weft.kernel.bpf.flow_table import MAPS, FlowTable, Hold, now
from weft.kernel.bpf.layouts import Collected, CollectFlag, FlowState
from weft.kernel.bpf.maps import BATCH

END, REMOVE = CollectFlag.COLLECT_END, CollectFlag.COLLECT_REMOVE
CROWDED = CollectFlag.COLLECT_CROWDED
LIVES, ENDED = Collected.COLLECTED_LIVES, Collected.COLLECTED_ENDED
REMOVED, GONE = Collected.COLLECTED_REMOVED, Collected.COLLECTED_GONE
LIMITS = FlowLimits()
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture
def judged(world: World) -> Judged:
    judged = Judged(world)
    judged.judge(BOB, (), ALLOW_ALL)
    judged.apply()
    return judged


@pytest.fixture
def table(judged: Judged, bpffs: Path) -> Iterator[FlowTable]:
    with FlowTable(bpffs) as table:
        yield table


def keys(judged: Judged, version: int) -> list[bytes]:
    return list(judged.world.plane.maps[MAPS[version == 6]].read())


def collect(
    table: FlowTable, judged: Judged, work: CollectFlag, version: int = 4
) -> list[Collected]:
    family = CollectFlag.COLLECT_IPV6 if version == 6 else CollectFlag(0)
    return table.collect(keys(judged, version), work | family)


def exchange(judged: Judged, version: int, *flags: int) -> None:
    """A connection; every second segment comes back."""
    for number, each in enumerate(flags):
        one, other, ports = (BOB, ANN, (80, 4000)) if number % 2 else (ANN, BOB, (4000, 80))
        judged.world.send(one, segment(one, other, each, ports, version=version))


@VERSIONS
@pytest.mark.parametrize(
    "flags, seconds",
    [
        ((SYN,), LIMITS.tcp_new_s),
        ((SYN, SYN_ACK), LIMITS.tcp_established_s),
        ((SYN, SYN_ACK, FIN | ACK), LIMITS.tcp_closing_s),
        ((SYN, SYN_ACK, FIN | ACK, FIN | ACK), LIMITS.tcp_closed_s),
        ((SYN, RST), LIMITS.tcp_closed_s),
    ],
)
def test_a_flow_is_ended_after_its_time_and_then_removed(
    judged: Judged, table: FlowTable, version: int, flags: Sequence[int], seconds: int
) -> None:
    exchange(judged, version, *flags)
    assert len(judged.flows()) == 2
    judged.age(seconds - 1)
    assert collect(table, judged, END, version) == [LIVES, LIVES]
    assert all(flow.generation for flow in judged.flows().values())
    judged.age(3)
    assert collect(table, judged, REMOVE, version) == [LIVES, LIVES], "it has not been ended"
    assert collect(table, judged, END, version) == [ENDED, ENDED]
    assert not any(flow.generation for flow in judged.flows().values())
    assert collect(table, judged, REMOVE, version) == [REMOVED, REMOVED]
    assert judged.flows() == {}


@VERSIONS
def test_a_packet_saves_what_was_ended(judged: Judged, table: FlowTable, version: int) -> None:
    exchange(judged, version, SYN)
    judged.age(LIMITS.tcp_new_s + 2)
    collect(table, judged, END, version)
    judged.world.send(BOB, segment(BOB, ANN, SYN_ACK, (80, 4000), version=version))
    exchange(judged, version, SYN)
    assert collect(table, judged, REMOVE, version) == [LIVES, LIVES]


@VERSIONS
def test_both_directions_are_over_together(judged: Judged, table: FlowTable, version: int) -> None:
    """What comes back seldom goes on as long as something is sent."""
    packet = datagram(ANN, BOB, version=version)
    judged.world.send(ANN, packet)
    judged.age(LIMITS.udp_new_s + 2)
    judged.world.send(ANN, packet)
    judged.age(LIMITS.udp_new_s - 2)
    assert collect(table, judged, END, version) == [LIVES, LIVES]


@VERSIONS
def test_of_ping_and_of_what_nothing_answers(
    judged: Judged, table: FlowTable, version: int
) -> None:
    judged.world.send(ANN, echo(ANN, BOB, version=version))
    judged.world.send(BOB, echo(BOB, ANN, version=version, is_answer=True))
    judged.age(LIMITS.icmp_s - 2)
    judged.world.send(ANN, echo(ANN, BOB, version=version))
    judged.age(5)
    assert collect(table, judged, END, version) == [LIVES, LIVES], "the answer's entry is idle"
    judged.age(LIMITS.icmp_s)
    assert set(collect(table, judged, END, version)) == {ENDED}


@VERSIONS
def test_what_is_denied_goes_after_a_second(judged: Judged, table: FlowTable, version: int) -> None:
    judged.judge(BOB, (), NONE)
    judged.apply()
    exchange(judged, version, SYN)
    assert collect(table, judged, END, version) == [LIVES]
    judged.age(LIMITS.denied_s + 1)
    assert collect(table, judged, END, version) == [ENDED]
    assert collect(table, judged, REMOVE, version) == [REMOVED]


@VERSIONS
def test_in_a_crowd_what_nobody_has_answered_goes_early(
    judged: Judged, table: FlowTable, version: int
) -> None:
    exchange(judged, version, SYN)
    judged.world.send(ANN, segment(ANN, BOB, SYN, (4001, 80), version=version))
    judged.world.send(BOB, segment(BOB, ANN, SYN_ACK, (80, 4001), version=version))
    judged.age(7)
    assert set(collect(table, judged, END, version)) == {LIVES}
    assert sorted(collect(table, judged, END | CROWDED, version)) == [LIVES, LIVES, ENDED, ENDED]
    assert set(judged.states().values()) == {FlowState.FLOW_NEW, FlowState.FLOW_ESTABLISHED}


@VERSIONS
@pytest.mark.parametrize("spared", [ANN, BOB, CYD])
def test_what_no_rules_are_asked_about_any_more_goes_at_once(
    judged: Judged, table: FlowTable, version: int, spared: Workload
) -> None:
    """One end with rules is enough, whichever began the connection."""
    rest = {ANN, BOB, CYD} - {spared}
    for each in rest:
        judged.judge(each, (), ALLOW_ALL)
    judged.spare(spared)
    judged.apply()
    for one in rest:
        judged.world.send(one, datagram(one, spared, version=version))
    assert table.judged() == {judged.world.ifindexes[each.device] for each in rest}
    assert set(collect(table, judged, END, version)) == {LIVES}
    for each in rest:
        judged.spare(each)
    judged.apply()
    assert table.judged() == set()
    assert set(collect(table, judged, END, version)) == {ENDED}
    assert set(collect(table, judged, REMOVE, version)) == {REMOVED}
    assert judged.flows() == {}


def test_what_is_not_there_is_gone(judged: Judged, table: FlowTable) -> None:
    assert table.collect([bytes(20)], END) == [GONE]


def test_many_at_once(judged: Judged, table: FlowTable) -> None:
    for port in range(4000, 4100):
        judged.world.send(ANN, segment(ANN, BOB, SYN, (port, 80)))
    judged.age(LIMITS.tcp_new_s + 2)
    assert collect(table, judged, END) == [ENDED] * 200
    assert collect(table, judged, REMOVE) == [REMOVED] * 200
    assert table.counts().made >= 200


@VERSIONS
def test_entries_count_for_who_begins(judged: Judged, table: FlowTable, version: int) -> None:
    ann = judged.world.ifindexes[ANN.device]
    exchange(judged, version, SYN)
    assert table.holds() == {ann: Hold(2, 0)}
    judged.world.send(CYD, segment(CYD, BOB, version=version))
    assert table.holds()[0] == Hold(2, 0), "it has no berth"
    judged.age(LIMITS.tcp_new_s + 2)
    collect(table, judged, END, version)
    collect(table, judged, REMOVE, version)
    assert table.holds() == {}


def test_a_port_has_no_more_than_its_share(judged: Judged, table: FlowTable) -> None:
    """What finds no room passes all the same, and others are kept out of nothing."""
    ann = judged.world.ifindexes[ANN.device]
    berth = judged.world.ifindexes[ANN.device] - 0x570000 + 1
    full = struct.pack("<II", LIMITS.flows_of_port, 0)
    judged.world.put("flow_holds_v1", struct.pack("<I", berth), full)
    assert judged.world.send(ANN, segment(ANN, BOB)).target == BOB.device
    assert judged.flows() == {}
    assert table.holds()[ann] == Hold(LIMITS.flows_of_port, 1)
    judged.world.send(BOB, segment(BOB, ANN))
    assert len(judged.flows()) == 2
    judged.age(7)
    assert set(collect(table, judged, END)) == {LIVES}, "it is another port that crowds"


def test_the_clock_is_the_programs_own(judged: Judged) -> None:
    before = now()
    judged.world.send(ANN, segment(ANN, BOB))
    after = now()
    for flow in judged.flows().values():
        assert (flow.created - before) % 2**32 <= (after - before) % 2**32


def test_batches_have_every_entry_once(judged: Judged, table: FlowTable) -> None:
    for port in range(300):
        judged.world.send(ANN, segment(ANN, BOB, SYN, (4000 + port, 80)))
    assert BATCH > 300
    found = [
        bytes(batch.keys[at * 20 : at * 20 + 20])
        for batch in table.batches(False)
        for at in range(batch.entries)
    ]
    assert len(found) == len(set(found)) == 600
