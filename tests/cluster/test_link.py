"""What keeps a link alive, on a clock that moves when told."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import cast

from weft.cluster.connection import Connection
from weft.cluster.frames import Frame, Kind
from weft.cluster.greeting import Hello
from weft.cluster.link import Link, LinkEvents, Pace
from weft.cluster.tls_transport import TICK_S

PACE = Pace()
ID = "a" * 16


class Clock:
    """For everybody."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Wire:
    """One end of a connection: what is sent is at the other end at once, unless that is cut."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.peer = ip_address("127.0.0.1"), 6782
        self.is_lost = False
        self.is_cut = False
        self.received_at_s = clock()
        self.sent: Counter[Kind] = Counter()
        self.other: End

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        self.sent[kind] += 1
        if not self.is_cut:
            self.other.wire.received_at_s = self.clock()
            self.other.link._on_frame(Frame(kind, payload))

    def abort(self, error: Exception) -> None:
        self.is_lost = True


class End:
    """A host's link."""

    def __init__(self, clock: Clock) -> None:
        self.wire = Wire(clock)
        hello = Hello(
            protocol=1,
            oldest_protocol=1,
            host_id=ID,
            name="other",
            version="1",
            cluster_id=ID,
            is_cluster_certain=True,
            instance="i",
            boot_id="b",
            secret_id=ID,
            secret_serial=1,
        )
        self.link = Link(cast(Connection, self.wire), hello, None, ID, clock, clock)
        self.link._events = cast(LinkEvents, object())


def pair() -> tuple[Clock, End, End]:
    clock = Clock()
    one, other = End(clock), End(clock)
    one.wire.other, other.wire.other = other, one
    return clock, one, other


def pass_time(clock: Clock, seconds: float, one: End, other: End) -> None:
    """Both look at their link from time to time, not at the same."""
    end_s = clock.now_s + seconds
    while clock.now_s < end_s:
        clock.now_s += 0.4 * TICK_S
        one.link.tick(PACE)
        clock.now_s += 0.6 * TICK_S
        other.link.tick(PACE)


def test_one_ping_a_turn_keeps_both_ends_of_a_link_alive() -> None:
    clock, one, other = pair()
    pass_time(clock, 600, one, other)
    assert not one.wire.is_lost and not other.wire.is_lost
    pings = one.wire.sent[Kind.PING] + other.wire.sent[Kind.PING]
    assert pings <= 600 / PACE.ping_s + 2 * 600 / PACE.sample_s


def test_both_ends_know_the_round_trip_and_the_others_clock() -> None:
    clock, one, other = pair()
    pass_time(clock, 1, one, other)
    assert one.link.info().rtt_s == 0 and other.link.info().clock_offset_s == 0
    pass_time(clock, 600, one, other)
    for end in (one, other):
        assert end.wire.sent[Kind.PING] >= 600 / PACE.sample_s


def test_a_link_on_which_much_arrives_is_pinged_for_its_round_trip_alone() -> None:
    clock, one, other = pair()
    for _ in range(600):
        one.wire.received_at_s = other.wire.received_at_s = clock()
        pass_time(clock, 1, one, other)
    assert one.wire.sent[Kind.PING] <= 600 / PACE.sample_s + 1


def test_a_link_on_which_nothing_arrives_any_more_ends_as_soon_as_ever() -> None:
    clock, one, other = pair()
    pass_time(clock, 60, one, other)
    other.wire.is_cut = True
    pass_time(clock, PACE.dead_s + 2 * PACE.ping_s, one, other)
    assert one.wire.is_lost
    assert not other.wire.is_lost
