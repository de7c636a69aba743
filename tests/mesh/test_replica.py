"""What single schedules must lead to, each with its reason."""

from __future__ import annotations

from tests.mesh.drafts import SHORT, bodies, give, own, replica, shared
from tests.mesh.simulation import DAY_S, Cluster, live, origins_of
from weft.mesh import incarnations
from weft.mesh.delta import Span
from weft.mesh.digest import Digest
from weft.store.batch import Saved
from weft.store.entry import Entry, Key, Origin


def test_a_superseded_entry_leaves_the_log_and_marks_move() -> None:
    one, other = replica("a"), replica("b")
    for n in range(50):
        one.write([shared("x", b"%d" % n)])
    delta = one.missing_for(other.digest)
    assert delta is not None
    assert [entry.body for entry in delta.entries] == [b"49"]
    give(one, other)
    assert other.digest == one.digest
    assert one.missing_for(other.digest) is None


def test_a_delta_that_builds_on_what_was_not_seen_raises_no_mark() -> None:
    one, other = replica("a"), replica("b")
    one.write([shared("x", b"1")])
    seen = one.digest.copy()
    one.write([shared("y", b"2")])
    delta = one.missing_for(seen)
    assert delta is not None
    assert delta.spans == {one.origin: Span(1, 2)}
    assert other.merge(delta) is None
    assert len(other.digest) == 0
    give(one, other)
    assert live(other) == live(one)


def test_repetition_and_order_of_deltas_do_not_matter() -> None:
    one, other = replica("a"), replica("b")
    one.write([shared("x", b"1")])
    first = one.missing_for(Digest())
    one.write([shared("x", None)])
    second = one.missing_for(Digest())
    assert first is not None
    assert second is not None
    for delta in (second, first, second):
        assert other.merge(delta) is not None
    assert live(other) == {}


def test_nobody_can_overwrite_what_another_host_owns() -> None:
    one, other = replica("a"), replica("b")
    one.write([own("p", b"mine")])
    give(one, other)
    other.write([own("p", b"other"), own("p", None), shared("p", b"x")])
    give(other, one)
    held = one.get(Key("port", "p", "a"))
    assert held is not None
    assert held.body == b"mine"


def test_a_host_absent_for_longer_than_the_lifetime_brings_nothing_back() -> None:
    cluster = Cluster(3, 1, limits=SHORT)
    cluster.connect()
    a, b, c = cluster.hosts
    for n in range(8):
        a.write(shared(f"gone{n}", b"x"))
    a.write(shared("stays", b"x"))
    c.write(own("old", b"x"))
    cluster.run_until(cluster.is_one, 10)
    cluster.partition([[0, 1], [2]])
    for n in range(8):
        b.write(shared(f"gone{n}", None))
    c.write(shared("new", b"y"))
    c.write(own("old", None))
    cluster.run(30)
    for host in cluster.hosts:
        host.purge()
    assert not a.replica.purged.keys().isdisjoint(origins_of(a.replica, "h1"))
    cluster.check()
    assert {key.id for key in live(c.replica)} == {"stays", "new"}


def test_an_update_that_a_deletion_did_not_see_ends_alike_everywhere() -> None:
    """Even if the tombstone is gone at some hosts and not at others when the update arrives."""
    cluster = Cluster(4, 2, limits=SHORT)
    cluster.connect()
    a, b, _, d = cluster.hosts
    a.write(shared("x", b"1"))
    cluster.run_until(cluster.is_one, 10)
    cluster.partition([[0, 1, 2], [3]])
    d.write(shared("x", b"2"))
    cluster.run(1)
    b.write(shared("x", None))
    cluster.run(30)
    a.purge()
    b.purge()
    cluster.check()
    assert len(bodies(cluster, Key("network", "x", ""))) == 1


def test_an_update_wins_over_an_earlier_deletion_and_loses_to_a_later() -> None:
    for is_deletion_later in (True, False):
        cluster = Cluster(2, 3)
        cluster.connect()
        a, b = cluster.hosts
        a.write(shared("x", b"1"))
        cluster.run_until(cluster.is_one, 10)
        cluster.partition([[0], [1]])
        drafts = [shared("x", b"2"), shared("x", None)]
        for host, draft in zip((a, b), drafts if is_deletion_later else drafts[::-1], strict=True):
            host.write(draft)
            cluster.run(1)
        cluster.check()
        expected = None if is_deletion_later else b"2"
        assert bodies(cluster, Key("network", "x", "")) == {expected}


def test_a_clock_days_ahead_is_shown_and_pushes_nobody_else() -> None:
    cluster = Cluster(2, 9)
    cluster.connect()
    a, b = cluster.hosts
    a.skew_s = 3 * DAY_S
    a.write(shared("x", b"1"))
    cluster.run_until(cluster.is_one, 10)
    assert 2.9 * DAY_S < b.replica.skew_s["h0"] < 3.1 * DAY_S
    b.write(shared("y", b"2"))
    held = b.replica.get(Key("network", "y", ""))
    assert held is not None
    assert held.version.clock >> 16 < (b.wall_s() + DAY_S) * 1000
    b.write(shared("x", b"2"))
    cluster.check()
    assert bodies(cluster, Key("network", "x", "")) == {b"2"}


def test_a_number_that_was_given_twice_breaks_nothing() -> None:
    one, twin, reader = (
        replica("a", Saved(incarnation=7)),
        replica("a", Saved(incarnation=7)),
        replica("b"),
    )
    one.write([shared("x", b"1")])
    twin.write([shared("y", b"1")])
    for sender in (one, twin):
        delta = sender.missing_for(Digest())
        assert delta is not None
        assert reader.merge(delta._replace(scope="repair")) is not None
    assert len(live(reader)) == 2
    reader.write([shared("x", None), shared("y", None)])
    assert live(reader) == {}


def test_a_clock_days_ahead_pushes_nobody_after_a_restart_either() -> None:
    clock = int((1000.0 + 3 * DAY_S) * 1000) << 16
    body = incarnations.encode(incarnations.Statement(before=5))
    statement = Entry(incarnations.KIND, "b", clock, Origin("b", 5), 1, body, True)
    started = replica("a", Saved((statement,), {statement.origin: 1}))
    assert started.skew_s == {"b": 3 * DAY_S}
    started.write([shared("x", b"1")])
    held = started.get(Key("network", "x", ""))
    assert held is not None
    assert held.version.clock < clock
