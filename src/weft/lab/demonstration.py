"""The steps of ``make demo``, each proved: containers on several hosts, and a host that is cut off.

Each step runs what a user would type and looks at what came out of it; the first one that did not
do what it should ends the demonstration. A second run finds everything there and only proves.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from weft.api.client import Client
from weft.api.schema import CountersList
from weft.errors import UnavailableError
from weft.lab import faults
from weft.lab.host import LabHost
from weft.lab.lab import Lab
from weft.lab.zone import OUTSIDE_NAME

NETWORK = "foo"
SERVER = "web"
CLIENT = "busybox"
_CREATE = f"docker network create -d weft --subnet=192.168.1.0/24 {NETWORK}"
_SERVE = f"docker run -d --net={NETWORK} --name={SERVER} busybox httpd -f -h /www"
_PAGE = "hello from weft"
_NEWS_S = 20.0
"""How long news may take on a machine that is busy with everything else."""


@dataclass
class Demonstration:
    """The steps. The server is on the first host, a client on each of the others or, if there are
    none, beside the server."""

    lab: Lab
    hosts: Sequence[LabHost]
    console: Console

    def run(self) -> None:
        """All steps; UnavailableError at the first that fails."""
        first = self.hosts[0]
        self._make_network(first)
        self._make_container(first, SERVER, _SERVE)
        for host in self._clients:
            name = self._client_on(host)
            sleep = f"docker run -d --net={NETWORK} --name={name} busybox sleep 1000000"
            self._make_container(host, name, sleep)
        for host in self._clients:
            self._prove_names(host)
        self._prove_outside(self._clients[0])
        if len(self.hosts) > 1:
            self._prove_a_cut()
        self._show_counters(first)

    @property
    def _clients(self) -> Sequence[LabHost]:
        return self.hosts[1:] or self.hosts

    def _client_on(self, host: LabHost) -> str:
        return CLIENT if host == self._clients[0] else f"{CLIENT}-{host.name}"

    def _make_network(self, first: LabHost) -> None:
        if self._docker_has(first, "network", NETWORK):
            self._note(f"network {NETWORK} is there")
        else:
            self._shell(first, _CREATE)
        for host in self.hosts[1:]:
            self._wait(
                f"network {NETWORK} on {host.name}",
                lambda host=host: self._docker_has(host, "network", NETWORK),  # type: ignore[misc]
            )
        if len(self.hosts) > 1:
            last = self.hosts[-1]
            self._prove(last, "the network on every host", "docker network ls", NETWORK)

    def _make_container(self, host: LabHost, name: str, command: str) -> None:
        if not self._docker_has(host, "container", name):
            self._shell(host, command)
        elif self._inspect(host, name)["State"]["Running"]:
            self._note(f"container {name} runs")
        else:
            self._shell(host, f"docker start {name}")

    def _prove_names(self, host: LabHost) -> None:
        client = self._client_on(host)
        ping = f"docker exec {client} ping -c 3 -W 2"
        web = f"docker exec {client} wget -q -O - http://{SERVER}/"
        if host == self._clients[0]:
            address = self._address(self.hosts[0], SERVER)
            self._prove(host, "ping by address", f"{ping} {address}", " 0% packet loss")
            self._prove(host, "ping by name", f"{ping} {SERVER}", " 0% packet loss")
        self._prove(host, "an HTTP request by name", web, _PAGE)

    def _prove_outside(self, host: LabHost) -> None:
        outside = self.lab.outside.layout.address4
        wget = f"docker exec {self._client_on(host)} wget -q -O -"
        greeting = f"outside greets {host.layout.address4}"
        self._prove(
            host, "the outside of the host, by address", f"{wget} http://{outside}/", greeting
        )
        self._prove(
            host, "the outside, by name", f"{wget} http://{OUTSIDE_NAME}/", "outside greets "
        )

    def _prove_a_cut(self) -> None:
        """The last host loses its underlay; the others see it and go on; it comes back."""
        first, lost = self.hosts[0], self.hosts[-1]
        self._show(first, "weft status hosts")
        self._note(f"weft lab cut {lost.name}")
        faults.cut(self.lab, lost.name)
        try:
            self._wait(f"{first.name} misses {lost.name}", lambda: not self._is_linked(lost))
            self._show(first, "weft status hosts")
            self.console.print(f"  [green]✓ {lost.name} is cut off, and seen to be[/green]")
            if len(self.hosts) > 2:
                web = f"docker exec {CLIENT} wget -q -O - http://{SERVER}/"
                self._prove(self._clients[0], "the others go on", web, _PAGE)
        finally:
            self._note(f"weft lab heal {lost.name}")
            faults.heal(self.lab, lost.name)
        self._wait(f"{first.name} sees {lost.name} again", lambda: self._is_linked(lost))
        web = f"docker exec {self._client_on(lost)} wget -q -O - http://{SERVER}/"
        self._prove(lost, f"{lost.name} is back", web, _PAGE)

    def _is_linked(self, host: LabHost) -> bool:
        """Whether the first host reaches another."""
        text = self.hosts[0].run(["weft", "status", "hosts", "--json"])
        hosts = json.loads(text)["hosts"]
        return any(each["name"] == host.name and each["state"] == "connected" for each in hosts)

    def _show_counters(self, host: LabHost) -> None:
        counters = Client(host.api_socket).get(CountersList, "counters").counters
        busy = [port for port in counters if port.rx_packets and port.tx_packets]
        if not busy:
            raise UnavailableError("counters: no port has counted packets")
        for command in ("weft ps", "weft status ports"):
            self._show(host, command)
        self.console.print("  [green]✓ forwarding counters[/green]")

    def _prove(self, host: LabHost, what: str, command: str, expected: str) -> None:
        """Run a command that must print `expected`."""
        said = self._shell(host, command)
        if expected not in said:
            raise UnavailableError(f"{what}: expected {expected.strip()!r}, but it said: {said}")
        line = next(line for line in said.splitlines() if expected in line)
        self.console.print(f"  {escape(line)}\n  [green]✓ {what}[/green]")

    def _wait(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _NEWS_S
        while not is_so():
            if time.monotonic() > deadline:
                raise UnavailableError(f"{what}: not within {_NEWS_S:.0f} s")
            time.sleep(0.05)

    def _address(self, host: LabHost, container: str) -> str:
        networks = self._inspect(host, container)["NetworkSettings"]["Networks"]
        return str(networks[NETWORK]["IPAddress"])

    def _inspect(
        self, host: LabHost, container: str
    ) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
        text = host.run(["docker", "container", "inspect", container])
        found: list[dict[str, dict[str, dict[str, dict[str, object]]]]] = json.loads(text)
        return found[0]

    def _docker_has(self, host: LabHost, kind: str, name: str) -> bool:
        listing = ["docker", kind, "ls", "--format", "{{.Names}}"]
        if kind == "network":
            listing[-1] = "{{.Name}}"
        else:
            listing.append("--all")
        return name in host.run(listing).split()

    def _show(self, host: LabHost, command: str) -> None:
        self.console.print(self._shell(host, command), markup=False)

    def _shell(self, host: LabHost, command: str) -> str:
        """Show a command, run it on a host, return what it printed."""
        self.console.print(f"[bold]{host.name}$[/bold] {escape(command)}", soft_wrap=True)
        return host.run(shlex.split(command)).rstrip()

    def _note(self, what: str) -> None:
        self.console.print(f"  [dim]{escape(what)}[/dim]")
