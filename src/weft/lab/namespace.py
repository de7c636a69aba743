"""A namespace held by a file: bind-mounted, so that it lives without a process in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weft.lab.command import run

Kind = Literal["net", "mnt", "uts"]
KINDS: tuple[Kind, ...] = ("net", "mnt", "uts")
_OPTIONS: dict[Kind, str] = {"net": "--net", "mnt": "--mount", "uts": "--uts"}


@dataclass(frozen=True)
class NamespaceFile:
    """Where one namespace is, or shall be, mounted."""

    kind: Kind
    path: Path

    @property
    def is_there(self) -> bool:
        """Whether a namespace is mounted here."""
        try:
            return self.path.stat().st_dev != self.path.parent.stat().st_dev
        except FileNotFoundError:
            return False

    @property
    def inode(self) -> int | None:
        """The namespace's own number; None when there is none."""
        return self.path.stat().st_ino if self.is_there else None

    @property
    def option(self) -> str:
        """The option of unshare(1) and nsenter(1) that means this file."""
        return f"{_OPTIONS[self.kind]}={self.path}"

    def prepare(self) -> None:
        """Make the file that unshare(1) mounts the new namespace on."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()

    def remove(self) -> None:
        """Let the namespace go; it ends with the last process in it."""
        while self.is_there:
            run(["umount", str(self.path)])
        self.path.unlink(missing_ok=True)


def namespaces_of(pid: int) -> set[int]:
    """Numbers of a process's namespaces; empty when it ended meanwhile or is closed to us."""
    found = set()
    for kind in KINDS:
        try:
            found.add(Path(f"/proc/{pid}/ns/{kind}").stat().st_ino)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return set()
    return found
