"""Steps of a demonstration: commands that are shown and run, and what must come of them."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from weft.errors import UnavailableError
from weft.lab.host import LabHost

_NEWS_S = 20.0
"""How long news may take on a machine that is busy with everything else."""
Inspected = dict[str, dict[str, dict[str, dict[str, object]]]]


class Stage:
    """Runs commands on hosts, and says what it does. Whatever is not as it should be raises
    UnavailableError."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def shell(self, host: LabHost, command: str) -> str:
        """Show a command, run it on a host, return what it printed."""
        self._say_command(host, command)
        return host.run(shlex.split(command)).rstrip()

    def show(self, host: LabHost, command: str) -> None:
        """Run a command and show what it prints."""
        self._console.print(self.shell(host, command), markup=False)

    def note(self, what: str) -> None:
        """Say something by the way."""
        self._console.print(f"  [dim]{escape(what)}[/dim]")

    def proved(self, what: str) -> None:
        """Say that something is so."""
        self._console.print(f"  [green]✓ {escape(what)}[/green]")

    def prove(self, host: LabHost, what: str, command: str, expected: str) -> None:
        """Run a command that must print `expected`."""
        self._prove(what, self.shell(host, command), expected)

    def prove_refusal(self, host: LabHost, what: str, command: str, expected: str) -> None:
        """Run a command that must fail, and print `expected`."""
        self._say_command(host, command)
        try:
            said = host.run(shlex.split(command))
        except UnavailableError as error:
            said = str(error).partition(": exit code ")[2].partition(": ")[2]
            self._prove(what, said.replace("; ", "\n"), expected)
        else:
            raise UnavailableError(f"{what}: it did not fail, but said: {said}")

    def wait(self, what: str, is_so: Callable[[], bool]) -> None:
        """Until it is so."""
        deadline = time.monotonic() + _NEWS_S
        while not is_so():
            if time.monotonic() > deadline:
                raise UnavailableError(f"{what}: not within {_NEWS_S:.0f} s")
            time.sleep(0.05)

    def make_container(self, host: LabHost, name: str, command: str) -> None:
        """Make it by this command, or start it, unless it runs."""
        if not self.has(host, "container", name):
            self.shell(host, command)
        elif self.inspect(host, name)["State"]["Running"]:
            self.note(f"container {name} runs")
        else:
            self.shell(host, f"docker start {name}")

    def has(self, host: LabHost, kind: str, name: str) -> bool:
        """Whether the host's Docker has a container or network of that name."""
        listing = ["docker", kind, "ls", "--format", "{{.Names}}"]
        if kind == "network":
            listing[-1] = "{{.Name}}"
        else:
            listing.append("--all")
        return name in host.run(listing).split()

    def inspect(self, host: LabHost, container: str) -> Inspected:
        """What the host's Docker says of a container."""
        text = host.run(["docker", "container", "inspect", container])
        found: list[Inspected] = json.loads(text)
        return found[0]

    def _prove(self, what: str, said: str, expected: str) -> None:
        if expected not in said:
            raise UnavailableError(f"{what}: expected {expected.strip()!r}, but it said: {said}")
        line = next(line for line in said.splitlines() if expected in line)
        self._console.print(f"  {escape(line.strip())}")
        self.proved(what)

    def _say_command(self, host: LabHost, command: str) -> None:
        self._console.print(f"[bold]{host.name}$[/bold] {escape(command)}", soft_wrap=True)
