"""The packet path as loaded into the kernel: programs and maps, pinned under one folder.

    <bpffs_dir>/maps/<name>        ports_v1, addresses_v1, …
    <bpffs_dir>/programs/<role>    from_port, from_host

A pinned program stays as it is while it was built from the same object file with the same
constants and uses the maps that are pinned; then a restart of weftd changes nothing. Otherwise the
objects are loaded anew on the pinned maps and the pins change hands; whoever attaches programs
sees another id and replaces the filters in place. A map that is missing, or whose layout is not
ours, is made anew, empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from weft.kernel.bpf.maps import BpfMap

ROLES = ("from_port", "from_host")
"""One object file, and one program in it, each."""


class HostDevices(NamedTuple):
    """Facts of the pair weft0/weft1 that are constants in the programs."""

    weft0_ifindex: int
    weft0_mac: str
    weft1_ifindex: int


class Program(NamedTuple):
    """A loaded program, open as long as the `DataPlane` is."""

    role: str
    fd: int
    id: int
    tag: str
    """The kernel's hash of the instructions, as `tc filter show` prints it."""
    is_new: bool
    """Loaded just now: filters that run another id must be replaced."""


class DataPlane:
    """All programs and maps of one host, open. Made by `load`."""

    programs: Mapping[str, Program]
    """By role."""
    maps: Mapping[str, BpfMap]
    """By name: ``ports_v1``, ``addresses_v1``, …"""

    @classmethod
    def load(cls, bpffs_dir: Path, devices: HostDevices) -> DataPlane:
        """Open what is pinned; load what is not, or is out of date. KernelError says why not.

        Takes about 10 ms when nothing is to be loaded, 50 ms otherwise. May be called again at
        any time, for instance when weft0 was made anew or a map was removed.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close all fds. What is pinned or attached goes on."""
        raise NotImplementedError


def purge(bpffs_dir: Path) -> None:
    """Remove all pins and the folder; filters must be gone before. Nothing there is no error."""
    raise NotImplementedError


def mount_bpffs(bpffs_dir: Path) -> None:
    """Make `bpffs_dir`, and mount a bpf file system on its parent unless it lies on one."""
    raise NotImplementedError
