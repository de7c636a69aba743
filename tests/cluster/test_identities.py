"""One host id is one live machine, of one that still belongs."""

from __future__ import annotations

import pytest

from tests.cluster.hosts import Nursery, running, until
from tests.cluster.strangers import calm, reason


async def test_a_removed_host_is_refused_on_both_sides(cluster: Nursery) -> None:
    removed = cluster.host()
    async with calm(cluster) as a, running(removed):
        a.removed[removed.id] = "it was removed from the cluster"
        removed.want(a)
        await reason(removed, "it was removed from the cluster")
        await reason(a, "it was removed from the cluster")
        assert a.transport.problems()[0].host_id == removed.id


async def test_a_link_to_ourselves_is_dropped_quietly(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        own = a.endpoint
        a.want_at(own)
        await until(lambda: own in a.transport._caller.ourselves)
        assert a.reasons() == []


async def test_a_clone_is_named_and_refused_and_the_first_goes_on(cluster: Nursery) -> None:
    first = cluster.host("00000000000000cc")
    clone = cluster.host("00000000000000cc")
    async with calm(cluster) as a, running(first, clone):
        first.want(a)
        await until(lambda: first.id in a.linked())
        clone.want(a)
        await reason(clone, "two live machines have the host id 00000000000000cc")
        [problem] = [each for each in a.transport.problems() if each.is_clone]
        assert problem.host_id == first.id and "which came later" in problem.reason
        assert "remove its state directory" in problem.fix
        [told] = clone.transport.problems()
        assert told.is_clone and told.host_id == clone.id
        assert clone.linked() == set()
        assert first.heard.events == [("up", a.id)]
        assert [each for each in a.heard.events if each[1] == first.id] == [("up", first.id)]


@pytest.mark.parametrize("host_id", ["00000000000000cc", "0000000000000000"])
async def test_a_clone_that_is_dialed_is_refused_as_well(cluster: Nursery, host_id: str) -> None:
    """Whether this host or the clone's id decides."""
    a, first, clone = cluster.host(), cluster.host(host_id), cluster.host(host_id)
    async with running(a, first, clone):
        a.want(first)
        await until(lambda: a.linked() == {first.id})
        a.want(first)
        a.transport.want([*a.transport._dialer.targets])
        clone.want(a)
        await until(lambda: any(each.is_clone for each in a.transport.problems()))
        assert a.heard.events == [("up", first.id)]


async def test_a_clone_of_this_host_is_seen(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        twin = cluster.host(a.id)
        async with running(twin):
            twin.want_at(a.endpoint)
            for host in (a, twin):
                await reason(host, f"two live machines have the host id {a.id}")
                assert all(each.is_clone for each in host.transport.problems())


async def test_a_host_that_died_unseen_is_replaced_by_its_new_process(cluster: Nursery) -> None:
    a = cluster.host()
    first, second = cluster.host("00000000000000cc"), cluster.host("00000000000000cc")
    async with running(a, first, second):
        first.want(a)
        await until(lambda: first.id in a.linked())
        link = first.transport._table.get(a.id)
        assert link is not None and link._connection._transport is not None
        link._connection._transport.pause_reading()  # it answers nothing more, as behind a cut
        second.want(a)
        await until(lambda: second.linked() == {a.id})
        again = [("up", first.id), ("down", first.id), ("up", first.id)]
        await until(lambda: a.heard.events == again)
