"""What a member of the mesh finds again when it starts."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.mesh import schedules
from tests.mesh.simulation import Cluster
from weft.errors import InvalidError, UnavailableError
from weft.mesh.replica import Limits, Replica
from weft.mesh.store import MeshStore
from weft.model.ids import HostId, NetworkId, Vni
from weft.model.records import Cluster as ClusterRecord
from weft.model.records import Host, Network
from weft.store.batch import Batch, Saved
from weft.store.interface import Delete, Put
from weft.store.journal import MemoryJournal
from weft.store.sqlite_journal import SqliteJournal, drop_unshared

H1 = "1" * 16
NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))


class Recorder(MemoryJournal):
    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []

    def keep(self, batch: Batch) -> None:
        super().keep(batch)
        self.batches.append(batch)


def comparable(saved: Saved) -> tuple[object, ...]:
    entries = {entry.key: entry for entry in saved.entries}
    marks, purged = dict(saved.marks), dict(saved.purged)
    return entries, marks, purged, saved.incarnation, saved.since


def opened(path: Path) -> SqliteJournal:
    return SqliteJournal(path, "then")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_database_holds_the_same_as_memory(tmp_path: Path, seed: int) -> None:
    cluster = Cluster(3, seed, limits=Limits(tombstone_lifetime_s=4.0))
    host = cluster.hosts[0]
    host.crash()
    recorder = host.journal = Recorder()
    host.start()
    schedules.run(cluster, 80)
    cluster.check()
    host.purge()
    journal = opened(tmp_path / "mesh.db")
    memory = MemoryJournal()
    for batch in recorder.batches:
        await journal.append(batch)
        await memory.append(batch)
    for is_continued in (True, False):
        assert comparable(journal.load(is_continued)) == comparable(memory.load(is_continued))
    await journal.close()


async def test_a_member_that_starts_again_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "mesh.db"
    journal = opened(path)
    replica = Replica(H1, time.time, random.Random(1).randbytes, journal.load(True))
    store = MeshStore(replica, journal)
    await store.write([Put(NETWORK), Put(Host(id=HostId(H1), name="one"))])
    await store.write([Delete(Host, H1)])
    again = opened(path)
    for is_continued in (True, False):
        later = Replica(H1, time.time, random.Random(2).randbytes, again.load(is_continued))
        assert later.digest == replica.digest
        assert later.checksum == replica.checksum
        assert (later.origin == replica.origin) == is_continued
        assert again.load(True).incarnation == (later.origin and later.origin.incarnation)
        assert MeshStore(later, again).get(Network, "n1") == NETWORK
        assert MeshStore(later, again).get(Host, H1) is None
    await again.close()
    await store.close()


async def test_a_broken_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "mesh.db"
    path.write_bytes(b"not a database" * 1000)
    journal = opened(path)
    assert journal.set_aside is not None
    assert journal.set_aside.exists()
    assert journal.load(True) == Saved([], {}, {}, None)
    await journal.close()


async def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidError, match="state directory"):
        opened(tmp_path / "file" / "mesh.db")


async def test_a_database_that_refuses_keeps_nothing_of_a_write(tmp_path: Path) -> None:
    path = tmp_path / "mesh.db"
    journal = opened(path)
    replica = Replica(H1, time.time, random.Random(1).randbytes, journal.load(True))
    store = MeshStore(replica, journal)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE marks")
    with pytest.raises(UnavailableError, match="nothing was changed"):
        await store.write([Put(NETWORK)])
    assert store.get(Network, "n1") is None
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM entries").fetchone() == (0,)
    await journal.close()


async def test_what_nobody_has_met_can_be_dropped_before_joining(tmp_path: Path) -> None:
    """And the rest is as it was; the host goes on writing under the same incarnation."""
    path = tmp_path / "weft.db"
    drop_unshared(path, ClusterRecord.KIND)
    assert not path.exists()
    journal = opened(path)
    replica = Replica(H1, time.time, random.Random(1).randbytes, journal.load(is_continued=False))
    store = MeshStore(replica, journal)
    await store.write([Put(ClusterRecord(is_encrypted=True)), Put(NETWORK)])
    await store.close()
    drop_unshared(path, ClusterRecord.KIND)
    journal = opened(path)
    replica = Replica(H1, time.time, random.Random(2).randbytes, journal.load(is_continued=True))
    store = MeshStore(replica, journal)
    assert list(store.list(ClusterRecord)) == []
    assert list(store.list(Network)) == [NETWORK]
    await store.write([Put(ClusterRecord())])
    assert [entry.sequence for entry in replica.entries() if entry.kind == "cluster"] == [3]
    await store.close()
