"""A host that was removed: what it owned goes everywhere, what it shared stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mesh.simulation import Cluster
from weft.errors import InvalidError
from weft.mesh.replica import Limits, Replica
from weft.mesh.store import MeshStore
from weft.model import codec
from weft.model.addresses import ip_address
from weft.model.choices import ReservationReason
from weft.model.ids import HostId, NetworkId, ReservationId, SubnetId, Vni
from weft.model.records import ForgottenHost, Host, Network, Reservation
from weft.store.batch import Saved
from weft.store.draft import Draft
from weft.store.entry import Key
from weft.store.interface import Changed, Delete, Put
from weft.store.journal import MemoryJournal
from weft.store.sqlite_journal import SqliteJournal

A, B, C = "a" * 16, "b" * 16, "c" * 16
NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))
RESERVATION = Reservation(
    id=ReservationId("r1"),
    subnet_id=SubnetId("s1"),
    host_id=HostId(B),
    address=ip_address("10.1.0.1"),
    reason=ReservationReason.REST,
)
REMOVED = ForgottenHost(id=HostId(B), name="two")


def replica(host: str, saved: Saved = Saved()) -> Replica:  # noqa: B008
    return Replica(host, lambda: 1000.0, lambda size: bytes(size), saved)


def with_two_hosts() -> tuple[Replica, Replica]:
    """a knows all that b wrote."""
    a, b = replica(A), replica(B)
    b.write(
        [
            Draft(Host.KIND, B, codec.encode(Host(id=HostId(B), name="two")), True),
            Draft(Reservation.KIND, "r1", codec.encode(RESERVATION), True),
            Draft(Network.KIND, "n1", codec.encode(NETWORK), False),
        ]
    )
    give(b, a)
    return a, b


def give(sender: Replica, receiver: Replica) -> None:
    delta = sender.missing_for(receiver.digest)
    assert delta is not None
    assert receiver.merge(delta) is not None


async def test_what_a_removed_host_owned_goes_and_what_it_shared_stays() -> None:
    a, _ = with_two_hosts()
    store = MeshStore(a, MemoryJournal())
    heard: list[Changed] = []
    store.watch(heard.extend)
    await store.write([Put(REMOVED)])
    assert {changed.key for changed in heard} == {
        (ForgottenHost, B),
        (Host, B),
        (Reservation, "r1"),
    }
    assert not tuple(store.list(Host))
    assert store.get(Network, "n1") == NETWORK


async def test_a_removal_is_not_taken_back() -> None:
    a, _ = with_two_hosts()
    store = MeshStore(a, MemoryJournal())
    await store.write([Put(REMOVED)])
    with pytest.raises(InvalidError, match="never comes back"):
        await store.write([Delete(ForgottenHost, B)])


def test_who_has_not_heard_of_it_does_not_bring_it_back() -> None:
    a, b = with_two_hosts()
    c = replica(C)
    give(b, c)
    a.write([Draft(ForgottenHost.KIND, B, b"{}", False)])
    b.write([Draft(Reservation.KIND, "r2", b"{}", True), Draft(Network.KIND, "n2", b"{}", False)])
    give(b, c)
    give(c, a)
    assert a.get(Key(Reservation.KIND, "r2", B)) is None
    assert a.get(Key(Network.KIND, "n2", "")) is not None
    give(a, c)
    assert c.get(Key(Reservation.KIND, "r1", B)) is None
    assert c.digest == a.digest
    assert c.checksum == a.checksum


def test_a_removed_host_keeps_its_own_until_it_goes() -> None:
    a, b = with_two_hosts()
    a.write([Draft(ForgottenHost.KIND, B, b"{}", False)])
    give(a, b)
    assert b.get(Key(Reservation.KIND, "r1", B)) is not None
    b.write([Draft(Reservation.KIND, "r1", None, True)])
    give(b, a)
    assert a.digest == b.digest


async def test_a_removal_holds_after_a_restart(tmp_path: Path) -> None:
    a, _ = with_two_hosts()
    journal = SqliteJournal(tmp_path / "weft.db", "then")
    await journal.append(a.drain())
    entries = a.compose([Draft(ForgottenHost.KIND, B, b"{}", False)])
    await journal.append(a.drain_with(entries))
    # Ended before what went with it was taken out of the journal.
    again = replica(A, journal.load(True))
    assert again.get(Key(Reservation.KIND, "r1", B)) is None
    await journal.append(again.drain())
    assert all(entry.owner != B for entry in journal.load(True).entries)
    await journal.close()


def test_a_removed_hosts_old_incarnations_do_not_come_back_with_who_was_away() -> None:
    """Its statement about them stays, or who starts again would count them once more."""
    cluster = Cluster(4, 1, limits=Limits(tombstone_lifetime_s=5.0))
    gone, away, by = cluster.hosts[0], cluster.hosts[1], cluster.hosts[2]
    cluster.connect()
    gone.write(Draft("port", "p1", b"{}", True))
    cluster.run(2.0)
    away.crash()
    gone.crash(lost_batches=1)
    gone.start()
    cluster.connect()
    cluster.run(2.0)
    gone.write(Draft("port", "p1", None, True))
    gone.write(Draft("port", "p2", b"{}", True))
    cluster.run(10.0)
    for host in (gone, by, cluster.hosts[3]):
        host.purge()
    cluster.run(2.0)
    cluster.remove(gone)
    by.write(Draft(ForgottenHost.KIND, gone.name, b"{}", False))
    cluster.run(2.0)
    by.crash()
    cluster.check()
