"""Certificates: who they are of, how long they last, and what weftd pays for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.hosts import Nursery, running, until
from weft.cluster.certificates import DAY_S, Certificates, mint
from weft.cluster.private_file import PrivateFolder
from weft.cluster.secret import Secret
from weft.errors import UnavailableError
from weft.model.ids import HostId

SECRET = Secret(bytes(range(32)), 1)
ME = HostId("00000000000000aa")
NOW_S = 1_800_000_000.0


class Clock:
    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def kept(folder: Path, host_id: HostId = ME, clock: Clock | None = None) -> Certificates:
    return Certificates(host_id, PrivateFolder(folder), clock or Clock())


async def test_every_host_derives_the_same_authority_and_a_key_of_its_own() -> None:
    one = await mint(SECRET, ME, 0, 100)
    other = await mint(SECRET, HostId("00000000000000bb"), 0, 100)
    assert one.authority == other.authority
    assert one.key != other.key and one.certificate != other.certificate
    foreign = await mint(Secret(bytes(32), 1), ME, 0, 100)
    assert foreign.authority != one.authority
    assert one.key not in repr(one)


async def test_a_certificate_is_kept_for_the_next_start(tmp_path: Path) -> None:
    await kept(tmp_path).refresh([SECRET])
    [file] = files(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.read_bytes()
    again = kept(tmp_path)
    await again.refresh([SECRET])
    assert file.read_bytes() == written
    assert again.contexts(SECRET.id) is not None


async def test_a_certificate_of_another_host_or_a_damaged_one_is_not_used(tmp_path: Path) -> None:
    await kept(tmp_path).refresh([SECRET])
    [file] = files(tmp_path)
    written = file.read_bytes()
    await kept(tmp_path, HostId("00000000000000bb")).refresh([SECRET])
    assert file.read_bytes() != written
    file.write_bytes(b"{")
    await kept(tmp_path).refresh([SECRET])
    assert len(file.read_bytes()) > 500


@pytest.mark.parametrize("days", [16, -30])
async def test_a_certificate_is_renewed_long_before_its_end_and_when_the_clock_was_set_back(
    tmp_path: Path, days: int
) -> None:
    clock = Clock()
    certificates = kept(tmp_path, clock=clock)
    await certificates.refresh([SECRET])
    before = certificates.contexts(SECRET.id)
    clock.now_s += DAY_S
    await certificates.refresh([SECRET])
    assert certificates.contexts(SECRET.id) is before
    clock.now_s = NOW_S + days * DAY_S
    await certificates.refresh([SECRET])
    assert certificates.contexts(SECRET.id) is not before


async def test_what_belongs_to_a_secret_that_is_gone_goes(tmp_path: Path) -> None:
    certificates = kept(tmp_path)
    newer = Secret(bytes(32), 2)
    await certificates.refresh([SECRET, newer])
    assert len(files(tmp_path)) == 2
    await certificates.refresh([newer])
    assert [path.name for path in files(tmp_path)] == [f"certificate-{newer.id}.json"]
    assert certificates.contexts(SECRET.id) is None


async def test_what_fails_while_minting_is_said_and_harms_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = kept(tmp_path)
    await certificates.refresh([SECRET])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnavailableError, match="minting a certificate"):
        await certificates.refresh([SECRET, Secret(bytes(32), 2)])
    assert certificates.contexts(SECRET.id) is not None


async def test_hosts_whose_clocks_are_days_apart_link(cluster: Nursery) -> None:
    behind = cluster.host(wall_s=lambda: time.time() - 3 * DAY_S)
    ahead = cluster.host(wall_s=lambda: time.time() + 3 * DAY_S)
    async with running(behind, ahead):
        behind.want(ahead)
        await until(lambda: behind.linked() == {ahead.id})
        await until(lambda: behind.transport.links()[ahead.id].clock_offset_s is not None)
        offset_s = behind.transport.links()[ahead.id].clock_offset_s
        assert offset_s is not None and abs(offset_s - 6 * DAY_S) < 5


def test_links_do_not_import_what_mints() -> None:
    program = (
        "import sys, weft.cluster.tls_transport\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'cryptography'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    assert ran.stdout.strip() == "[]"
