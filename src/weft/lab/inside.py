"""Runs once inside a node's new namespaces and makes them look like a machine of its own.

Called by `node.py` as ``python -m weft.lab.inside NAME RUN``, on its standard input the files that
the node shall have in /etc. Uses the standard library alone, so that it starts fast. Afterwards
no process is left: the bind-mounted namespace files keep everything.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

from weft.lab.mounts import mounts, mounts_below


def main() -> None:
    """Set up the calling process's mount and UTS namespaces."""
    name, run = sys.argv[1], Path(sys.argv[2])
    socket.sethostname(name)
    _let_go_of_run()
    _renew_sys(run)
    _cover_etc(json.load(sys.stdin), run)
    _mount("--bind", run, "/run")


def _let_go_of_run() -> None:
    """Unmount our copies of what is mounted below the machine's /run, which ours will cover.

    Above all others' namespace files, which we would keep alive after their owners let them go.
    The machine's own mounts stay: ours are slaves of them. One that it unmounts while we look is
    gone here as well. One that another covers can go only after that: where /run is shared, `ip
    netns` leaves each namespace mounted twice, once below its own mount of /run/netns.
    """
    before: list[str] = []
    while (left := mounts_below(Path("/run"))) != before:
        for target in reversed(left):
            subprocess.run(["umount", "--lazy", target], capture_output=True, check=False)
        before = left
    if left:
        raise SystemExit(f"cannot unmount {', '.join(left)}")


def _renew_sys(scratch: Path) -> None:
    """A sysfs that shows this network namespace, with the old one's mounts (cgroups …) on it.

    The bpf file system is a new one: what is pinned here is pinned for this node alone.
    """
    old = next((mount for mount in reversed(mounts()) if mount.target == "/sys"), None)
    if old is None:
        _mount("-t", "sysfs", "sysfs", "/sys")
    else:
        below = [mount.target for mount in mounts() if mount.parent == old.id]
        keep = scratch / "sys"
        keep.mkdir()
        _mount("--rbind", "/sys", keep)
        _unmount("/sys")
        _mount("-t", "sysfs", "sysfs", "/sys")
        for target in below:
            if target != "/sys/fs/bpf":
                _mount("--rbind", keep / Path(target).relative_to("/sys"), target)
        _unmount(keep)
        keep.rmdir()
    _mount("-t", "bpf", "bpf", "/sys/fs/bpf")


def _cover_etc(files: dict[str, str], scratch: Path) -> None:
    """Lay the node's own files, and all that it will write there, over the machine's /etc."""
    keep = scratch / "etc"
    keep.mkdir()
    _mount("-t", "tmpfs", "tmpfs", keep)
    upper, work = keep / "upper", keep / "work"
    upper.mkdir(mode=0o755)
    work.mkdir()
    for name, text in files.items():
        (upper / name).write_text(text)
    layers = f"lowerdir=/etc,upperdir={upper},workdir={work}"
    _mount("-t", "overlay", "overlay", "-o", layers, "/etc")
    _unmount(keep)
    keep.rmdir()


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _unmount(target: str | Path) -> None:
    subprocess.run(["umount", "--recursive", "--lazy", target], check=True)


if __name__ == "__main__":
    main()
