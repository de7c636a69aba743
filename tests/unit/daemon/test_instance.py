"""One weftd a run directory, however closely one follows the other."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from weft.errors import ConflictError
from weft.host.instance import only_instance


def test_a_second_one_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    pid_file = tmp_path / "run" / "weftd.pid"
    with only_instance(pid_file):
        with (
            pytest.raises(ConflictError, match=f"as process {os.getpid()} "),
            only_instance(pid_file),
        ):
            pass
        assert pid_file.read_text() == f"{os.getpid()}\n"
    assert not pid_file.exists()


def test_one_that_ends_while_the_next_one_starts_leaves_no_room_for_a_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "weftd.pid"
    pid_file.touch()
    lock = fcntl.flock

    def end_and_lock(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        pid_file.unlink()
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", end_and_lock)
    with only_instance(pid_file):
        assert pid_file.read_text() == f"{os.getpid()}\n"
        with pytest.raises(ConflictError), only_instance(pid_file):
            pass
