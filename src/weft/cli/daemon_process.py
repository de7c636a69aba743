"""The weftd process as the CLI meets it: started detached, found again by its pid file, stopped.

A pid file may outlive its process and the pid may be somebody else's by now, so a process counts
as weftd only if its command line says so and it is not younger than the pid file.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from weft.config import Settings
from weft.disk import own_directory, why_not_written
from weft.errors import UnavailableError

IsAlive = Callable[[], bool]

COMMAND = (sys.executable, "-P", "-m", "weft.daemon")
STOP_S = 30.0
"""How long weftd may take to end."""
LOG_LIMIT_BYTES = 10_000_000
"""A log beyond this is put aside at the next start; one old one is kept."""


def log_file(settings: Settings) -> Path:
    """Where a detached weftd writes."""
    return Path(settings.state_dir) / "log" / "weftd.log"


def start(settings: Settings, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start weftd detached, in a session of its own, its log at the end of `log_file`."""
    path = log_file(settings)
    own_directory(Path(settings.state_dir), 0o700, "state-dir")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with open(path, "ab", opener=_private) as log:
            return subprocess.Popen(
                COMMAND,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=dict(environment),
                start_new_session=True,
            )
    except OSError as error:
        raise UnavailableError(f"log {path}: {why_not_written(error)}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def find(settings: Settings) -> int | None:
    """The pid of the weftd of these settings; None when it does not run."""
    try:
        written_s = settings.pid_file.stat().st_mtime
        pid = int(settings.pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return pid if is_weftd(pid, born_before_s=written_s) else None


def is_weftd(pid: int, born_before_s: float | None = None) -> bool:
    """Whether the process is a weftd, started no later than `born_before_s` (Unix time)."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        born_s = _born_s(pid)
    except (OSError, ValueError, IndexError):
        return False
    is_named = any(word == b"weft.daemon" or word.endswith(b"/weftd") for word in words[:6])
    slack_s = 2.0
    return is_named and (born_before_s is None or born_s <= born_before_s + slack_s)


def stop(pid: int, timeout_s: float = STOP_S) -> None:
    """SIGTERM, and wait for the end."""
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise UnavailableError(f"weftd (pid {pid}): not yours to stop; run as root") from error
    wait_for_end(pid, timeout_s)


def wait_for_end(pid: int, timeout_s: float = STOP_S) -> None:
    """Until the process is gone; UnavailableError after `timeout_s`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            raise UnavailableError(
                f"weftd (pid {pid}): did not end within {timeout_s:g} s; end it with kill -9 {pid}"
            )
    finally:
        os.close(descriptor)


def last_lines(path: Path, count: int = 10, since: int = 0) -> Sequence[str]:
    """The last lines of a log, of what was written after offset `since`."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(since if since <= size else 0, size - 64_000))
            return log.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return ()


def _born_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[19])
    boot_s = next(
        int(line.split()[1])
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime ")
    )
    return boot_s + ticks / os.sysconf("SC_CLK_TCK")
