"""Hosts that lost what they wrote last, or their clock: single schedules, each with its reason."""

from __future__ import annotations

import pytest

from tests.mesh.drafts import SHORT, bodies, give, own, replica, shared
from tests.mesh.simulation import DAY_S, PACE, Cluster, live, origins_of
from weft.mesh import incarnations
from weft.mesh.digest import Digest
from weft.mesh.own_incarnation import MAX_REINCARNATIONS
from weft.store.batch import Saved
from weft.store.entry import Key, Origin


def test_a_lost_tail_comes_back_from_peers_and_no_number_is_given_twice() -> None:
    cluster = Cluster(3, 4)
    cluster.connect()
    a = cluster.hosts[0]
    for n in range(6):
        a.write(own(f"p{n}", b"1"))
    cluster.run_until(cluster.is_one, 10)
    a.crash(lost_batches=4)
    a.start()
    a.write(own("p9", b"after"))
    a.write(own("p5", b"after"))
    cluster.check()
    held = {key.id: entry.body for key, entry in live(cluster.hosts[1].replica).items()}
    assert held == {**{f"p{n}": b"1" for n in range(5)}, "p5": b"after", "p9": b"after"}


def test_an_incarnation_that_lost_its_tail_is_over_even_if_nothing_was_written_since() -> None:
    cluster = Cluster(2, 5)
    cluster.connect()
    a = cluster.hosts[0]
    for n in range(4):
        a.write(own(f"p{n}", b"1"))
    cluster.run_until(cluster.is_one, 10)
    first = a.replica.origin
    a.crash(lost_batches=2)
    a.start()
    a.crash()
    a.start()
    a.write(own("p8", b"after"))
    assert a.replica.origin != first
    cluster.check()
    assert bodies(cluster, Key("port", "p3", "h0")) == {b"1"}


def test_a_clock_set_back_with_a_lost_tail_does_not_undo_what_the_host_writes_now() -> None:
    cluster = Cluster(2, 5)
    cluster.connect()
    a = cluster.hosts[0]
    a.write(own("p", b"1"))
    cluster.run_until(cluster.is_one, 10)
    a.crash(lost_batches=1)
    a.skew_s = -3 * DAY_S
    a.start()
    a.write(own("p", b"2"))
    cluster.check()
    assert bodies(cluster, Key("port", "p", "h0")) == {b"2"}


def test_a_host_that_wrongly_thinks_it_is_whole_finds_out_from_its_peers() -> None:
    cluster = Cluster(2, 6)
    cluster.connect()
    a = cluster.hosts[0]
    for n in range(6):
        a.write(own(f"p{n}", b"1"))
    cluster.run_until(cluster.is_one, 10)
    a.crash(lost_batches=4)
    a.start(is_continued=True)
    a.write(own("p9", b"after"))
    cluster.check()
    assert a.replica.reincarnations == 1
    assert bodies(cluster, Key("port", "p9", "h0")) == {b"after"}
    assert bodies(cluster, Key("port", "p5", "h0")) == {b"1"}


def test_two_hosts_under_one_identity_do_not_go_on_for_ever() -> None:
    one, twin = replica("a"), replica("a", Saved(incarnation=7))
    one.write([own("p", b"1")])
    twin.write([own("p", b"2")])
    for _ in range(MAX_REINCARNATIONS * 2):
        for here, there in ((one, twin), (twin, one)):
            there.notice(here.digest)
            delta = here.missing_for(there.digest)
            if delta is not None:
                there.merge(delta)
    assert one.has_twin or twin.has_twin
    assert max(one.reincarnations, twin.reincarnations) <= MAX_REINCARNATIONS


def test_old_incarnations_are_dropped_everywhere_and_stay_so() -> None:
    cluster = Cluster(4, 7, limits=SHORT)
    cluster.connect()
    a, b = cluster.hosts[:2]
    for n in range(5):
        a.write(own("p", b"%d" % n))
        a.write(own("q", b"%d" % n))
        a.write(own("q", None))
        a.is_whole = False
        a.crash()
        a.start()
        cluster.connect()
        cluster.run_until(cluster.is_one, 20)
    a.write(own("r", b"x"))
    cluster.run(20)
    assert len(origins_of(b.replica, "h0")) > 3
    cluster.partition([[0, 1], [2, 3]])
    for _ in range(3):
        for host in cluster.hosts:
            host.purge()
        cluster.run(5)
    assert len(origins_of(b.replica, "h0")) == 1
    assert len(origins_of(cluster.hosts[2].replica, "h0")) > 1
    cluster.check()
    before = cluster.network.sent_bytes
    cluster.run(10 * PACE.summary_s)
    summaries = 10 * len(cluster.topology) * 2 * 40
    assert cluster.network.sent_bytes - before < summaries
    assert [len(origins_of(host.replica, "h0")) for host in cluster.hosts] == [1] * 4


def test_an_incarnation_with_shared_records_is_kept() -> None:
    cluster = Cluster(2, 8, limits=SHORT)
    cluster.connect()
    a, b = cluster.hosts
    a.write(shared("n", b"x"))
    a.crash()
    a.start(is_continued=False)
    cluster.connect()
    a.write(own("p", b"y"))
    cluster.run(20)
    a.purge()
    cluster.check()
    assert {key.id for key in live(b.replica) if key.kind != incarnations.KIND} == {"n", "p"}


def test_a_host_that_lost_its_tail_keeps_its_tombstones_until_it_has_met_a_peer() -> None:
    cluster = Cluster(2, 4, limits=SHORT)
    cluster.connect()
    a = cluster.hosts[0]
    a.write(own("p", b"1"))
    a.write(own("p", b"2"))
    cluster.run_until(cluster.is_one, 10)
    a.crash(lost_batches=1)
    a.start()
    a.write(own("p", None))
    cluster.run(30)
    a.purge()
    cluster.check()
    assert bodies(cluster, Key("port", "p", "h0")) == {None}


@pytest.mark.parametrize("is_started_again", [False, True])
def test_what_a_host_deleted_stays_so_when_a_lost_incarnation_turns_up_that_is_greater(
    is_started_again: bool,
) -> None:
    """Two power cuts, and the clock set back in between: the second lost incarnation is greater
    than the one after it, and comes back when the tombstone is gone."""
    cluster = Cluster(3, 4, limits=SHORT)
    cluster.connect()
    a, b, c = cluster.hosts
    a.write(own("p", b"1"))
    a.write(own("q", b"1"))
    cluster.run_until(cluster.is_one, 10)
    cluster.partition([[0, 2], [1]])
    a.crash(lost_batches=1)
    cluster.run(30)
    a.start()
    cluster.connect()
    a.write(own("p", b"2"))
    lost = a.replica.origin
    assert lost is not None
    cluster.run_until(lambda: c.replica.digest[lost] > 0, 10)
    a.crash(lost_batches=20)
    cluster.blocked.clear()
    cluster.partition([[0, 1], [2]])
    a.skew_s = -20.0
    a.start()
    cluster.connect()
    cluster.run_until(lambda: bool(a.replica.digest.marks), 10)
    cluster.run(1)
    a.write(own("p", None))
    assert a.replica.origin is not None
    assert a.replica.origin.incarnation < lost.incarnation
    cluster.run(60)
    a.purge()
    b.purge()
    if is_started_again:
        a.crash()
        a.start()
    cluster.check()
    assert bodies(cluster, Key("port", "p", "h0")) == {None}


def test_a_greater_incarnation_that_no_mark_tells_of_does_not_undo_what_the_host_writes_now() -> (
    None
):
    before, now = replica("a", Saved(incarnation=2**50)), replica("a")
    before.write([own("p", b"1")])
    now.write([own("p", b"2")])
    now.merge_entries(tuple(before.entries()))
    held = now.get(Key("port", "p", "a"))
    assert held is not None
    assert held.body == b"2"


@pytest.mark.parametrize("body", [b"3", None])
@pytest.mark.parametrize("steps", [(1, 2), (2, 1)])
def test_an_incarnation_begun_and_lost_is_not_begun_again_when_the_clock_stands_behind(
    steps: tuple[int, int], body: bytes | None
) -> None:
    """Neither may a write of the lost one stand in for a later one, nor may hosts disagree."""
    ahead = replica("a", Saved(incarnation=2**50))
    ahead.write([own("p", b"1")])
    known = Saved(tuple(ahead.entries()), dict(ahead.digest.marks))
    lost, now = (replica("a", known, byte) for byte in steps)
    peer = replica("b")
    lost.write([own("q", b"0")])
    lost.write([own("p", b"2")])
    give(lost, peer)
    now.write([own("p", body)])
    assert now.origin != lost.origin
    for _ in range(2):
        for sender, receiver in ((peer, now), (now, peer)):
            receiver.notice(sender.digest)
            delta = sender.missing_for(receiver.digest)
            if delta is not None:
                assert receiver.merge(delta) is not None
    for host in (now, peer):
        held = host.get(Key("port", "p", "a"))
        assert held is not None
        assert held.body == body
    assert live(now) == live(peer)


def test_an_incarnation_begun_to_stay_ahead_and_lost_is_not_begun_again() -> None:
    origins = []
    for byte in (1, 2):
        now = replica("a", byte=byte)
        now.write([own("p", b"1")])
        now.notice(Digest({Origin("a", 2**50): 1}))
        assert now.origin is not None
        assert now.origin.incarnation > 2**50
        origins.append(now.origin)
    assert origins[0] != origins[1]


def test_what_came_with_an_unfinished_delta_and_was_lost_by_its_writer_spreads_or_goes() -> None:
    cluster = Cluster(3, 4)
    cluster.connect()
    a, b, _ = cluster.hosts
    a.write(own("p0", b"1"))
    cluster.run_until(cluster.is_one, 10)
    cluster.partition([[0], [1], [2]])
    for n in range(1, 4):
        a.write(own(f"p{n}", b"1"))
    delta = a.replica.missing_for(b.replica.digest)
    assert delta is not None
    b.replica.merge_entries(delta.entries[1:])
    b.save()
    a.crash(lost_batches=3)
    a.start()
    cluster.check()
    assert bodies(cluster, Key("port", "p3", "h0")) == {b"1"}
