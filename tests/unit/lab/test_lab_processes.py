"""Processes are known by pid and start time, and nobody else's is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from weft.lab import processes
from weft.lab.processes import ProcessId, ProcessRecord

_SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
_STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)",
]


def test_a_started_process_is_recorded_and_stopped(tmp_path: Path) -> None:
    record = ProcessRecord(tmp_path / "record.json")
    process = processes.start(_SLEEP, record, tmp_path / "log", os.environ)
    assert record.read() == process
    assert processes.stop([process]) == []
    assert record.read() is None


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = processes.start(_STUBBORN, ProcessRecord(tmp_path / "r.json"), log, os.environ)
    processes.wait_until("it ignores SIGTERM", lambda: log.stat().st_size > 0, timeout_s=10)
    assert processes.stop([process], grace_s=0.1) == []
    assert not process.is_running


def test_a_recycled_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(_SLEEP) as child:
        real = ProcessId.of(child.pid)
        assert real is not None
        other = ProcessId(real.pid, real.start_ticks - 1)
        record = ProcessRecord(tmp_path / "record.json")
        record.write(other)
        assert record.read() is None
        assert processes.stop([other]) == []
        assert child.poll() is None
        child.kill()


def test_a_record_that_cannot_be_read_names_nobody(tmp_path: Path) -> None:
    record = ProcessRecord(tmp_path / "record.json")
    assert record.read() is None
    for damage in (b"", b"{", b'{"pid": "one"}'):
        record.path.write_bytes(damage)
        assert record.read() is None
    record.forget()
    record.forget()
