"""A packet is followed from host to host, as far as these tell; whatever they tell, it ends."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from weft.cluster.inquiry import UnansweredError, Why
from weft.model.ids import HostId
from weft.model.records import Host
from weft.observers.traces.following import MOST_LEGS, Following, Trace
from weft.observers.traces.seen import (
    MOST_MOVES,
    MOST_STAGES,
    Asked,
    End,
    Move,
    Moved,
    Moving,
    Stage,
)
from weft.store.memory import MemoryStore

A, B, C = (HostId(letter * 16) for letter in "abc")
FIRST = Moving(Move.SENT, port_id="p1")
DELIVERED, DROPPED = Moved(End.DELIVERED, ()), Moved(End.DROPPED, (), reason="policy")


def to(host: str | None) -> Moved:
    return Moved(End.WIRE, (), host_id=host, frame=b"frame")


class Hosts:
    """What each host tells of its moves, one after the other; or why it does not."""

    def __init__(self, **told: Sequence[Moved] | Exception) -> None:
        self.told = {HostId(name * 16): each for name, each in told.items()}
        self.asked: list[tuple[str, list[str]]] = []

    async def tell(self, host: HostId, asked: Asked) -> Sequence[Moved]:
        self.asked.append((host[0], [moving.move.value for moving in asked.moves]))
        told = self.told[host]
        if isinstance(told, Exception):
            raise told
        return told[: len(asked.moves)]

    async def follow(self, *, is_one_way: bool = False) -> Trace:
        store = MemoryStore([Host(id=id, name=id[0]) for id in (A, B, C)])
        return await Following(store, self.tell).follow(A, FIRST, is_one_way=is_one_way)


def ways(trace: Trace) -> list[tuple[str, bool, str]]:
    return [(leg.host_id[0], leg.is_answer, leg.moved.end.value) for leg in trace.legs]


async def test_on_one_host_packet_and_answer_are_one_inquiry() -> None:
    hosts = Hosts(a=[DELIVERED, DELIVERED])
    trace = await hosts.follow()
    assert ways(trace) == [("a", False, "delivered"), ("a", True, "delivered")]
    assert hosts.asked == [("a", ["sent", "answered"])]
    assert trace.is_through and trace.silence is None


async def test_the_answer_comes_back_to_a_host_that_is_told_the_packet_again() -> None:
    hosts = Hosts(a=[to(B), DELIVERED], b=[DELIVERED, to(A)])
    hosts.told[A] = [to(B)]

    async def tell(host: HostId, asked: Asked) -> Sequence[Moved]:
        if host == A and len(asked.moves) == 2 and asked.moves[1].move is Move.ARRIVED:
            hosts.told[A] = [to(B), DELIVERED]
        return await hosts.tell(host, asked)

    store = MemoryStore([Host(id=id, name=id[0]) for id in (A, B)])
    trace = await Following(store, tell).follow(A, FIRST)
    assert ways(trace) == [
        ("a", False, "wire"),
        ("b", False, "delivered"),
        ("b", True, "wire"),
        ("a", True, "delivered"),
    ]
    assert hosts.asked == [
        ("a", ["sent", "answered"]),
        ("b", ["arrived", "answered"]),
        ("a", ["sent", "arrived"]),
    ]
    assert trace.is_through


async def test_one_way_asks_for_no_answer() -> None:
    hosts = Hosts(a=[DELIVERED, DROPPED])
    trace = await hosts.follow(is_one_way=True)
    assert (ways(trace), trace.is_through) == ([("a", False, "delivered")], True)


async def test_what_is_dropped_is_not_through() -> None:
    assert not (await Hosts(a=[DROPPED]).follow()).is_through
    trace = await Hosts(a=[DELIVERED, DROPPED]).follow()
    assert (trace.end, trace.answer_end, trace.is_through) == (
        End.DELIVERED,
        End.DROPPED,
        False,
    )


async def test_a_host_that_does_not_answer_ends_it_there() -> None:
    down = UnansweredError(Why.NO_WAY, "there is no way to it")
    trace = await Hosts(a=[to(B)], b=down).follow()
    assert ways(trace) == [("a", False, "wire")]
    assert trace.silence == (B, "there is no way to it")
    assert (trace.end, trace.is_through) == (None, False)


@pytest.mark.parametrize("host", [None, "f" * 16])
async def test_to_no_host_it_is_lost(host: str | None) -> None:
    trace = await Hosts(a=[to(host)]).follow()
    assert trace.silence is not None and trace.silence.host_id is None


async def test_hosts_that_send_in_a_circle_are_left() -> None:
    class Circle(Hosts):
        async def tell(self, host: HostId, asked: Asked) -> Sequence[Moved]:
            self.asked.append((host[0], []))
            return [to(B if host == A else A)] * len(asked.moves)

    for circle in (Circle(), Hosts(a=[to(A)] * MOST_MOVES)):
        trace = await circle.follow()
        assert trace.silence is not None and "circle" in trace.silence.reason
        assert len(circle.asked) <= 2 * MOST_LEGS


async def test_an_answer_in_a_circle_is_left() -> None:
    class Circle(Hosts):
        async def tell(self, host: HostId, asked: Asked) -> Sequence[Moved]:
            self.asked.append((host[0], []))
            there = to(B if host == A else A)
            is_first = asked.moves[-1].move is Move.ANSWERED
            return [DELIVERED if is_first else there, *[there] * (len(asked.moves) - 1)]

    circle = Circle()
    trace = await circle.follow()
    assert not trace.is_through
    assert len(circle.asked) <= 2 * MOST_LEGS


@pytest.mark.parametrize("count", [0, 3, 30])
async def test_an_answer_about_other_packets_is_none(count: int) -> None:
    class Liar(Hosts):
        async def tell(self, host: HostId, asked: Asked) -> Sequence[Moved]:
            return [DELIVERED] * count

    trace = await Liar().follow()
    assert (trace.legs, trace.is_through) == ((), False)


@pytest.mark.parametrize(
    "moved",
    [
        Moved(End.WIRE, (), frame=bytes(5000)),
        Moved(End.WIRE, (Stage("tunnel", "x"),) * (MOST_STAGES + 1)),
        Moved(End.WIRE, (Stage("tunnel", "x" * 5000),)),
        Moved(End.WIRE, (Stage("tunnel", "x\x1b[2J"),)),
        Moved(End.WIRE, (Stage("Tunnel", "x"),)),
        Moved(End.DROPPED, (), reason="no\nsuch"),
        Moved(End.DROPPED, (), fix="rm -rf\n"),
        Moved(End.WIRE, (), host_id="nobody"),
    ],
)
def test_what_another_host_tells_has_bounds(moved: Moved) -> None:
    raw = msgspec.msgpack.encode(moved)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(raw, type=Moved)


def test_what_is_told_comes_through_as_it_is() -> None:
    moved = Moved(
        End.REJECTED,
        (Stage("egress", "dropped", "security-rule", "r1"), Stage("drop", "x")),
        "policy",
        "say so",
        "p1",
        A,
        b"frame",
        True,
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(moved), type=Moved) == moved
    asked = Asked((FIRST, Moving(Move.ARRIVED, frame=b"x"), Moving(Move.ANSWERED)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(asked), type=Asked) == asked
