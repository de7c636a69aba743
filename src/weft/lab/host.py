"""A host of the lab: a node with its own weftd and, if wanted, its own Docker engine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from weft.errors import UnavailableError
from weft.lab import processes
from weft.lab.engine import DockerEngine
from weft.lab.layout import NodeLayout
from weft.lab.node import Node
from weft.lab.processes import ProcessId

_CGROUPS = Path("/sys/fs/cgroup")
_UP_S = 700
"""For `weft up`, which gives a weftd up by itself before (`cli.up.READY_S`)."""
Setting = str | int | float | bool


class LabHost(Node):
    """One of h1, h2, …"""

    def __init__(self, layout: NodeLayout) -> None:
        super().__init__(layout)
        self.engine = DockerEngine(
            f"lab-{layout.lab.name}-{layout.name}", layout.docker, self.enter
        )

    @property
    def weftd(self) -> ProcessId | None:
        """The weftd that runs here; a record that is out of date names nobody."""
        try:
            pid = int((self.layout.run / "weft/weftd.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None
        process = ProcessId.of(pid)
        return process if process is not None and self.has(process) else None

    @property
    def api_socket(self) -> Path:
        """weftd's socket, as the machine sees it; the host sees it at its usual place."""
        return self.layout.run / "weft/weftd.sock"

    @property
    def weftd_log(self) -> Path:
        """What weftd says."""
        return self.layout.state / "weft/log/weftd.log"

    def make(self, etc: Mapping[str, str]) -> None:
        """Also give it the engine's own /etc/docker: weftd puts a file there, before Docker starts.

        The engine mounts the same directory there once more.
        """
        if self.is_made:
            return
        super().make(etc)
        directory = self.layout.docker / "etc"
        directory.mkdir(parents=True, exist_ok=True)
        self.run(["mkdir", "-p", "/etc/docker"])
        self.run(["mount", "--bind", str(directory), "/etc/docker"])

    def configure(self, settings: Mapping[str, Setting]) -> None:
        """Write the settings file. What is there already stays, so that a user may edit it."""
        if self.layout.settings.exists():
            return
        values = {"state_dir": str(self.layout.state / "weft"), **settings}
        lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
        self.layout.settings.write_text("\n".join(lines) + "\n")

    @property
    def is_member(self) -> bool:
        """Whether its weftd has a cluster already, of its own or another's."""
        return (self.layout.state / "weft/cluster/secret.json").exists()

    def start_weftd(self, member: LabHost | None = None) -> bool:
        """``weft up``, if weftd does not run; returns when it is ready. True: it was started.

        `member`: a host of the cluster that it joins, unless it has one already.
        """
        if self.weftd is not None:
            return False
        words, token = ["up"], None
        if member is not None and not self.is_member:
            words += ["--join", str(member.layout.address4), "--token", "-"]
            token = member.run([*weft_command(), "token", "show"])
        try:
            self.run([*weft_command(), *words], text=token, timeout_s=_UP_S)
        except UnavailableError as error:
            raise UnavailableError(f"{error}; see {self.weftd_log}") from error
        if self.weftd is None:
            raise UnavailableError(
                f"{self.name}: weftd ended after its start; see {self.weftd_log}"
            )
        return True

    def kill_weftd(self) -> bool:
        """``kill -9``. True: there was one to kill."""
        process = self.weftd
        if process is None:
            return False
        processes.kill(process)
        return True

    def start_docker(self) -> bool:
        """Start the Docker engine, if it does not run; returns when it answers."""
        if self.engine.is_ready():
            return False
        self.engine.start()
        return True

    def discard(self) -> None:
        """End everything here, containers included, and let the namespaces go."""
        if self.is_made and self.engine.log_file.exists():
            self.engine.discard()
        self.remove()
        left = [
            *_CGROUPS.glob(f"weft-{self.engine.name}"),
            *_CGROUPS.glob(f"*/weft-{self.engine.name}"),
        ]
        if left:
            raise UnavailableError(f"{self.name}: control group {left[0]} cannot be removed")


def weft_command() -> list[str]:
    """This very installation's ``weft``."""
    script = Path(sys.executable).with_name("weft")
    return [str(script)] if script.exists() else [sys.executable, "-m", "weft.cli.main"]


def _toml(value: Setting) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
