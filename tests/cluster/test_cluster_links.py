"""Links between hosts of one cluster: they come up, carry messages, and come back."""

from __future__ import annotations

import random
import time

from tests.cluster.hosts import Nursery, running, stop, until


async def test_two_hosts_link_and_exchange_messages(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked() == {b.id} and b.linked() == {a.id})
        a.transport.send(b.id, b"to b")
        b.transport.send(a.id, b"x" * 3_000_000)
        await until(lambda: a.heard.messages and b.heard.messages)
        assert b.heard.messages == [(a.id, b"to b")]
        assert a.heard.messages == [(b.id, b"x" * 3_000_000)]
        assert a.heard.events == [("up", b.id)]
        assert a.reasons() == b.reasons() == []


async def test_a_link_tells_round_trip_and_clock(cluster: Nursery) -> None:
    a, b = cluster.host(), cluster.host(wall_s=lambda: time.time() - 86400)
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked() and next(iter(a.transport.links().values())).rtt_s)
        link = a.transport.links()[b.id]
        assert link.rtt_s is not None and 0 < link.rtt_s < 1
        assert link.clock_offset_s is not None and abs(link.clock_offset_s + 86400) < 1
        assert link.is_outgoing and link.name == "host-0000" and link.version == "1.0"


async def test_twenty_hosts_that_dial_each_other_all_link_and_survive_random_closing(
    cluster: Nursery,
) -> None:
    hosts = cluster.hosts(20)
    everybody = {host.id for host in hosts}

    def is_whole() -> bool:
        return all(host.linked() == everybody - {host.id} for host in hosts)

    async with running(*hosts):
        for host in hosts:
            host.want(*(other for other in hosts if other is not host))
        await until(is_whole, "they never all linked")
        chance = random.Random(7)
        for _ in range(60):
            one, other = chance.sample(hosts, 2)
            one.transport.close_link(other.id, "closed by the test")
        await until(is_whole)
        for host in hosts:
            for peer in everybody - {host.id}:
                host.transport.send(peer, host.id.encode())
        await until(lambda: all(len(host.heard.messages) == 19 for host in hosts))
        await until(lambda: all(host.reasons() == [] for host in hosts))


async def test_a_host_that_stops_is_noticed_and_comes_back(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked())
        port = b.transport.port
        await stop(b)
        await until(lambda: not a.linked())
        await until(lambda: "nothing listens there" in a.reasons())
        again = cluster.host(b.id, port=port)
        async with running(again):
            await until(lambda: a.linked() == {b.id})
            assert a.reasons() == []
            assert a.heard.events == [("up", b.id), ("down", b.id), ("up", b.id)]
