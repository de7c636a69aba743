from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from weft.errors import InvalidError, UnavailableError
from weft.model.ids import NetworkId, Vni
from weft.model.records import Network, Subnet
from weft.store.interface import Changed, Delete, Put
from weft.store.sqlite import SqliteStore

NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))


def opened(path: Path) -> SqliteStore:
    return SqliteStore(path, time.time, host="h1")


async def test_records_and_facts_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state" / "weft.db"
    store = opened(path)
    heard: list[Changed] = []
    store.watch(heard.extend)
    await store.write([Put(NETWORK)])
    await store.write([Put(NETWORK)])
    await store.write_fact("host_id", "abc")
    assert heard == [Changed(None, NETWORK)]
    await store.close()
    again = opened(path)
    assert again.get(Network, "n1") == NETWORK
    assert tuple(again.by(Network, "name", "foo")) == (NETWORK,)
    assert await again.read_fact("host_id") == "abc"
    await again.write([Delete(Network, "n1")])
    await again.close()
    last = opened(path)
    assert not tuple(last.list(Network))
    await last.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_record_that_does_not_decode_is_set_aside_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    store = opened(path)
    await store.write([Put(NETWORK)])
    await store.close()
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO records VALUES ('network', 'bad', 1, 'h', '{\"id\":1}')")
        database.execute("INSERT INTO records VALUES ('comet', 'c1', 1, 'h', '{}')")
    database.close()
    for _ in range(2):
        store = opened(path)
        assert store.get(Network, "n1") == NETWORK
        assert [(q.kind, q.id) for q in store.quarantined] == [("network", "bad")]
        assert "id" in store.quarantined[0].reason
        await store.close()
    with sqlite3.connect(path) as database:
        kinds = database.execute("SELECT kind FROM records ORDER BY kind").fetchall()
    database.close()
    assert kinds == [("comet",), ("network",)]


async def test_a_file_that_is_no_database_is_moved_out_of_the_way(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    path.write_bytes(b"no database at all" * 500)
    store = opened(path)
    await store.write([Put(NETWORK)])
    assert store.set_aside is not None
    assert store.set_aside.read_bytes().startswith(b"no database")
    await store.close()


async def test_a_directory_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidError, match="--state-dir"):
        opened(tmp_path / "file" / "weft.db")


async def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path / "weft.db")
    with sqlite3.connect(tmp_path / "weft.db") as other:
        other.execute("DROP TABLE records")
    other.close()
    with pytest.raises(UnavailableError, match="nothing was changed"):
        await store.write([Put(NETWORK)])
    assert store.get(Network, "n1") is None
    await store.close()


async def test_a_cancelled_writer_leaves_memory_and_disk_alike(tmp_path: Path) -> None:
    store = opened(tmp_path / "weft.db")
    for number in range(20):
        network = Network(id=NetworkId(f"n{number}"), name=f"net{number}", vni=Vni(5000 + number))
        task = asyncio.ensure_future(store.write([Put(network)]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await store.close()
    in_memory = {network.id for network in store.list(Network)}
    again = opened(tmp_path / "weft.db")
    assert {network.id for network in again.list(Network)} == in_memory
    await again.close()


WRITER = """
import asyncio, sys, time
from pathlib import Path
from weft.model.addresses import ip_network
from weft.model.records import Network, Subnet
from weft.store.interface import Put
from weft.store.sqlite import SqliteStore

async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]), time.time, "h1")
    for n in range(1, 1_000_000):
        subnet = Subnet(id=f"s{n}", cidr=ip_network(f"10.{n // 256 % 256}.{n % 256}.0/24"),
                        network_id=f"n{n}")
        await store.write([Put(Network(id=f"n{n}", name=f"net{n}", vni=n)), Put(subnet)])
        print(n, flush=True)

asyncio.run(main())
"""


def killed_writer(path: Path, writes: int) -> int:
    """Let another process write, kill it after some writes; how many it had finished."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        last = 0
        while last < writes:
            last = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
    return int(rest[-1]) if rest else last


@pytest.mark.parametrize("writes", [1, 7, 40])
async def test_kill_9_at_any_moment_loses_no_finished_write(tmp_path: Path, writes: int) -> None:
    path = tmp_path / "weft.db"
    finished = await asyncio.to_thread(killed_writer, path, writes)
    store = opened(path)
    networks = {network.id for network in store.list(Network)}
    assert networks >= {f"n{n}" for n in range(1, finished + 1)}
    owners = {subnet.network_id for subnet in store.list(Subnet)}
    assert owners == networks
    assert store.set_aside is None
    await store.close()
