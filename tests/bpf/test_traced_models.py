"""A trace, `weft policy test` and a real packet say the same, whatever the rules are."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest

from tests.bpf.enforced import HERE, LOCAL, THERE, Enforced, port_of
from tests.bpf.overlay import FAR, HUGO, IDA, OWN4, PORT, coming, encode, set_tunnel, vxlan
from tests.bpf.random_policy import RandomPolicy
from tests.bpf.test_enforcement import emptied
from tests.bpf.test_enforcement_models import FIRST, Flow, Traffic, frame, says
from tests.bpf.world import ANN, RED, World
from weft.control.answers.policy_test import try_flow
from weft.errors import InvalidError, WeftError
from weft.kernel.bpf.layouts import TunnelFlag
from weft.model.ids import HostId
from weft.model.records import Host, Port
from weft.observers.traces.packets import outer_of
from weft.observers.traces.seen import Asked, End, Move, Moved, Moving, Packet
from weft.observers.traces.tracer import Tracer
from weft.store.interface import Put

MODELS = int(os.environ.get("WEFT_TEST_MODELS", "12")) // 4
CHANGES, FLOWS = 6, 12
DHCP_SERVERS = (67, 547)
CHANCE = random.Random(1)
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
    sender, _, source, destination, packet = flow
    if sender not in LOCAL:
        return Moving(Move.ARRIVED, frame=coming(HUGO, 4, vxlan(RED, frame(flow))))
    made = Packet(
        packet.protocol,
        source,
        destination,
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
        assert not enforced.change(*policy.changes(enforced.store, FIRST if not change else 2))
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
    found = try_flow(enforced.store, one, other, lambda version: flow.packet, flow.source.version)
    return found.verdict == "allowed"


def test_hostile_moves_are_refused_or_told_of(enforced: Enforced, traced: Traced) -> None:
    """Whatever another host asks, it gets an answer with bounds, or a reason."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    enforced.change(*RandomPolicy(chance).changes(enforced.store, 12))
    traffic, before = Traffic(chance), counted(enforced)
    told = refused = 0
    for _ in range(150):
        raw = bytearray(coming(HUGO, 4, vxlan(RED, frame(traffic.flow()))))
        for _ in range(chance.randrange(6)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        cut = bytes(raw[: chance.choice([len(raw), len(raw), chance.randrange(len(raw))])])
        is_encrypted = chance.random() < 0.3
        moves = [Moving(Move.ARRIVED, frame=cut, is_encrypted=is_encrypted), Moving(Move.ANSWERED)]
        try:
            moved = traced(Asked(tuple(moves)))
        except WeftError:
            refused += 1
            continue
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(moved), type=list[Moved]) == [*moved]
        told += 1
    assert told and refused, f"seed {seed}"
    assert counted(enforced) == before, f"seed {seed}"


def counted(enforced: Enforced) -> object:
    names = ("counters_v2", "drops_v1", "flows4_v1", "flows6_v1", "rule_counts_v1")
    return [enforced.world.plane.maps[name].read() for name in names]


@pytest.mark.parametrize(
    "moving",
    [
        Moving(Move.SENT),
        Moving(Move.SENT, port_id="nobody"),
        Moving(Move.SENT, port_id=port_of(FAR).id),
        Moving(Move.SENT, port_id=port_of(ANN).id),
        Moving(Move.ENTERED),
        Moving(Move.ENTERED, packet=Packet(6, ip_address("10.1.0.1"), ip_address("::1"))),
        Moving(Move.ARRIVED),
        Moving(Move.ARRIVED, frame=bytes(2048)),
    ],
)
def test_moves_without_sense_are_refused(traced: Traced, moving: Moving) -> None:
    with pytest.raises(InvalidError):
        traced(Asked((moving,)))


def test_nothing_answers_what_nobody_got(traced: Traced) -> None:
    assert list(traced(Asked((Moving(Move.ANSWERED),)))) == []


@pytest.mark.parametrize("local", ["", OWN4])
def test_what_the_kernels_device_packs_is_followed(
    enforced: Enforced, traced: Traced, local: str
) -> None:
    """Where the next hop of a tunnel is not known, weftx has it, and no program sees the outer
    header."""
    source = encode(local) if local else bytes(16)
    set_tunnel(enforced.world, HUGO, 4, flags=TunnelFlag.TUNNEL_DEVICE, local=source)
    for id, name, address in ((HERE, "here", OWN4), (THERE, "there", HUGO.ipv4)):
        enforced.store.apply([Put(Host(id=id, name=name, underlay=(ip_address(address),)))])
    packet = Packet(17, ip_address(ANN.ipv4), ip_address(FAR.ipv4), 9, 9)
    (moved,) = traced(Asked((Moving(Move.SENT, port_id=port_of(ANN).id, packet=packet),)))
    assert (moved.end, moved.host_id) == (End.WIRE, THERE)
    outer = outer_of(moved.frame)
    assert outer is not None
    assert outer[:4] == (ip_address(OWN4), ip_address(HUGO.ipv4), RED, 0)
    tunnel = f"VXLAN to host there: VNI {RED}, {OWN4} to {HUGO.ipv4} by weftx"
    assert [stage.decision for stage in moved.stages if stage.stage == "tunnel"] == [tunnel]


def test_what_is_for_a_third_host_is_relayed(enforced: Enforced, traced: Traced) -> None:
    ida = HostId(f"{IDA.tag:08x}00000000")
    enforced.store.apply([Put(Host(id=ida, name="ida", underlay=(ip_address(IDA.ipv4),)))])
    flow = Traffic(CHANCE).flow()
    frame_of = vxlan(RED, frame(flow), tag=IDA.tag)
    (moved,) = traced(Asked((Moving(Move.ARRIVED, frame=coming(HUGO, 4, frame_of)),)))
    assert (moved.end, moved.host_id) == (End.WIRE, ida)
    outer = outer_of(moved.frame)
    assert outer is not None
    assert (outer.destination, outer.tag, outer.frame) == (ip_address(IDA.ipv4), 0, frame(flow))


async def test_a_trace_that_is_given_up_holds_up_no_other(enforced: Enforced, bpffs: Path) -> None:
    tracer = Tracer(enforced.store, HERE, bpffs, PORT, lambda ifindex: None)
    moving = Moving(Move.ARRIVED, frame=coming(HUGO, 4, vxlan(RED, frame(Traffic(CHANCE).flow()))))
    given_up = [asyncio.ensure_future(tracer.told(Asked((moving,)))) for _ in range(3)]
    await asyncio.sleep(0)
    for each in given_up:
        each.cancel()
    (moved,) = await tracer.told(Asked((moving,)))
    assert moved.stages[0].stage == "wire"
    assert all(each.cancelled() for each in given_up)
    tracer.close()
