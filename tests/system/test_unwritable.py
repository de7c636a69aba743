"""A state or run directory that cannot be written: the error says what, why and the fix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

CHILD = """
import asyncio, sqlite3, sys
from pathlib import Path
from weft.cli import daemon_process
from weft.cluster.secret import Secrets
from weft.config import load
from weft.errors import WeftError
from weft.host.instance import only_instance
from weft.mesh.opening import open_mesh
from weft.store.beginning import Places
from weft.store.sqlite_journal import SqliteJournal

state, fresh = Path(sys.argv[1]) / "state", Path(sys.argv[1]) / "fresh"
settings = load({"state_dir": str(fresh), "run_dir": str(fresh / "run")}, {})


def begin(where, random=bytes):
    Secrets.found(where, random, 1.0)


def mesh(where):
    places = Places(where / "weft.db", where / "host-id", where / "mark")
    asyncio.run(open_mesh(places, lambda: 1.0, bytes))


def instance():
    with only_instance(settings.pid_file):
        pass


if sys.argv[2] == "fill":
    begin(state)
    journal = SqliteJournal(state / "weft.db", "old")
    asyncio.run(journal.close())
    sys.exit(0)
for attempt in (
    lambda: begin(fresh),
    lambda: mesh(fresh),
    lambda: mesh(state),
    instance,
    lambda: daemon_process.start(settings, {}),
):
    try:
        attempt()
        print("no error")
    except WeftError as error:
        print(error)
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "child.py"
    path.write_text(CHILD)
    place = tmp_path / "disk"
    place.mkdir()
    python = f"{sys.executable} {path} {place}"
    return (
        f"set -e; mount -t tmpfs disk {place}; {python} fill;"
        f"mount -o remount,ro {place}; {python} try"
    )


def test_a_read_only_file_system_is_named_with_its_fix(script: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    errors = ran.stdout.splitlines()
    assert len(errors) == 5
    for error in errors:
        assert str(tmp_path / "disk") in error
        assert "read-only" in error.lower() or "readonly" in error
        assert "mount its file system for writing" in error
        assert "--run-dir" in error if "run directory" in error else "--state-dir" in error
