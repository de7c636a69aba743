"""Links between hosts of one cluster: they come up, carry messages, and come back."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time

import pytest

from tests.cluster.hosts import QUICK, Nursery, TestHost, running, stop, until
from weft.cluster.door import is_own_address
from weft.cluster.interface import Endpoint, Target
from weft.cluster.link import Link
from weft.errors import InvalidError
from weft.model.ids import HostId


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def fall_silent(host: TestHost, towards: TestHost) -> None:
    """It reads nothing more, as behind a cut."""
    link = host.transport._table.get(towards.id)
    assert link is not None and link._connection._transport is not None
    link._connection._transport.pause_reading()


def is_one(one: TestHost, other: TestHost) -> bool:
    """Whether both ends of the pair's link are of one connection."""
    here, there = one.transport._table.get(other.id), other.transport._table.get(one.id)
    if one is other or here is None or there is None:
        return one is other
    return here._connection.peer[1] == port_of(there) and port_of(here) == there._peer[1]


def port_of(link: Link) -> int:
    """This end's."""
    assert link._connection._transport is not None
    port: int = link._connection._transport.get_extra_info("sockname")[1]
    return port


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
        await until(lambda: all(is_one(one, other) for one in hosts for other in hosts))
        for host in hosts:
            for peer in everybody - {host.id}:
                host.transport.send(peer, host.id.encode())
        await until(lambda: all(len(host.heard.messages) == 19 for host in hosts))
        await until(lambda: all(host.reasons() == [] for host in hosts))


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_to_links_and_hosts_all_are_linked_in_the_end(
    cluster: Nursery, seed: int
) -> None:
    chance = random.Random(seed)
    hosts = list(cluster.hosts(5))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(running(*hosts))
        ports = {host.id: host.transport.port for host in hosts}

        def want_all(host: TestHost) -> None:
            host.transport.want(
                [
                    Target(host_id=id, endpoints=(Endpoint("127.0.0.1", port),))
                    for id, port in ports.items()
                    if id != host.id
                ]
            )

        for host in hosts:
            want_all(host)
        for _ in range(60):
            one, other = chance.sample(hosts, 2)
            link = one.transport._table.get(other.id)
            match chance.randrange(6):
                case 0:
                    one.transport.close_link(other.id, "closed by the test")
                case 1 if link is not None:
                    link.abort("aborted by the test")
                case 2 if link is not None:
                    fall_silent(one, other)
                case 3:
                    one.transport.network_changed()
                case 4:
                    one.transport.want([])
                    want_all(one)
                case 5 if chance.random() < 0.3:
                    await stop(one)
                    again = cluster.host(one.id, port=ports[one.id])
                    hosts[hosts.index(one)] = again
                    await stack.enter_async_context(running(again))
                    want_all(again)
            await asyncio.sleep(chance.uniform(0, 0.05))
        everybody = {host.id for host in hosts}
        await until(
            lambda: (
                all(host.linked() == everybody - {host.id} for host in hosts)
                and all(is_one(one, other) for one in hosts for other in hosts)
            ),
            f"seed {seed}: not all linked in the end",
        )


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


async def test_of_several_addresses_one_that_answers_is_enough(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        nobody = Endpoint("127.0.0.9", b.transport.port)
        a.transport.want([Target(host_id=b.id, endpoints=(nobody, b.endpoint))])
        await until(lambda: a.linked() == {b.id})
        assert a.reasons() == []


async def test_an_address_that_swallows_everything_holds_up_no_other(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    with socket.socket() as mute:
        mute.bind(("127.0.0.9", 0))
        mute.listen()
        async with running(a, b):
            hole = Endpoint("127.0.0.9", mute.getsockname()[1])
            started_s = time.monotonic()
            a.transport.want([Target(host_id=b.id, endpoints=(hole, b.endpoint))])
            await until(lambda: a.linked() == {b.id})
            assert time.monotonic() - started_s < QUICK.tls_s


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no IPv6")
async def test_links_over_ipv6(cluster: Nursery) -> None:
    a, b = cluster.hosts(1)[0], cluster.host(addresses=("127.0.0.1", "::1"))
    async with running(a, b):
        a.want_at(Endpoint("::1", b.transport.port))
        await until(lambda: a.linked() == {b.id})
        assert str(a.transport.links()[b.id].address) == "::1"


async def test_a_name_is_resolved(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        a.want_at(Endpoint("localhost", b.transport.port))
        await until(lambda: a.linked() == {b.id})
        a.want_at(Endpoint("nowhere.invalid", 1))
        await until(lambda: any("does not resolve" in each for each in a.reasons()))


async def test_a_link_that_neither_end_wants_ends(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked() and b.linked())
        a.want()
        await until(lambda: not a.linked() and not b.linked())
        assert a.reasons() == b.reasons() == []


async def test_a_link_that_one_end_wants_stays(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        a.want(b)
        b.want(a)
        await until(lambda: a.linked() and b.linked())
        a.want()
        end_s = time.monotonic() + 3 * QUICK.unwanted_s
        await until(lambda: time.monotonic() > end_s)
        assert a.heard.events == [("up", b.id)]


async def test_a_peer_that_falls_silent_is_noticed_within_seconds(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked() and b.linked())
        fall_silent(b, a)
        started_s = time.monotonic()
        await until(lambda: ("down", b.id) in a.heard.events)
        assert time.monotonic() - started_s < QUICK.dead_s + 1.5


async def test_when_the_network_changes_a_dead_link_is_found_at_once(cluster: Nursery) -> None:
    patient = QUICK._replace(dead_s=60.0)
    a, b = cluster.host(pace=patient._replace(network_probe_s=0.3)), cluster.host(pace=patient)
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked() and b.linked())
        fall_silent(b, a)
        a.transport.network_changed()
        await until(lambda: ("down", b.id) in a.heard.events)


async def test_a_link_over_an_address_that_this_host_has_lost_ends_at_once(
    cluster: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked() and b.linked())
        assert is_own_address("127.0.0.1") and not is_own_address("192.0.2.77")
        monkeypatch.setattr("weft.cluster.tls_transport.is_own_address", lambda address: False)
        a.transport.network_changed()
        assert a.linked() == set()
        await until(lambda: a.linked() == {b.id} and b.linked() == {a.id})


async def test_when_the_network_changes_a_host_is_dialed_at_once(cluster: Nursery) -> None:
    a = cluster.host(pace=QUICK._replace(first_retry_s=600.0, last_retry_s=600.0))
    b = cluster.host()
    async with running(b):
        port = b.transport.port
    async with running(a):
        a.transport.want([Target(host_id=b.id, endpoints=(Endpoint("127.0.0.1", port),))])
        await until(lambda: "nothing listens there" in a.reasons())
        again = cluster.host(b.id, port=port)
        async with running(again):
            a.transport.network_changed()
            await until(lambda: a.linked() == {b.id})


async def test_a_peer_that_takes_nothing_loses_the_link_and_no_memory_is_eaten(
    cluster: Nursery,
) -> None:
    patient = QUICK._replace(dead_s=600.0, ping_s=600.0)
    a, b = cluster.host(pace=patient), cluster.host(pace=patient)
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked() and b.linked())
        fall_silent(b, a)
        sent = 0
        while b.id in a.linked() and sent < 200:
            a.transport.send(b.id, b"x" * 1_000_000)
            sent += 1
            await asyncio.sleep(0)
        assert ("down", b.id) in a.heard.events
        assert sent < 60, "so many megabytes at most"


async def test_a_host_found_under_anothers_address_is_told(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        gone = HostId("00000000000000dd")
        a.transport.want([Target(host_id=gone, endpoints=(b.endpoint,))])
        await until(lambda: any("another host answers there" in each for each in a.reasons()))
        assert a.transport.problems()[0].host_id == gone
        assert a.linked() <= {b.id}


async def test_a_message_that_is_none_closes_the_link_and_it_comes_back(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)

    def refuse(peer: str, data: bytes) -> None:
        raise InvalidError("no message")

    b.heard.receive = refuse  # type: ignore[method-assign]
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked())
        a.transport.send(b.id, b"nonsense")
        await until(lambda: a.heard.events == [("up", b.id), ("down", b.id), ("up", b.id)])


async def test_what_changes_is_told(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    told: list[int] = []
    a.transport.changed.append(lambda: told.append(len(a.linked())))
    async with running(a, b):
        a.want(b)
        await until(lambda: 1 in told)
        await stop(b)
        await until(lambda: told[-1] == 0)


async def test_a_joining_host_learns_the_clusters_id(cluster: Nursery) -> None:
    a, b, c = cluster.hosts(3)
    assert not b.secrets.is_cluster_certain and not c.secrets.is_cluster_certain
    async with running(a, b, c):
        b.want(c)
        await until(lambda: b.linked())
        assert not b.secrets.is_cluster_certain
        c.want(a)
        await until(lambda: c.secrets.is_cluster_certain)
        assert c.secrets.cluster_id == a.secrets.cluster_id


async def test_an_address_is_met_by_a_link_that_came_from_there(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        nobody = Endpoint("127.0.0.9", a.transport.port)
        b.transport.want([Target(endpoints=(nobody, a.endpoint))])
        await until(lambda: b.linked())
        a.want(b)
        b.transport.close_link(a.id, "closed by the test")
        await until(lambda: a.linked() and b.linked())
        await until(lambda: b.transport._caller.is_met(b.transport._dialer.targets[0]))
        await until(lambda: b.reasons() == [] or b.reasons() == ["closed by the test"])
