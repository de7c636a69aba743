"""Sessions over links: how many bytes, how soon, in what order."""

from __future__ import annotations

import os
import random

import pytest

from tests.mesh.simulation import Cluster, chain, live, ring_with_chords
from weft.errors import InvalidError
from weft.mesh.delta import Delta
from weft.mesh.digest import Digest
from weft.mesh.fake_transport import Weather
from weft.mesh.messages import Hello, Part
from weft.mesh.replica import Replica
from weft.mesh.session import Pace, Session
from weft.mesh.transfer import Outgoing, size_bytes
from weft.store.draft import Draft

HOSTS = int(os.environ.get("WEFT_MESH_HOSTS", "200"))
CALM = Pace(summary_s=1000.0, resend_s=30.0)


def port(n: int) -> Draft:
    return Draft("port", f"{n:016x}", b'{"names":["web"],"n":%d}' % n, True)


def test_news_crosses_hosts_that_have_no_link_to_each_other() -> None:
    cluster = Cluster(6, 1)
    cluster.topology = chain(6)
    cluster.connect()
    cluster.run(1)
    cluster.hosts[0].write(port(1))
    took_s = cluster.run_until(cluster.is_one, 2)
    assert len(live(cluster.hosts[5].replica)) == 1
    assert took_s < 1


def bytes_of_a_change(records: int) -> int:
    cluster = Cluster(2, 1, pace=CALM)
    a, b = cluster.hosts
    for n in range(records):
        a.replica.write([port(n)])
    cluster.connect()
    cluster.run_until(cluster.is_one, 20)
    cluster.run(1)
    before = cluster.network.sent_bytes
    for _ in range(10):
        a.write(Draft("port", "changed", b'{"names":["web"]}', True))
        cluster.run_until(cluster.is_one, 5)
        b.write(Draft("port", "changed", b'{"names":["web"]}', True))
        cluster.run_until(cluster.is_one, 5)
    return (cluster.network.sent_bytes - before) // 20


def test_bytes_a_change_do_not_grow_with_the_number_of_records() -> None:
    few, many = bytes_of_a_change(100), bytes_of_a_change(3000)
    assert many <= few + 8, "a few bytes, for greater sequence numbers"
    assert few < 250


def test_hundreds_of_hosts_converge_within_a_few_hops() -> None:
    cluster = Cluster(HOSTS, 11, weather=Weather(latency_s=(0.01, 0.01)), pace=CALM)
    cluster.topology = ring_with_chords(HOSTS, random.Random(11))
    cluster.connect()
    cluster.run(0.2)
    writers = random.Random(12).sample(cluster.hosts, 4)
    for n, host in enumerate(writers):
        host.write(port(n))
    took_s = cluster.run_until(cluster.is_one, 5)
    hop_s = 0.01 + CALM.coalesce_s
    assert took_s <= 8 * hop_s + 0.05, "a few hops, and half of what the run looks at"


def test_a_full_state_arrives_in_bounded_messages_with_few_under_way() -> None:
    pace = Pace(part_bytes=2000, window=2)
    one = Replica("a", lambda: 1000.0, random.Random(1).randbytes)
    one.write([port(n) for n in range(300)])
    delta = one.missing_for(Digest())
    assert delta is not None
    outgoing = Outgoing(1, delta, pace.part_bytes, pace.window)
    parts: list[Part] = []
    while not outgoing.is_done:
        due = list(outgoing.due())
        assert 0 < len(due) <= pace.window
        parts += due
        outgoing.acknowledge(len(parts))
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert all(sum(map(size_bytes, part.delta.entries)) <= pace.part_bytes for part in parts)
    assert not any(part.delta.spans for part in parts[:-1])
    assert sum(len(part.delta.entries) for part in parts) == 300


def test_a_burst_becomes_few_messages() -> None:
    cluster = Cluster(2, 1, pace=CALM)
    cluster.connect()
    cluster.run(1)
    before = cluster.network.sent_messages
    for n in range(200):
        cluster.hosts[0].write(port(n))
    cluster.run_until(cluster.is_one, 5)
    assert cluster.network.sent_messages - before <= 4


def test_a_wrong_host_at_the_other_end_is_refused() -> None:
    session = Session(Replica("a", lambda: 0.0, random.Random(1).randbytes), "b", 0.0)
    with pytest.raises(InvalidError, match="link to host b: c answers"):
        session.receive(Hello("c", Digest()), 0.0)


def test_a_part_that_builds_on_what_was_not_seen_is_answered_with_a_digest() -> None:
    cluster = Cluster(2, 1)
    cluster.connect()
    a, b = cluster.hosts
    for n in range(3):
        a.write(port(n))
    session = a.links.sessions["h1"]
    session._theirs.merge(a.replica.digest.marks)
    a.write(port(3))
    cluster.run_until(cluster.is_one, 5)
    assert len(live(b.replica)) == 4


def test_equal_digests_over_unequal_entries_are_repaired() -> None:
    cluster = Cluster(3, 1)
    cluster.connect()
    for n in range(20):
        cluster.hosts[0].write(port(n))
    cluster.run_until(cluster.is_one, 5)
    victim = cluster.hosts[2].replica
    entry = next(iter(victim.entries()))
    victim._ledger.drop(entry)
    assert not cluster.is_one()
    cluster.run_until(cluster.is_one, 10)
    assert len(live(victim)) == 20


def test_messages_of_a_link_that_is_gone_are_not_read() -> None:
    cluster = Cluster(2, 1, weather=Weather(latency_s=(1.0, 1.0)))
    cluster.connect()
    a, b = cluster.hosts
    a.write(port(1))
    cluster.network.disconnect("h0", "h1")
    cluster.run(3)
    assert live(b.replica) == {}
    assert Delta("repair", (), {}, {}) == b.replica.everything()
