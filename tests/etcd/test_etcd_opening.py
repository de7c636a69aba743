"""A host that starts with its records in etcd: what it brings along, and what it must not do."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.etcd.server import EtcdServer
from weft.cluster.certificates import Certificate, mint
from weft.cluster.secret import Secrets
from weft.config import Settings
from weft.daemon.records import open_records
from weft.errors import InvalidError, UnavailableError
from weft.etcd import access
from weft.etcd.client import EtcdClient
from weft.etcd.opening import EtcdOpened
from weft.mesh.opening import Opened
from weft.model.ids import HostId, NetworkId, Vni
from weft.model.records import Host, Network
from weft.store.interface import Put

NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))


def settings(folder: Path, store: str, **others: str) -> Settings:
    (folder / "run").mkdir(exist_ok=True)
    return Settings(
        name="h1",
        run_dir=str(folder / "run"),
        state_dir=str(folder),
        store=store,
        **others,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def opened(given: Settings) -> AsyncIterator[Opened | EtcdOpened]:
    folder = Path(given.state_dir)
    secrets = Secrets.open(folder) or Secrets.found(folder, os.urandom, time.time())
    records = await open_records(given, secrets)
    try:
        yield records
    finally:
        await records.close()


def url(etcd: EtcdServer) -> str:
    prefix = f"test-{os.urandom(6).hex()}"
    return f"etcd://127.0.0.1:{etcd.port}/{prefix}"


async def test_records_outlive_the_process_and_need_no_etcd(
    own_etcd: EtcdServer, tmp_path: Path
) -> None:
    own_etcd.start()
    given = settings(tmp_path, url(own_etcd))
    async with opened(given) as first:
        await first.store.write([Put(NETWORK), Put(Host(id=first.host_id, name="h1"))])
    own_etcd.stop()
    async with opened(given) as again:
        assert again.host_id == first.host_id
        assert again.store.get(Network, "n1") == NETWORK
        assert "Connection refused" in again.health().store.trouble
        assert not again.is_put_back
        await again.store.write([Put(Host(id=first.host_id, name="other"))])
        with pytest.raises(UnavailableError, match="Connection refused"):
            await again.store.write([Put(NETWORK)])
        assert again.health().store.waiting == 1
    assert given.etcd_database.stat().st_mode & 0o777 == 0o600
    own_etcd.start()
    async with opened(given) as third:
        assert third.store.get(Host, first.host_id) == Host(id=first.host_id, name="other")
        assert isinstance(third, EtcdOpened)
        await third.store.push()
        assert third.health().store.waiting == 0


async def test_a_host_of_the_mesh_brings_its_records_along_and_does_not_go_back(
    etcd: EtcdServer, tmp_path: Path
) -> None:
    async with opened(settings(tmp_path, "mesh")) as mesh:
        secrets = Secrets.open(tmp_path)
        assert secrets is not None
        me = Host(id=mesh.host_id, name="h1", secret_id=secrets.current_id)
        await mesh.store.write([Put(NETWORK), Put(me)])
    where = url(etcd)
    async with opened(settings(tmp_path, where)) as host:
        assert host.host_id == mesh.host_id
        assert not host.is_put_back
        assert host.store.get(Network, "n1") == NETWORK
        assert isinstance(host, EtcdOpened)
        await host.store.push()
    with pytest.raises(InvalidError, match=r"--store mesh: .*weft leave"):
        async with opened(settings(tmp_path, "mesh")):
            pass
    folder = tmp_path / "second"
    folder.mkdir()
    Secrets.join(folder, secrets.token())
    async with opened(settings(folder, where)) as newcomer:
        assert newcomer.store.get(Network, "n1") == NETWORK
        assert newcomer.store.get(Host, mesh.host_id) == me


async def test_a_database_that_is_broken_is_set_aside_and_read_again_from_etcd(
    etcd: EtcdServer, tmp_path: Path
) -> None:
    given = settings(tmp_path, url(etcd))
    async with opened(given) as first:
        me = Host(id=first.host_id, name="h1", secret_id=Secrets.open(tmp_path).current_id)  # type: ignore[union-attr]
        await first.store.write([Put(me), Put(NETWORK)])
    given.etcd_database.write_bytes(b"no database at all" * 500)
    async with opened(given) as again:
        assert again.health().set_aside is not None
        assert again.is_put_back
        assert again.store.get(Host, first.host_id) == me
        assert again.store.get(Network, "n1") == NETWORK


async def test_the_etcd_of_another_cluster_is_refused_at_once(
    etcd: EtcdServer, tmp_path: Path
) -> None:
    where = url(etcd)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    async with opened(settings(one, where)) as first:
        await first.store.write(
            [Put(Host(id=first.host_id, name="h1", secret_id="x")), Put(NETWORK)]
        )
    with pytest.raises(InvalidError, match="another cluster's records"):
        async with opened(settings(two, where)):
            pass


class Encrypted:
    """An etcd with a certificate, and the settings of those who trust its authority."""

    def __init__(self, folder: Path, made: Certificate, *, is_asking: bool) -> None:
        """is_asking: for the client's certificate, too."""
        for name, text in (("ca", made.authority), ("cert", made.certificate), ("key", made.key)):
            (folder / name).write_text(text)
        ca, cert, key = (str(folder / name) for name in ("ca", "cert", "key"))
        asks = ("--trusted-ca-file", ca, "--client-cert-auth") if is_asking else ()
        words = ("--cert-file", cert, "--key-file", key, *asks)
        self.server = EtcdServer(*words, is_encrypted=True)
        self.where = f"etcd://127.0.0.1:{self.server.port}"
        self.trust = {"etcd_ca_file": ca}
        self.certificate = {"etcd_cert_file": cert, "etcd_key_file": key}


@pytest.fixture
async def made(tmp_path: Path) -> Certificate:
    """For an etcd on loopback."""
    secrets = Secrets.found(tmp_path / "authority", os.urandom, time.time())
    now_s = int(time.time())
    return await mint(secrets.current, HostId("a" * 16), now_s - 60, now_s + 86400, ["127.0.0.1"])


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """The folder of a host that has not been there."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    return folder


async def test_both_ends_show_certificates(
    tmp_path: Path, stranger: Path, made: Certificate
) -> None:
    etcd = Encrypted(tmp_path, made, is_asking=True)
    try:
        etcd.server.start()
        async with opened(settings(tmp_path, etcd.where, **etcd.trust, **etcd.certificate)) as host:
            assert host.health().store.trouble == ""
            await host.store.write([Put(NETWORK)])
        public = {"etcd_ca_file": "/etc/ssl/certs/ca-certificates.crt"}
        async with opened(settings(stranger, etcd.where, **public)) as host:
            assert "certificate is not accepted" in host.health().store.trouble
        async with opened(settings(stranger, etcd.where, **etcd.trust)) as host:
            assert "--etcd-cert-file" in host.health().store.trouble
    finally:
        etcd.server.remove()


async def test_an_etcd_that_asks_for_passwords(
    tmp_path: Path, stranger: Path, made: Certificate
) -> None:
    etcd = Encrypted(tmp_path, made, is_asking=False)
    password = tmp_path / "password"
    password.write_text("pass word\n")
    password.chmod(0o600)
    login = {"etcd_user": "weft", "etcd_password_file": str(password)}
    try:
        etcd.server.start()
        await _ask_for_passwords(settings(tmp_path, etcd.where, **etcd.trust))
        async with opened(settings(tmp_path, etcd.where, **etcd.trust, **login)) as host:
            assert host.health().store.trouble == ""
            await host.store.write([Put(NETWORK)])
        with pytest.raises(InvalidError, match="user name is empty"):
            async with opened(settings(stranger, etcd.where, **etcd.trust)):
                pass
        password.write_text("wrong")
        with pytest.raises(InvalidError, match=r"user weft: .*authentication failed") as refused:
            async with opened(settings(stranger, etcd.where, **etcd.trust, **login)):
                pass
        assert "wrong" not in str(refused.value)
    finally:
        etcd.server.remove()


async def _ask_for_passwords(given: Settings) -> None:
    client: EtcdClient = access.client_of(given)
    span = {"permType": "READWRITE", "key": b"/weft/", "range_end": b"/weft0"}
    for path, request in (
        ("user/add", {"name": "root", "password": "r"}),
        ("user/add", {"name": "weft", "password": "pass word"}),
        ("role/add", {"name": "weft"}),
        ("role/grant", {"name": "weft", "perm": span}),
        ("user/grant", {"user": "root", "role": "root"}),
        ("user/grant", {"user": "weft", "role": "weft"}),
        ("enable", {}),
    ):
        await client.call(f"/v3/auth/{path}", request, object)
    await client.close()
