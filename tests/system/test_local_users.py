"""A user of the host who is not root: gets at nothing of weftd's, and keeps it from nothing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.disk import own_directory
from weft.errors import ConflictError, InvalidError, KernelError
from weft.host.instance import only_instance
from weft.kernel.bpf import bpffs
from weft.lab.host import LabHost

pytestmark = pytest.mark.root
NOBODY = 65534

INTRUDER = """
import sys

os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
for path in sys.argv[1:]:
    if os.path.exists(path) and open_to_all(path):
        print(path)
"""
HELPERS = """
import contextlib, fcntl, os, socket


def open_to_all(path):
    "Whether this user reads it, locks it, lists it, writes in it or speaks to it."
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as speaker:
        speaker.settimeout(2)
        speaker.connect(path)
        return True
    with contextlib.suppress(OSError):
        fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return os.access(path, os.R_OK) or os.access(path, os.W_OK)
"""


def within_reach(paths: list[Path]) -> list[str]:
    """Those that an ordinary user can do anything with."""
    ran = subprocess.run(
        [sys.executable, "-c", HELPERS + INTRUDER, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return ran.stdout.splitlines()


def test_sockets_keys_records_and_locks_are_roots(host: LabHost) -> None:
    run, state = host.layout.run / "weft", host.layout.state / "weft"
    paths = [
        host.layout.lab.run,
        run / "weftd.sock",
        run / "docker-plugin.sock",
        run / "weftd.pid",
    ]
    paths += [state, *sorted(state.rglob("*"))]
    assert {"weft.db", "secret.json", "weftd.log"} <= {path.name for path in paths}
    assert within_reach(paths) == []


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Path]:
    """A place in which anybody may make things, such as /tmp."""
    place = tmp_path / "anybody"
    place.mkdir()
    place.chmod(0o1777)
    yield place


def test_a_directory_that_others_made_first_is_refused(stranger: Path) -> None:
    theirs = stranger / "weft"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    with pytest.raises(InvalidError, match=f"{theirs}: belongs to user {NOBODY}.*chown root"):
        own_directory(theirs, 0o700, "state-dir")
    with pytest.raises(InvalidError, match="--run-dir"), only_instance(theirs / "weftd.pid"):
        pass
    target = stranger / "target"
    target.mkdir()
    link = stranger / "link"
    link.symlink_to(target)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(InvalidError, match="belongs to user"):
        own_directory(link, 0o700, "state-dir")
    target.chmod(0o777)
    with pytest.raises(InvalidError, match="others may write there; chmod go-w"):
        own_directory(target, 0o700, "state-dir")


def test_a_directory_of_ones_own_is_taken_as_it_is(stranger: Path) -> None:
    own_directory(stranger / "a" / "weft", 0o700, "state-dir")
    assert (stranger / "a" / "weft").stat().st_mode & 0o777 == 0o700
    (stranger / "a" / "weft").chmod(0o755)
    own_directory(stranger / "a" / "weft", 0o700, "state-dir")
    assert (stranger / "a" / "weft").stat().st_mode & 0o777 == 0o755


def test_a_link_in_the_place_of_the_pid_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "run").mkdir(mode=0o755)
    (tmp_path / "run" / "weftd.pid").symlink_to(victim)
    with pytest.raises(InvalidError), only_instance(tmp_path / "run" / "weftd.pid"):
        pass
    assert victim.read_text() == "precious"


def test_nobody_else_can_lock_the_pid_file_that_a_dead_weftd_left(tmp_path: Path) -> None:
    pid_file = tmp_path / "run" / "weftd.pid"
    pid_file.parent.mkdir(mode=0o711)
    pid_file.write_text("1\n")
    pid_file.chmod(0o644)
    with only_instance(pid_file):
        assert pid_file.stat().st_mode & 0o777 == 0o600
        with pytest.raises(ConflictError), only_instance(pid_file):
            pass


def test_a_folder_of_pins_that_others_made_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "bpf"
    bpffs.mount_bpffs(place)
    try:
        (place / "weft").mkdir()
        os.chown(place / "weft", NOBODY, NOBODY)
        with pytest.raises(KernelError, match="other users may change it"):
            bpffs.mount_bpffs(place / "weft")
        os.chown(place / "weft", 0, 0)
        bpffs.mount_bpffs(place / "weft")
    finally:
        (place / "weft").rmdir()
        bpffs.purge(place)


def test_whoever_locks_the_place_of_the_pins_keeps_weftd_only_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bpffs, "LOCK_S", 0.1)
    theirs = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        bpffs.mount_bpffs(tmp_path / "bpf")
        assert "somebody keeps a folder locked" in capsys.readouterr().out
        bpffs.mount_bpffs(tmp_path / "bpf")
        assert capsys.readouterr().out == ""
    finally:
        os.close(theirs)
        bpffs.purge(tmp_path / "bpf")
