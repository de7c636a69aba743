"""A host that starts: who it is, and what it had."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from weft.errors import InvalidError, UnavailableError
from weft.mesh.opening import Opened, open_mesh
from weft.model.ids import NetworkId, Vni
from weft.model.records import Host, Network, Subnet
from weft.store import continuity
from weft.store.beginning import Places
from weft.store.entry import Origin
from weft.store.interface import Delete, Put

NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))
HOST_ID = "00112233445566aa"


def places(folder: Path) -> Places:
    (folder / "run").mkdir(exist_ok=True)
    return Places(folder / "weft.db", folder / "host-id", folder / "run" / "start")


async def opened(folder: Path, seed: int = 1) -> Opened:
    return await open_mesh(places(folder), lambda: 1000.0, random.Random(seed).randbytes)


async def written(folder: Path, seed: int) -> Origin | None:
    """One more start and write; what was written under."""
    mesh = await opened(folder, seed)
    origin = mesh.replica.origin
    await mesh.store.write([Put(NETWORK), Delete(Network, NETWORK.id)])
    await mesh.store.close()
    return origin or mesh.replica.origin


async def test_records_and_the_hosts_id_outlive_the_process(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    await first.store.write([Put(NETWORK), Put(Host(id=first.host_id, name="one"))])
    await first.store.close()
    again = await opened(tmp_path, seed=2)
    assert again.host_id == first.host_id
    assert again.store.get(Network, "n1") == NETWORK
    assert again.replica.origin == first.replica.origin
    await again.store.close()
    assert (tmp_path / "weft.db").stat().st_mode & 0o777 == 0o600


async def test_after_a_restart_of_the_machine_another_incarnation_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await written(tmp_path, 1)
    assert await written(tmp_path, 2) == first
    boot = tmp_path / "boot_id"
    boot.write_text("another")
    monkeypatch.setattr(continuity, "BOOT_ID", boot)
    assert await written(tmp_path, 3) != first


async def test_a_backup_that_was_put_back_begins_another_incarnation(tmp_path: Path) -> None:
    first = await written(tmp_path, 4)
    backup = (tmp_path / "weft.db").read_bytes()
    assert await written(tmp_path, 5) == first
    (tmp_path / "weft.db").write_bytes(backup)
    assert await written(tmp_path, 6) != first


async def test_a_broken_database_is_set_aside_and_the_host_stays_who_it_is(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    await first.store.close()
    (tmp_path / "weft.db").write_bytes(b"no database at all" * 500)
    again = await opened(tmp_path, seed=2)
    assert again.host_id == first.host_id
    assert again.journal.set_aside == tmp_path / "weft.db.broken-1000"
    assert again.journal.set_aside.read_bytes().startswith(b"no database")
    await again.store.write([Put(NETWORK)])
    await again.store.close()


async def test_a_database_that_cannot_be_read_now_is_not_set_aside(tmp_path: Path) -> None:
    (tmp_path / "weft.db").mkdir()
    with pytest.raises(UnavailableError, match="unable to open"):
        await opened(tmp_path)


async def test_an_id_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host-id").write_text("h1\n")
    with pytest.raises(InvalidError, match="16 hexadecimal digits"):
        await opened(tmp_path)


async def test_a_directory_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidError, match="--state-dir"):
        await open_mesh(
            Places(tmp_path / "file" / "weft.db", tmp_path / "id", tmp_path / "start"),
            lambda: 1000.0,
            random.Random(1).randbytes,
        )


async def test_a_cancelled_writer_leaves_memory_and_disk_alike(tmp_path: Path) -> None:
    mesh = await opened(tmp_path)
    for number in range(20):
        network = Network(id=NetworkId(f"n{number}"), name=f"net{number}", vni=Vni(5000 + number))
        task = asyncio.ensure_future(mesh.store.write([Put(network)]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await mesh.store.close()
    in_memory = {network.id for network in mesh.store.list(Network)}
    again = await opened(tmp_path)
    assert {network.id for network in again.store.list(Network)} == in_memory
    await again.store.close()


WRITER = """
import asyncio, os, sys, time
from pathlib import Path
from weft.mesh.opening import open_mesh
from weft.store.beginning import Places
from weft.model.addresses import ip_network
from weft.model.records import Network, Subnet
from weft.store.interface import Put

async def main() -> None:
    folder = Path(sys.argv[1])
    places = Places(folder / "weft.db", folder / "host-id", folder / "run" / "start")
    store = (await open_mesh(places, time.time, os.urandom)).store
    for n in range(1, 1_000_000):
        subnet = Subnet(id=f"s{n}", cidr=ip_network(f"10.{n // 256 % 256}.{n % 256}.0/24"),
                        network_id=f"n{n}")
        await store.write([Put(Network(id=f"n{n}", name=f"net{n}", vni=n)), Put(subnet)])
        print(n, flush=True)

asyncio.run(main())
"""


def killed_writer(folder: Path, writes: int) -> int:
    """Let another process write, kill it after some writes; how many it had finished."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
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
    (tmp_path / "run").mkdir()
    finished = await asyncio.to_thread(killed_writer, tmp_path, writes)
    mesh = await opened(tmp_path)
    networks = {network.id for network in mesh.store.list(Network)}
    assert networks >= {f"n{n}" for n in range(1, finished + 1)}
    owners = {subnet.network_id for subnet in mesh.store.list(Subnet)}
    assert owners == networks
    assert mesh.journal.set_aside is None
    await mesh.store.close()


async def is_put_back(folder: Path, seed: int) -> bool:
    """One more start: whether it takes its records for older than what it wrote last."""
    mesh = await opened(folder, seed)
    await mesh.store.write([Put(NETWORK)])
    await mesh.store.close()
    return mesh.is_put_back


async def test_a_database_that_goes_on_is_not_taken_for_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not await is_put_back(tmp_path, 1)
    assert not await is_put_back(tmp_path, 2)
    (tmp_path / "run" / "start").unlink()  # as when the machine starts again
    assert not await is_put_back(tmp_path, 3)
    assert not await is_put_back(tmp_path, 4)


@pytest.mark.parametrize("has_rebooted", [False, True])
async def test_a_backup_that_is_put_back_is_noticed(tmp_path: Path, has_rebooted: bool) -> None:
    await is_put_back(tmp_path, 1)
    await is_put_back(tmp_path, 2)
    shutil.copy(tmp_path / "weft.db", tmp_path / "backup")
    await is_put_back(tmp_path, 3)
    (tmp_path / "backup").rename(tmp_path / "weft.db")
    if has_rebooted:
        (tmp_path / "run" / "start").unlink()
    assert await is_put_back(tmp_path, 4)
    assert not await is_put_back(tmp_path, 5)


async def test_a_lost_database_is_noticed_by_the_hosts_id(tmp_path: Path) -> None:
    await is_put_back(tmp_path, 1)
    (tmp_path / "weft.db").unlink()
    assert await is_put_back(tmp_path, 2)
