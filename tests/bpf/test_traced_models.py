"""A trace, `weft policy test` and a real packet say the same, whatever the rules are."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.bpf.enforced import HERE, LOCAL, Enforced, port_of
from tests.bpf.overlay import HUGO, PORT, coming, vxlan
from tests.bpf.random_policy import RandomPolicy
from tests.bpf.test_enforcement import emptied
from tests.bpf.test_enforcement_models import Flow, Traffic, frame, says
from tests.bpf.world import RED, World
from weft.control.answers.policy_test import try_flow
from weft.model.records import Port
from weft.observers.traces.seen import Asked, End, Move, Moved, Moving, Packet
from weft.observers.traces.tracer import Tracer

MODELS = int(os.environ.get("WEFT_TEST_MODELS", "12")) // 4
CHANGES, FLOWS = 6, 12
DHCP_SERVERS = (67, 547)
Traced = Callable[[Asked], Sequence[Moved]]


@pytest.fixture
def enforced(world: World) -> Iterator[Enforced]:
    yield from emptied(world)


@pytest.fixture
def traced(enforced: Enforced, bpffs: Path) -> Iterator[Traced]:
    """What a host makes of moves. Its threads are in the namespace of the one that starts them."""
    by_device = {workload.device: port_of(workload).id for workload in LOCAL}

    def port_behind(ifindex: int) -> Port | None:
        id = by_device.get(enforced.world.names.get(ifindex, ""))
        return enforced.store.get(Port, id) if id is not None else None

    tracer = Tracer(enforced.store, HERE, bpffs, PORT, port_behind)
    with asyncio.Runner() as runner:
        yield lambda asked: runner.run(tracer.told(asked))
        tracer.close()


def moving(flow: Flow) -> Moving:
    sender, _, version, packet = flow
    if sender not in LOCAL:
        return Moving(Move.ARRIVED, frame=coming(HUGO, 4, vxlan(RED, frame(flow))))
    source, destination = (each.ipv4 if version == 4 else each.ipv6 for each in flow[:2])
    made = Packet(
        packet.protocol,
        ip_address(source),
        ip_address(destination),
        packet.source_port,
        packet.destination_port,
        packet.icmp_type or 0,
    )
    return Moving(Move.SENT, port_id=port_of(sender).id, packet=made)


@pytest.mark.parametrize("turn", range(MODELS))
def test_trace_policy_test_and_packet_agree(enforced: Enforced, traced: Traced, turn: int) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    policy, traffic = RandomPolicy(chance), Traffic(chance)
    for change in range(CHANGES):
        assert not enforced.change(*policy.changes(enforced.store, 12 if not change else 2))
        for flow in (traffic.flow() for _ in range(FLOWS)):
            note = f"seed {seed}, change {change}: {flow}"
            moved, *answers = traced(Asked((moving(flow), Moving(Move.ANSWERED))))
            wanted = says(enforced, flow)
            assert (moved.end in (End.DELIVERED, End.WIRE)) == wanted, f"{note} {moved}"
            assert moved.end in (End.DELIVERED, End.WIRE) or moved.reason == "policy", note
            if flow.packet.destination_port not in DHCP_SERVERS:  # which no workload may be
                assert all(each.end in (End.DELIVERED, End.WIRE) for each in answers), note
            assert len(answers) == (moved.end is End.DELIVERED), note
            if flow.sender in LOCAL and flow.target in LOCAL:
                assert says_policy_test(enforced, flow) == wanted, note
            assert enforced.is_sent(flow.sender, flow.target, frame(flow)) == wanted, note


def says_policy_test(enforced: Enforced, flow: Flow) -> bool:
    one, other = (port_of(each).id for each in flow[:2])
    found = try_flow(enforced.store, one, other, lambda version: flow.packet, flow.version)
    return found.verdict == "allowed"
