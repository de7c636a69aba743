"""Records in a real etcd that goes, comes back, forgets, and is changed behind a host's back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from tests.etcd.server import EtcdServer
from tests.mesh.stores import DEADLINE_S, DiskThatFills, EtcdCluster, EtcdMember
from weft.errors import ConflictError, InvalidError, UnavailableError
from weft.etcd import client
from weft.etcd.keys import Keys
from weft.etcd.known import Known
from weft.etcd.wire import MAX_OPERATIONS
from weft.model.addresses import ip_address
from weft.model.choices import ReservationReason
from weft.model.ids import HostId, NetworkId, ReservationId, SubnetId, Vni
from weft.model.records import ForgottenHost, Host, Network, Reservation
from weft.store.draft import Draft
from weft.store.entry import Key
from weft.store.interface import Delete, Put

A, B, C, X = "a" * 16, "b" * 16, "c" * 16, "e" * 16

NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))


def host(name: str, secret_id: str = "secret") -> Host:
    return Host(id=HostId(name), name=name, secret_id=secret_id)


def reservations(owner: str, count: int) -> list[Reservation]:
    first = ip_address("10.0.0.0")
    return [
        Reservation(
            id=ReservationId(f"r{n}"),
            subnet_id=SubnetId("s1"),
            host_id=HostId(owner),
            address=first + n,
            reason=ReservationReason.REST,
        )
        for n in range(count)
    ]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
async def pair(etcd: EtcdServer) -> AsyncIterator[EtcdCluster]:
    """Two hosts of one cluster."""
    cluster = EtcdCluster(etcd.url, A, B)
    await cluster.begin()
    yield cluster
    await cluster.end()


async def again(member: EtcdMember, *, is_old: bool = False) -> EtcdMember:
    """The same host after its weftd was killed: nothing is left but its journal."""
    if member.task is not None:
        member.task.cancel()
        await asyncio.wait([member.task])
    await member.client.close()
    known = Known(member.host)
    saved = member.journal.load(True)
    known.load(saved.entries, saved.marks, is_old=is_old)
    prefix = member.keys.identity.decode().removesuffix("/identity")
    return EtcdMember(member.client.url, prefix, member.host, member.journal, known)


async def test_without_etcd_a_host_goes_on_and_what_it_wrote_arrives_later(
    own_etcd: EtcdServer,
) -> None:
    own_etcd.start()
    cluster = EtcdCluster(own_etcd.url, A, B)
    await cluster.begin()
    a, b = cluster.in_etcd
    await a.store.write([Put(NETWORK), Put(host(A))])
    await b.store.write([Put(host(B))])
    await cluster.settle()
    own_etcd.stop()
    await until(lambda: a.store.trouble is not None)
    assert a.store.get(Network, "n1") == NETWORK
    await a.store.write([Put(msgspec.structs.replace(host(A), mesh_port=1))])
    await a.store.write([Put(msgspec.structs.replace(host(A), mesh_port=2))])
    with pytest.raises(UnavailableError, match=r"etcd http://.*Connection refused.*majority"):
        await a.store.write([Delete(Network, "n1"), Put(host(A))])
    assert a.store.get(Network, "n1") == NETWORK
    own = a.store.get(Host, A)
    assert own is not None
    assert own.mesh_port == 2
    assert len(a.known.waiting) == 1
    began_s = time.monotonic()
    with pytest.raises(UnavailableError):
        await a.store.write([Delete(Network, "n1")])
    assert time.monotonic() - began_s < 0.5
    anew = await again(a)
    assert anew.store.get(Network, "n1") == NETWORK
    assert anew.store.get(Host, A) == own
    assert anew.store.get(Host, B) == host(B)
    anew.start()
    own_etcd.start()
    await until(lambda: b.store.get(Host, A) == own)
    await until(lambda: anew.store.trouble is None)
    await anew.store.write([Delete(Network, "n1")])
    await until(lambda: b.store.get(Network, "n1") is None)
    await anew.stop()
    await b.stop()
    await cluster.client.close()


async def test_an_etcd_that_hangs_holds_nobody_for_long(own_etcd: EtcdServer) -> None:
    own_etcd.start()
    cluster = EtcdCluster(own_etcd.url, A, answer_s=0.3)
    await cluster.begin()
    (a,) = cluster.in_etcd
    own_etcd.freeze()
    began_s = time.monotonic()
    await a.store.write([Put(host(A))])
    assert time.monotonic() - began_s < 1
    with pytest.raises(UnavailableError, match=r"no answer within .*; what all hosts share"):
        await a.store.write([Put(NETWORK)])
    assert time.monotonic() - began_s < 5
    own_etcd.thaw()
    await cluster.settle()
    assert ("host", A, A) in await cluster.there()
    await cluster.end()


async def test_who_is_not_answered_is_told_that_it_may_have_been_done(own_etcd: EtcdServer) -> None:
    own_etcd.start()
    cluster = EtcdCluster(own_etcd.url, A, answer_s=0.3)
    await cluster.begin()
    (a,) = cluster.in_etcd
    own_etcd.freeze()
    with pytest.raises(UnavailableError, match="may have been done all the same"):
        await a.store.write([Put(NETWORK)])
    own_etcd.thaw()
    await cluster.settle()
    await cluster.end()


async def test_of_two_who_change_the_same_record_at_once_one_is_told(pair: EtcdCluster) -> None:
    a, b = pair.in_etcd
    await a.store.write([Put(NETWORK)])
    await pair.settle()
    names = ["by-a", "by-b"]
    results = await asyncio.gather(
        *(
            member.store.write([Put(msgspec.structs.replace(NETWORK, name=name))])
            for member, name in zip((a, b), names)
        ),
        return_exceptions=True,
    )
    (failure,) = (each for each in results if each is not None)
    assert isinstance(failure, ConflictError)
    assert "try again" in str(failure)
    await pair.settle()
    left = a.store.get(Network, "n1")
    assert left is not None
    assert left.name == names[results.index(None)]
    assert b.store.get(Network, "n1") == left


async def test_many_records_of_ones_own_arrive_in_parts(pair: EtcdCluster) -> None:
    a, b = pair.in_etcd
    many = reservations(A, 3 * MAX_OPERATIONS + 7)
    await a.store.write([Put(NETWORK), *map(Put, many)])
    await pair.settle()
    assert len(tuple(b.store.list(Reservation))) == len(many)
    await a.store.write([Delete(Reservation, one.id) for one in many])
    await pair.settle()
    assert not tuple(b.store.list(Reservation))


async def test_more_shared_records_than_etcd_takes_at_once_are_refused_whole(
    pair: EtcdCluster,
) -> None:
    a, _ = pair.in_etcd
    many = [
        Network(id=NetworkId(f"n{n}"), name=f"n{n}", vni=Vni(5000 + n))
        for n in range(MAX_OPERATIONS + 1)
    ]
    with pytest.raises(InvalidError, match="in several steps"):
        await a.store.write(map(Put, many))
    assert not tuple(a.store.list(Network))
    await a.store.write(map(Put, many[:-1]))
    await pair.settle()


async def test_a_newcomer_reads_everything_page_by_page(
    pair: EtcdCluster, etcd: EtcdServer
) -> None:
    a, _ = pair.in_etcd
    await a.store.write(map(Put, [host(A), *reservations(A, 2300)]))
    await pair.settle()
    newcomers = EtcdCluster(etcd.url, C, prefix=pair.prefix)
    await newcomers.begin()
    await newcomers.settle()
    assert len(tuple(newcomers.in_etcd[0].store.list(Reservation))) == 2300
    await newcomers.end()


async def test_who_was_away_while_etcd_forgot_the_changes_reads_all_anew(
    pair: EtcdCluster,
) -> None:
    a, b = pair.in_etcd
    await a.store.write([Put(NETWORK), Put(host(A))])
    await pair.settle()
    await b.store.save()
    anew = await again(b)
    pair.in_etcd.remove(b)
    await a.store.write([Delete(Network, "n1")])
    await a.store.write([Put(msgspec.structs.replace(host(A), mesh_port=7))])
    await pair.settle()
    await pair.client.call("/v3/kv/compaction", {"revision": a.known.revision}, object)
    anew.start()
    await until(lambda: anew.store.get(Network, "n1") is None)
    found = anew.store.get(Host, A)
    assert found is not None
    assert found.mesh_port == 7
    await anew.stop()


async def test_an_etcd_that_lost_all_is_given_back_what_hosts_know(own_etcd: EtcdServer) -> None:
    own_etcd.start()
    cluster = EtcdCluster(own_etcd.url, A, B)
    await cluster.begin()
    a, b = cluster.in_etcd
    await a.store.write([Put(NETWORK), Put(host(A)), *map(Put, reservations(A, 3))])
    await b.store.write([Put(host(B))])
    await cluster.settle()
    before = await cluster.there()
    a.heard.clear()
    own_etcd.stop()
    own_etcd.put_back(None)
    await b.stop()
    own_etcd.start()
    cluster.in_etcd.remove(b)
    await until(lambda: a.store.trouble is None)
    await cluster.settle()
    assert await cluster.there() == before
    assert a.heard == []
    await cluster.end()


async def test_an_etcd_that_is_put_back_from_a_backup_gets_the_latest(own_etcd: EtcdServer) -> None:
    own_etcd.start()
    cluster = EtcdCluster(own_etcd.url, A, B)
    await cluster.begin()
    a, b = cluster.in_etcd
    await a.store.write([Put(host(A)), *map(Put, reservations(A, 2))])
    await cluster.settle()
    own_etcd.stop()
    backup = own_etcd.copy("backup")
    own_etcd.start()
    await until(lambda: a.store.trouble is None and b.store.trouble is None)
    await b.store.write([Put(NETWORK), Put(host(B))])
    await a.store.write([Delete(Reservation, "r0")])
    await a.store.write([Put(msgspec.structs.replace(host(A), mesh_port=7))])
    await cluster.settle()
    before = await cluster.there()
    own_etcd.stop()
    own_etcd.put_back(backup)
    own_etcd.start()
    await until(lambda: a.store.trouble is None and b.store.trouble is None)
    await cluster.settle()
    assert await cluster.there() == before
    await cluster.end()


async def test_records_of_another_cluster_are_left_alone(
    pair: EtcdCluster, etcd: EtcdServer
) -> None:
    a, _ = pair.in_etcd
    await a.store.write([Put(host(A))])
    await pair.settle()
    stranger = EtcdMember(etcd.url, pair.prefix, X)
    stranger.secret_ids = ["another"]
    await stranger.store.write([Put(host(X, "another"))])
    with pytest.raises(InvalidError, match=rf"another cluster's records.*hosts {A}.*PREFIX"):
        await stranger.follower.catch_up()
    assert stranger.store.get(Host, A) is None
    await stranger.stop()
    assert ("host", X, X) not in await pair.there()


async def test_a_removed_host_takes_its_records_along_and_writes_no_more(
    pair: EtcdCluster,
) -> None:
    a, b = pair.in_etcd
    await b.store.write([Put(host(B)), *map(Put, reservations(B, 5))])
    await a.store.write([Put(host(A))])
    await pair.settle()
    await a.store.write([Put(ForgottenHost(id=HostId(B), name=B, at_s=1.0))])
    assert {owner for _, _, owner in await pair.there()} == {"", A}
    await until(lambda: b.known.is_removed)
    await b.store.write([Put(msgspec.structs.replace(host(B), mesh_port=9))])
    await a.store.write([Put(NETWORK)])
    await until(lambda: b.store.get(Network, "n1") == NETWORK)
    assert {owner for _, _, owner in await pair.there()} == {"", A}
    await b.inject(Draft("host", B, b'{"id":"%s","name":"ghost"}' % B.encode(), True))
    await a.store.write([Delete(Network, "n1")])
    await until(lambda: b.store.get(Network, "n1") is None)
    assert a.store.get(Host, B) is None


async def test_what_somebody_else_wrote_to_a_hosts_key_is_overwritten(pair: EtcdCluster) -> None:
    a, b = pair.in_etcd
    await a.store.write([Put(host(A))])
    await pair.settle()
    async with a.store._pushing:
        await a.store.write([Put(msgspec.structs.replace(host(A), mesh_port=3))])
        await a.inject(Draft("host", A, b'{"id":"%s","name":"delayed"}' % A.encode(), True))
    await pair.settle()
    found = b.store.get(Host, A)
    assert found is not None
    assert (found.name, found.mesh_port) == (A, 3)


async def test_of_a_restored_backup_only_what_etcd_confirms_counts(pair: EtcdCluster) -> None:
    a, b = pair.in_etcd
    await a.store.write([Put(host(A)), *map(Put, reservations(A, 2))])
    await pair.settle()
    await a.store.save()
    backup = DiskThatFills()
    backup._batches = list(a.journal._batches)
    await a.store.write([Delete(Reservation, "r1")])
    await pair.settle()
    a.journal = backup
    anew = await again(a, is_old=True)
    pair.in_etcd[0] = anew
    anew.start()
    await until(lambda: anew.store.get(Reservation, "r1") is None)
    await pair.settle()
    assert b.store.get(Reservation, "r0") is not None


def test_keys_lead_there_and_back() -> None:
    keys = Keys("/weft")
    for key in (Key("port", "p/1", A), Key("network", "n1", "")):
        assert keys.decode(keys.encode(key)) == key
    for other in (
        b"/weft/identity",
        b"/weft/records/a",
        b"/weft/records/\xff/b/c",
        b"/other/a/b/c",
    ):
        assert keys.decode(other) is None


@pytest.mark.parametrize("is_quiet", [False, True])
async def test_a_watch_that_is_begun_anew_misses_nothing(
    pair: EtcdCluster, is_quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair.in_etcd
    if is_quiet:
        monkeypatch.setattr(client, "QUIET_S", 0.05)
    for n in range(5):
        await b.client.close()
        await a.store.write([Put(msgspec.structs.replace(host(A), mesh_port=n))])
        await asyncio.sleep(0.1 * is_quiet)
    await pair.settle()
    await until(lambda: b.store.trouble is None)


async def test_what_is_written_is_seen_elsewhere_within_moments(pair: EtcdCluster) -> None:
    a, b = pair.in_etcd
    seen: list[float] = []
    b.store.watch(lambda changes: seen.append(time.monotonic()))
    began_s = time.monotonic()
    await a.store.write([Put(host(A))])
    await until(lambda: bool(seen))
    assert seen[0] - began_s < 0.5
