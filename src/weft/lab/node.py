"""A machine of the lab: a network, a mount and a UTS namespace, held by bind-mounted files.

No process is needed to keep them. A node shares the machine's kernel, disk, /tmp and process
table; it has its own devices, routes and firewall, its own name, /run, /sys, bpf file system and
the files of /etc that name things.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from weft.errors import NotFoundError, UnavailableError
from weft.lab import processes
from weft.lab.command import run
from weft.lab.layout import NodeLayout
from weft.lab.mounts import mounts_below
from weft.lab.namespace import KINDS, NamespaceFile, namespaces_of
from weft.lab.processes import ProcessId


class Node:
    """One machine of a lab, made or not."""

    def __init__(self, layout: NodeLayout) -> None:
        self.layout = layout
        self.name = layout.name
        self._files = [NamespaceFile(kind, layout.namespaces / kind) for kind in KINDS]

    @property
    def is_made(self) -> bool:
        """Whether the namespaces are there and their set-up was finished."""
        return self._marker.exists() and all(file.is_there for file in self._files)

    @property
    def enter(self) -> list[str]:
        """What to put before a command so that it runs on this node.

        nsenter and not ``ip netns exec``, which would hide the cgroup and bpf mounts again.
        """
        return ["nsenter", *self._options, "--wdns=/", "--"]

    @property
    def environment(self) -> dict[str, str]:
        """For commands on this node: ours without what would lead them elsewhere.

        Both `weft` of this very installation and `docker` then mean this node's.
        """
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("WEFT_", "DOCKER_")) and key != "HOSTNAME"
        }
        here = str(Path(sys.executable).parent)
        kept["PATH"] = ":".join((here, kept.get("PATH", os.defpath)))
        kept["WEFT_CONFIG"] = str(self.layout.settings)
        kept["DOCKER_HOST"] = "unix:///run/docker.sock"
        return kept

    def run(
        self, command: Iterable[str], *, text: str | None = None, timeout_s: float = 300
    ) -> str:
        """Run a command here and return what it printed; UnavailableError when it fails."""
        words = list(command)
        return run(
            [*self.enter, *words],
            text=text,
            timeout_s=timeout_s,
            environment=self.environment,
            shown=f"{self.name}$ {shlex.join(words)}",
        )

    def make(self, etc: Mapping[str, str]) -> None:
        """Make the namespaces; `etc`: files of its own. A half-made node is made anew."""
        if self.is_made:
            return
        self.remove()
        for directory in (self.layout.run, self.layout.logs):
            directory.mkdir(parents=True, exist_ok=True)
        self._make_namespaces()
        inside = [sys.executable, "-m", "weft.lab.inside", self.name, str(self.layout.run)]
        run([*self.enter, *inside], text=json.dumps(dict(etc)), shown=f"setting {self.name} up")
        self.run(["ip", "link", "set", "lo", "up"])
        self._marker.touch()

    def _make_namespaces(self) -> None:
        """Make them wherever the scheduler puts us, else on each processor in turn.

        The kernel binds a mount namespace to a file only where that of the caller has a smaller
        number (mnt_ns_loop in fs/namespace.c). Since Linux 6.18 each processor numbers namespaces
        from a stock of its own, so a new one may have a smaller number than a caller's that was
        made on another processor. The processor that made the caller's always gives greater ones.
        """
        unshare = ["unshare", *self._options, "--propagation", "slave", "--", "true"]
        pinned = (["taskset", "--cpu-list", str(cpu)] for cpu in range(os.cpu_count() or 1))
        failures: list[UnavailableError] = []
        for prefix in ([], *pinned):
            for file in self._files:
                file.remove()
                file.prepare()
            try:
                run([*prefix, *unshare], shown=f"making the namespaces of {self.name}")
                return
            except UnavailableError as error:
                failures.append(error)
        raise failures[0]

    def remove(self) -> None:
        """End every process here and let the namespaces go, whatever state they are in."""
        stuck = processes.stop(self.processes())
        if stuck:
            pids = ", ".join(str(process.pid) for process in stuck)
            raise UnavailableError(f"{self.name}: processes that do not die: {pids}")
        self._marker.unlink(missing_ok=True)
        for file in self._files:
            file.remove()
        remove_tree(self.layout.directory)

    def processes(self) -> list[ProcessId]:
        """Every process in one of this node's namespaces, whoever started it.

        Costs a look at each process of the machine.
        """
        ours = {file.inode for file in self._files} - {None}
        if not ours:
            return []
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        here = [pid for pid in pids if pid != os.getpid() and ours & namespaces_of(pid)]
        return [process for process in map(ProcessId.of, here) if process is not None]

    def has(self, process: ProcessId) -> bool:
        """Whether a process runs in this node's network namespace."""
        return process.is_running and self._files[0].inode in namespaces_of(process.pid)

    def check_made(self) -> None:
        """NotFoundError unless the node is there."""
        if not self.is_made:
            raise NotFoundError(
                f"host {self.name}: lab {self.layout.lab.name!r} has no such host; "
                "`weft lab status` lists them, `weft lab up --hosts N` makes them"
            )

    @property
    def net_file(self) -> Path:
        """The network namespace."""
        return self._files[0].path

    @property
    def _marker(self) -> Path:
        return self.layout.directory / "made"

    @property
    def _options(self) -> list[str]:
        return [file.option for file in self._files]


def remove_tree(directory: Path) -> None:
    """Remove a directory of ours; refuses where something is mounted in it."""
    held = mounts_below(directory)
    if held:
        raise UnavailableError(f"{directory}: cannot remove, {held[0]} is still mounted")
    if directory.exists():
        shutil.rmtree(directory)
