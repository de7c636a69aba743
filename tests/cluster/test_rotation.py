"""A new secret reaches every host over links, and the one before counts until it has."""

from __future__ import annotations

import itertools
import os
import time

import pytest

from tests.cluster.hosts import Nursery, TestHost, running, stop, until
from tests.cluster.strangers import reason
from weft.cluster.secret import Secret, Secrets


def rotate(host: TestHost) -> None:
    host.secrets.rotate(os.urandom, time.time())


async def linked(one: TestHost, other: TestHost) -> None:
    await until(lambda: other.id in one.linked() and one.id in other.linked())


async def chain(*hosts: TestHost) -> None:
    """Each linked to the next."""
    for one, other in itertools.pairwise(hosts):
        one.want(other)
    for one, other in itertools.pairwise(hosts):
        await linked(one, other)


def all_confirmed(*hosts: TestHost) -> bool:
    ids = {host.secrets.current_id for host in hosts}
    seen = {link.secret_id for host in hosts for link in host.transport.links().values()}
    return len(ids) == 1 and seen <= ids


async def test_a_new_secret_travels_from_host_to_host(cluster: Nursery) -> None:
    a, _, c = hosts = cluster.hosts(3)
    async with running(*hosts):
        await chain(*hosts)
        before = a.secrets.current_id
        rotate(a)
        await until(lambda: c.secrets.current_id == a.secrets.current_id != before)
        await until(lambda: all_confirmed(*hosts))
        for host in hosts:
            assert host.secrets.previous is not None and host.secrets.previous.id == before
            assert host.secrets.cluster_id == a.secrets.cluster_id
            kept = Secrets.open(host.folder)
            assert kept is not None and kept.current_id == a.secrets.current_id
        assert [each for each in a.heard.events if each[0] == "down"] == []


async def test_links_outlive_any_number_of_rotations(cluster: Nursery) -> None:
    a, b = hosts = cluster.hosts(2)
    async with running(*hosts):
        await chain(*hosts)
        for _ in range(4):
            rotate(a)
            await until(lambda: b.secrets.current_id == a.secrets.current_id)
            await until(lambda: all_confirmed(*hosts))
            for host in hosts:
                host.secrets.retire_previous()
        a.transport.send(b.id, b"still here")
        await until(lambda: b.heard.messages == [(a.id, b"still here")])
        assert a.heard.events == [("up", b.id)]


async def test_a_host_that_was_away_is_handed_the_new_secret_while_the_old_one_counts(
    cluster: Nursery,
) -> None:
    a, b = cluster.hosts(2)
    async with running(a):
        rotate(a)
        async with running(b):
            b.want(a)
            await until(lambda: b.secrets.current_id == a.secrets.current_id)
            await until(lambda: all_confirmed(a, b))
            a.secrets.retire_previous()
            b.secrets.retire_previous()
            a.transport.close_link(b.id, "closed by the test")
            await until(lambda: len(b.heard.events) >= 3 and b.linked())


async def test_the_old_secret_is_refused_once_it_is_retired_and_both_sides_say_why(
    cluster: Nursery,
) -> None:
    a, away = cluster.hosts(2)
    old_token = cluster.token
    async with running(a):
        rotate(a)
        a.secrets.retire_previous()
        async with running(away):
            away.want(a)
            await reason(away, "the cluster's token was rotated while this host was away")
            await reason(a, "it shows a token that was rotated")
            [told] = away.transport.problems()
            assert "weft token show" in told.fix and "weft up --join" in told.fix
            assert len(a.transport.problems()) == 1
            assert away.linked() == set()
        joined = Nursery(cluster.folder / "joined", a.secrets.token()).host("00000000000000aa")
        late = Nursery(cluster.folder / "late", old_token).host("00000000000000bb")
        async with running(joined, late):
            joined.want(a)
            late.want(a)
            await until(lambda: a.linked() == {joined.id})
            assert joined.secrets.cluster_id == a.secrets.cluster_id
            assert joined.secrets.is_cluster_certain
            await until(lambda: late.reasons())


async def test_who_has_the_newer_token_tells_of_the_host_with_the_older(cluster: Nursery) -> None:
    a, away = cluster.hosts(2)
    away.secrets.adopt_cluster(a.secrets.cluster_id)
    async with running(a, away):
        rotate(a)
        a.secrets.retire_previous()
        a.want(away)
        await reason(a, "has another token")
        await reason(away, "it is of this cluster, but has another token")


async def test_rotations_on_both_sides_of_a_cut_become_one(cluster: Nursery) -> None:
    a, b = cluster.hosts(2)
    async with running(a, b):
        a.secrets.rotate(os.urandom, time.time())
        b.secrets.rotate(os.urandom, time.time() + 10)
        a.want(b)
        await until(lambda: a.secrets.current_id == b.secrets.current_id)
        await until(lambda: all_confirmed(a, b))
        for host in (a, b):
            host.secrets.retire_previous()
        await stop(a)
        again = TestHost(a.folder, a.id, a.secrets)
        async with running(again):
            again.want(b)
            await until(lambda: again.linked() == {b.id})


async def test_a_link_that_proved_the_old_secret_alone_ends_when_it_is_retired(
    cluster: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, deaf = cluster.hosts(2)
    monkeypatch.setattr(deaf.secrets, "adopt", lambda secret, predecessor: False)
    async with running(a, deaf):
        a.want(deaf)
        await until(lambda: a.linked() and deaf.linked())
        rotate(a)
        a.secrets.retire_previous()
        await until(lambda: not a.linked() and not deaf.linked())


async def test_a_removed_host_is_not_handed_the_new_secret(cluster: Nursery) -> None:
    a, removed = cluster.hosts(2)
    before = a.secrets.current_id
    async with running(a, removed):
        a.want(removed)
        await until(lambda: a.linked() and removed.linked())
        a.removed[removed.id] = "it was removed"
        rotate(a)
        await until(lambda: a.transport._rotation._certificates.contexts(a.secrets.current_id))
        a.transport.close_link(removed.id, "it was removed")
        await until(lambda: ("down", a.id) in removed.heard.events)
        assert removed.secrets.current_id == before


async def test_no_secret_is_logged(cluster: Nursery, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = cluster.hosts(2)
    values = [a.secrets.current.value]
    tokens = [a.secrets.token()]
    async with running(a, b):
        a.want(b)
        await until(lambda: a.linked())
        rotate(a)
        values.append(a.secrets.current.value)
        tokens.append(a.secrets.token())
        await until(lambda: all_confirmed(a, b) and b.secrets.current_id == a.secrets.current_id)
    said = "".join(capsys.readouterr()) + repr(a.secrets.current) + repr(a.secrets._kept)
    for value, token in zip(values, tokens):
        assert token not in said and value.hex() not in said and repr(value)[2:12] not in said


@pytest.mark.parametrize("serial", [2**40, 2**61, 2**62 - 1])
async def test_a_serial_that_no_later_rotation_overtakes_is_not_taken(
    cluster: Nursery, serial: int
) -> None:
    a, b, villain = hosts = cluster.hosts(3)
    async with running(*hosts):
        await chain(*hosts)
        before = a.secrets.current_id
        assert villain.secrets.adopt(Secret(os.urandom(32), serial), before)
        villain.transport._rotation._tell()
        rotate(a)
        await until(lambda: b.secrets.current_id == a.secrets.current_id != before)
        await linked(a, b)
        assert a.secrets.current.serial < 2**40
