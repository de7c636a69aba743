"""Whatever is in a file that weftd keeps, it is read, begun anew or refused in words."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from weft import config
from weft.cluster.remembered import Remembered
from weft.cluster.secret import Secrets
from weft.cluster.token import decode as decode_token
from weft.config import Settings
from weft.engine.plumbing.host_settings import HostSettings
from weft.errors import InvalidError, WeftError
from weft.etcd.keys import Keys
from weft.etcd.known import Known
from weft.kernel.wireguard import key_file
from weft.mesh.opening import Opened, open_mesh
from weft.model.ids import NetworkId, Vni
from weft.model.records import Network
from weft.observers.host.wireguard_keys import WireGuardKeys
from weft.store.beginning import Places
from weft.store.interface import Put
from weft.store.sqlite_journal import SqliteJournal

NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))
DEEP = b'{"x":' + b"[" * 3000 + b"]" * 3000 + b"}"
READERS: dict[str, Callable[[Path], object]] = {
    "cluster/secret.json": Secrets.open,
    "cluster/hosts.json": Remembered,
    "cluster/wireguard.json": key_file.read,
    "host-settings": lambda folder: HostSettings(folder)._read(),
    "weft.toml": lambda folder: config.load(environment={}, file=folder / "weft.toml"),
    "token": lambda folder: decode_token((folder / "token").read_text(errors="replace")),
}
hostile = st.binary(max_size=200) | st.sampled_from(
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"\0" * 5000,
        DEEP,
        b"[" * 100_000,
        b"x = " + b"[" * 5000,
        b'{"current":{"value":"AA==","serial":1},"cluster_id":"x","is_cluster_certain":true}',
        b'{"hosts":{"x":{"name":"\\ud800"}}}',
        b'{"hosts":{"x":{"name":"","endpoints":[["h",%d]]}}}' % 2**80,
    ]
)
at_leisure = settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=60)


@pytest.mark.parametrize("name", READERS)
@given(data=hostile)
@example(data=DEEP)
@at_leisure
def test_a_file_of_any_content_is_read_or_refused_in_words(name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = path_of(Path(folder), name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)
        try:
            READERS[name](Path(folder))
        except InvalidError as error:
            assert str(error)


def path_of(folder: Path, name: str) -> Path:
    return HostSettings(folder)._file if name == "host-settings" else folder / name


def test_the_files_of_those_tests_are_the_ones_that_are_read(tmp_path: Path) -> None:
    keys = WireGuardKeys(tmp_path, random.Random(1).randbytes, lambda: 1.0)
    assert READERS["cluster/wireguard.json"](tmp_path) is None
    made = keys.current()
    assert READERS["cluster/wireguard.json"](tmp_path) == made
    assert READERS["cluster/secret.json"](tmp_path) is None
    Secrets.found(tmp_path, random.Random(1).randbytes, 1.0)
    assert READERS["cluster/secret.json"](tmp_path) is not None
    Remembered(tmp_path).update(join="h1")
    assert {path.name for path in (tmp_path / "cluster").iterdir()} == {
        "secret.json",
        "hosts.json",
        "wireguard.json",
    }
    (tmp_path / "weft.toml").write_text('name = "x"\n')
    assert READERS["weft.toml"](tmp_path) == Settings(name="x")


values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.binary(max_size=5),
    st.floats(allow_nan=False),
    st.sampled_from(["network", "host", "mesh-incarnations", "n1", "a" * 16, 5, b"{}", DEEP]),
)


async def opened(folder: Path) -> Opened:
    places = Places(folder / "db", folder / "host_id", folder / "start")
    return await open_mesh(places, lambda: 2e9, random.Random(2).randbytes)


def spoil(
    path: Path, entries: list[tuple[object, ...]], marks: list[tuple[object, ...]], fact: object
) -> None:
    database = sqlite3.connect(path)
    with database:
        for row in entries:
            database.execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        for row in marks:
            database.execute("INSERT OR IGNORE INTO marks VALUES (?, ?, ?, ?)", row)
        for name in ("incarnation", "since"):
            database.execute(
                "INSERT OR REPLACE INTO mesh_facts VALUES (?, ifnull(?, 'x'))", (name, fact)
            )
    database.close()


@given(
    st.lists(st.tuples(*[values] * 8), max_size=6),
    st.lists(st.tuples(*[values] * 4), max_size=6),
    values,
)
@at_leisure
def test_a_journal_of_any_content_is_opened_and_written(
    entries: list[tuple[object, ...]], marks: list[tuple[object, ...]], fact: object
) -> None:
    async def check(folder: Path) -> None:
        first = await opened(folder)
        await first.store.write([Put(NETWORK)])
        await first.close()
        spoil(folder / "db", entries, marks, fact)
        again = await opened(folder)
        assert again.store.get(Network, "n1") is not None
        await again.store.write([Put(Network(id=NetworkId("n2"), name="bar", vni=Vni(5001)))])
        await again.close()
        known = Known("a" * 16)
        journal = SqliteJournal(folder / "db", "x")
        saved = journal.load(is_continued=True)
        known.load(saved.entries, saved.marks, is_old=False)
        await journal.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))


@given(st.binary(max_size=40))
@at_leisure
def test_a_database_of_any_content_is_set_aside_or_opened(data: bytes) -> None:
    async def check(folder: Path) -> None:
        (folder / "db").write_bytes(data)
        (folder / "start").write_bytes(data)
        store = await opened(folder)
        await store.store.write([Put(NETWORK)])
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))


@given(st.binary(max_size=40))
@at_leisure
def test_a_host_id_of_any_content_is_read_or_refused_in_words(data: bytes) -> None:
    async def check(folder: Path) -> None:
        (folder / "host_id").write_bytes(data)
        try:
            await (await opened(folder)).close()
        except WeftError as error:
            assert "host id" in str(error)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))


@given(st.binary(max_size=60))
@example(b"a" * 16 + b"/network/\x1b[2J")
@example(b"-/network/a\nb")
@example(b"-/network/n1")
@example(b"-/" + b"k" * 5000 + b"/x")
def test_a_key_in_etcd_names_a_record_or_is_somebody_elses(name: bytes) -> None:
    keys = Keys("/weft")
    key = keys.decode(keys.records + name)
    if key is not None:
        assert (key.kind + key.id).isprintable()
        assert keys.encode(key) == keys.records + name
