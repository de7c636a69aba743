"""wireguard-go: one process a host, for kernels that have no WireGuard of their own.

It outlives weftd, as all that forwards does: it is nobody's child, and is found again by its
socket. Its socket's folder is fixed (/var/run/wireguard), so it gets a mount namespace in which
that is a folder of Weft's own: several hosts on one machine, and somebody else's WireGuard, do not
meet. It ends when its device is removed, and its device goes when it ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from weft.errors import UnavailableError
from weft.kernel.links import find_link
from weft.kernel.netlink import Netlink
from weft.kernel.wireguard.uapi import UapiWireGuard

PROGRAM = "wireguard-go"
START_S = 10.0
"""For the device and the socket to be there."""
_END_S = 2.0
_POLL_S = 0.005
_TUN = Path("/dev/net/tun")
_SCRIPT = 'mount --bind "$1" /var/run && exec "$2" --foreground "$3"'
_FRAME = "┌│└"
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
"""All that it gets of weftd's environment, where others' secrets may be."""


def obstacle() -> str:
    """Why wireguard-go cannot run here; empty: it can."""
    if _program() is None:
        return f"{PROGRAM} is not installed"
    return "" if _TUN.exists() else f"{_TUN} is not there"


def folder_of(run_dir: Path) -> Path:
    """Where its socket and its log are."""
    return run_dir / PROGRAM


def device(ifname: str, run_dir: Path) -> UapiWireGuard:
    """The device of that process, whether it runs or not."""
    return UapiWireGuard(ifname, _socket(ifname, run_dir))


def start(ifname: str, run_dir: Path) -> None:
    """Start it, and return when it makes its device and answers. UnavailableError says why not."""
    program = _program()
    if program is None:
        raise UnavailableError(f"device {ifname}: {obstacle()}; install it: apt install {PROGRAM}")
    folder = folder_of(run_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _socket(ifname, run_dir).unlink(missing_ok=True)
    log = folder / "log"
    apart = ["setsid", "--fork", "unshare", "--mount", "--propagation", "slave"]
    with log.open("wb") as output:
        subprocess.run(
            [*apart, "sh", "-c", _SCRIPT, "sh", str(folder), program, ifname],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=_ENVIRONMENT,
            check=False,
        )
    _await(ifname, run_dir, log)


def _await(ifname: str, run_dir: Path, log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    with Netlink() as netlink:
        while time.monotonic() < deadline_s:
            if device(ifname, run_dir).pid() is not None and find_link(netlink, ifname):
                return
            time.sleep(_POLL_S)
    raise UnavailableError(f"device {ifname}: {PROGRAM} did not start: {_last_words(log)}")


def _last_words(log: Path) -> str:
    """What it said last, without the frame of advice that it begins with on every start."""
    lines = log.read_text(errors="replace").splitlines()
    words = [line for line in lines if line.strip() and line[0] not in _FRAME]
    return "; ".join(words[-2:]) or "it says nothing"


def end(pid: int) -> None:
    """See to it that a process ends whose device is gone. It does so by itself, unless it hangs."""
    if _has_ended(pid, _END_S):
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if not _has_ended(pid, _END_S):
        raise UnavailableError(f"{PROGRAM} (pid {pid}) does not end")


def _has_ended(pid: int, patience_s: float) -> bool:
    deadline_s = time.monotonic() + patience_s
    while is_running(pid):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return True


def is_running(pid: int) -> bool:
    """Whether this process is a wireguard-go."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    name, _, rest = facts.partition("(")[2].rpartition(")")
    return name == PROGRAM[:15] and rest.split()[0] != "Z"


def _socket(ifname: str, run_dir: Path) -> Path:
    return folder_of(run_dir) / "wireguard" / f"{ifname}.sock"


def _program() -> str | None:
    return shutil.which(PROGRAM, path=_ENVIRONMENT["PATH"])
