"""A network namespace that lives as long as the process that holds it.

The holder dies with us, whatever we die of, so a benchmark leaves nothing behind.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from types import TracebackType

from weft.errors import UnavailableError
from weft.lab.command import run

_HOLD = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--"]


class Namespace:
    """A network namespace; a context manager."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Namespace:
        command = [*_HOLD, "sh", "-c", "ip link set lo up && echo made && exec sleep infinity"]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"made\n":
            raise UnavailableError(f"namespace {self.name}: cannot make it; are you root?")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.communicate()
            self._holder = None

    @property
    def pid(self) -> int:
        """Of the process that holds it."""
        assert self._holder is not None
        return self._holder.pid

    def enter(self, command: Iterable[str]) -> list[str]:
        """The command as it must be run to be inside."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *command]

    def run(self, command: Sequence[str], *, timeout_s: float = 60) -> str:
        """Run a command inside and return what it printed."""
        return run(self.enter(command), timeout_s=timeout_s)

    def ip(self, *lines: str) -> None:
        """Lines for ``ip -batch``."""
        run(self.enter(["ip", "-batch", "-"]), text="\n".join(lines) + "\n")


class EnteredNamespace(Namespace):
    """One that some other process holds."""

    def __init__(self, name: str, pid: int) -> None:
        super().__init__(name)
        self._pid = pid

    @property
    def pid(self) -> int:
        """Of the process that holds it."""
        return self._pid
