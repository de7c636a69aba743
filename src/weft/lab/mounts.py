"""What is mounted where, as this process sees it. Standard library alone (see `inside.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Mount(NamedTuple):
    """A line of /proc/self/mountinfo (proc(5))."""

    id: str
    parent: str
    target: str
    kind: str


def mounts() -> list[Mount]:
    """All mounts, later ones over earlier ones."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        kind = fields[fields.index("-") + 1]
        target = fields[4].encode().decode("unicode_escape")  # \040 is a space
        found.append(Mount(fields[0], fields[1], target, kind))
    return found


def is_mounted(path: Path) -> bool:
    """Whether something is mounted here; true for a bind mount of the same file system too."""
    return any(mount.target == str(path) for mount in mounts())


def mounts_below(directory: Path) -> list[str]:
    """Where something is mounted inside a directory."""
    inside = f"{directory}/"
    return [mount.target for mount in mounts() if mount.target.startswith(inside)]
