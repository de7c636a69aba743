"""Processes of a lab: started detached, recorded by pid and start time, stopped by that record.

The kernel gives a pid again; it never gives the same pid with the same start time. So a record
that outlived its process can be told from one that did not, and nobody else's process is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from weft.errors import UnavailableError
from weft.readiness import ready

_children: list[subprocess.Popen[bytes]] = []
"""What this process started; the daemons among them outlive it."""


class ProcessId(msgspec.Struct, frozen=True):
    """One process of this boot, beyond doubt."""

    pid: int
    start_ticks: int
    """Clock ticks from boot to its start (proc(5), field 22 of stat)."""

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this pid now; None when there is none, or only a zombie."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @property
    def is_running(self) -> bool:
        """Whether this very process lives."""
        return ProcessId.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process and no other; nothing happens if it is gone."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.is_running:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


@dataclass(frozen=True)
class ProcessRecord:
    """The file that says which process does a job."""

    path: Path

    def read(self) -> ProcessId | None:
        """The recorded process, if it still runs."""
        try:
            process = msgspec.json.decode(self.path.read_bytes(), type=ready(ProcessId))
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return process if process.is_running else None

    def write(self, process: ProcessId) -> None:
        """Record a process."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(msgspec.json.encode(process))

    def forget(self) -> None:
        """Remove the record."""
        self.path.unlink(missing_ok=True)


def start(
    command: Sequence[str], record: ProcessRecord, log: Path, environment: Mapping[str, str]
) -> ProcessId:
    """Start a daemon in a session of its own, its output at the end of `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=environment,
        )
    _children.append(child)
    process = ProcessId.of(child.pid)
    if process is None:
        raise UnavailableError(f"{command[0]} ended at once; see {log}")
    record.write(process)
    return process


def stop(processes: Iterable[ProcessId], *, grace_s: float = 5) -> list[ProcessId]:
    """End processes: SIGTERM, and SIGKILL after `grace_s`. Returns those that do not die."""
    living = [process for process in processes if process.is_running]
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        for process in living:
            process.signal(number)
        living = _wait_ended(living, patience_s)
    return living


def kill(process: ProcessId) -> None:
    """End a process at once, as a crash would."""
    process.signal(signal.SIGKILL)
    if _wait_ended([process], 5.0):
        raise UnavailableError(f"process {process.pid} does not die")


def _wait_ended(processes: Sequence[ProcessId], patience_s: float) -> list[ProcessId]:
    """Those of `processes` that still run at the deadline."""
    deadline = time.monotonic() + patience_s
    for process in processes:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            if process.is_running:
                select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(descriptor)
    _reap()
    return [process for process in processes if process.is_running]


def _reap() -> None:
    """Collect children that ended, so that they do not stay as zombies while we live."""
    _children[:] = [child for child in _children if child.poll() is None]


def wait_until(what: str, is_done: Callable[[], bool], timeout_s: float) -> None:
    """Poll a condition that the kernel offers no event for; UnavailableError at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            raise UnavailableError(f"{what}: not so after {timeout_s:g} s")
        time.sleep(0.02)
