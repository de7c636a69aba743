"""``make demo``: a host with a real Docker engine, two containers on a network, and proof.

Each step runs what a user would type and looks at what came out of it; the first one that did not
do what it should ends the demonstration. A second run finds everything there and only proves.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from weft.api.client import Client
from weft.api.schema import CountersList
from weft.errors import UnavailableError, WeftError
from weft.lab.host import LabHost, weft_command
from weft.lab.lab import Lab, Progress
from weft.lab.zone import OUTSIDE_NAME

_NETWORK = "foo"
_CREATE = f"docker network create -d weft --subnet=192.168.1.0/24 {_NETWORK}"
_SERVER = "web"
_CLIENT = "busybox"
_RUN = {
    _SERVER: f"docker run -d --net={_NETWORK} --name={_SERVER} busybox httpd -f -h /www",
    _CLIENT: f"docker run -d --net={_NETWORK} --name={_CLIENT} busybox sleep 1000000",
}
_PAGE = "hello from weft"


def run_demo(name: str, hosts: int) -> bool:
    """Run it, on the terminal. True: everything really worked."""
    console = Console(highlight=False, width=min(80, Console().width))
    began = time.monotonic()
    lab = Lab(name, lambda what: console.print(f"  [dim]{escape(what)}[/dim]"))
    console.print("[bold]Weft: real containers on a network of their own[/bold]\n")
    try:
        lab.up(hosts, has_docker=True)
        demonstration = Demonstration(lab, lab.host("h1"), console)
        demonstration.run()
    except (WeftError, ExceptionGroup) as error:
        console.print(f"[bold red]failed:[/bold red] {escape(str(error))}")
        console.print(_logs(lab), markup=False, soft_wrap=True)
        return False
    console.print(
        f"\n[bold green]All of it worked[/bold green] ({time.monotonic() - began:.1f} s)."
    )
    console.print(_what_next(name), markup=False, soft_wrap=True)
    return True


def stop_demo(name: str, progress: Progress) -> None:
    """Remove all that the demonstration made."""
    Lab(name, progress).down()


@dataclass
class Demonstration:
    """The steps on one host."""

    lab: Lab
    host: LabHost
    console: Console

    def run(self) -> None:
        """All steps; UnavailableError at the first that fails."""
        self._make_network()
        for name in _RUN:
            self._make_container(name)
        outside = self.lab.outside.layout.address4
        ping = f"docker exec {_CLIENT} ping -c 3 -W 2"
        wget = f"docker exec {_CLIENT} wget -q -O -"
        greeting = f"outside greets {self.host.layout.address4}"
        self._prove("ping by address", f"{ping} {self._address(_SERVER)}", " 0% packet loss")
        self._prove("ping by name", f"{ping} {_SERVER}", " 0% packet loss")
        self._prove("an HTTP request by name", f"{wget} http://{_SERVER}/", _PAGE)
        self._prove("the outside of the host, by address", f"{wget} http://{outside}/", greeting)
        self._prove("the outside, by name", f"{wget} http://{OUTSIDE_NAME}/", "outside greets ")
        self._show_counters()

    def _make_network(self) -> None:
        self.host.engine.import_image()
        if self._docker_has("network", _NETWORK):
            self._note(f"network {_NETWORK} is there")
            return
        self._shell(_CREATE)

    def _make_container(self, name: str) -> None:
        if not self._docker_has("container", name):
            self._shell(_RUN[name])
        elif self._inspect(name)["State"]["Running"]:
            self._note(f"container {name} runs")
        else:
            self._shell(f"docker start {name}")

    def _prove(self, what: str, command: str, expected: str) -> None:
        """Run a command that must print `expected`."""
        said = self._shell(command)
        if expected not in said:
            raise UnavailableError(f"{what}: expected {expected.strip()!r}, but it said: {said}")
        line = next(line for line in said.splitlines() if expected in line)
        self.console.print(f"  {escape(line)}\n  [green]✓ {what}[/green]")

    def _show_counters(self) -> None:
        counters = Client(self.host.api_socket).get(CountersList, "counters").counters
        busy = [port for port in counters if port.rx_packets and port.tx_packets]
        if len(busy) < len(_RUN):
            raise UnavailableError(f"counters: {len(busy)} of {len(_RUN)} ports counted packets")
        for command in ("weft ps", "weft status ports"):
            self.console.print(self._shell(command), markup=False)
        self.console.print("  [green]✓ forwarding counters[/green]")

    def _address(self, container: str) -> str:
        return str(self._inspect(container)["NetworkSettings"]["Networks"][_NETWORK]["IPAddress"])

    def _inspect(self, container: str) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
        text = self.host.run(["docker", "container", "inspect", container])
        found: list[dict[str, dict[str, dict[str, dict[str, object]]]]] = json.loads(text)
        return found[0]

    def _docker_has(self, kind: str, name: str) -> bool:
        listing = ["docker", kind, "ls", "--format", "{{.Names}}"]
        if kind == "network":
            listing[-1] = "{{.Name}}"
        else:
            listing.append("--all")
        return name in self.host.run(listing).split()

    def _shell(self, command: str) -> str:
        """Show a command, run it on the host, return what it printed."""
        self.console.print(f"[bold]h1$[/bold] {escape(command)}", soft_wrap=True)
        return self.host.run(shlex.split(command)).rstrip()

    def _note(self, what: str) -> None:
        self.console.print(f"  [dim]{escape(what)}[/dim]")


def _logs(lab: Lab) -> str:
    host = LabHost(lab.layout.node("h1"))
    return f"logs: {host.weftd_log}\n      {host.engine.log_file}"


def _what_next(name: str) -> str:
    script = Path(weft_command()[0])
    is_found = shutil.which("weft") == str(script)
    here = Path.cwd()
    weft = "weft" if is_found else str(script).removeprefix(f"{here}/")
    return f"""
Go on, in a shell on that host, where docker and weft mean its own:
  {weft} lab exec --name {name} h1 -- bash
  docker exec -it {_CLIENT} sh
  docker run -it --rm --net={_NETWORK} busybox
  weft status; weft ps; weft doctor
See all hosts and logs:
  {weft} lab status --name {name}
Stop it and remove all that it made:
  make demo-down, or {weft} lab demo --down"""
