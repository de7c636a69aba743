"""The steps of ``make demo``, each proved: containers on several hosts, tenants with routers and
rules (`shop`), and a host that is cut off.

Each step runs what a user would type and looks at what came out of it; the first one that did not
do what it should ends the demonstration. A second run finds everything there and only proves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from weft.api.client import Client
from weft.api.schema import CountersList
from weft.errors import UnavailableError
from weft.lab import faults, shop
from weft.lab.host import LabHost
from weft.lab.lab import Lab
from weft.lab.stage import Stage
from weft.lab.zone import OUTSIDE_NAME

NETWORK = "foo"
SERVER = "web"
CLIENT = "busybox"
_CREATE = f"docker network create -d weft --subnet=192.168.1.0/24 {NETWORK}"
_SERVE = f"docker run -d --net={NETWORK} --name={SERVER} busybox httpd -f -h /www"
_PAGE = "hello from weft"


@dataclass
class Demonstration:
    """The steps. The server is on the first host, a client on each of the others or, if there are
    none, beside the server."""

    lab: Lab
    hosts: Sequence[LabHost]
    stage: Stage

    def run(self) -> None:
        """All steps; UnavailableError at the first that fails."""
        first = self.hosts[0]
        self._make_network(first)
        self.stage.make_container(first, SERVER, _SERVE)
        for host in self._clients:
            name = self._client_on(host)
            sleep = f"docker run -d --net={NETWORK} --name={name} busybox sleep 1000000"
            self.stage.make_container(host, name, sleep)
        for host in self._clients:
            self._prove_names(host)
        self._prove_outside(self._clients[0])
        shop.run(self.stage, self.hosts)
        if len(self.hosts) > 1:
            self._prove_a_cut()
        self._show_counters(first)

    @property
    def _clients(self) -> Sequence[LabHost]:
        return self.hosts[1:] or self.hosts

    def _client_on(self, host: LabHost) -> str:
        return CLIENT if host == self._clients[0] else f"{CLIENT}-{host.name}"

    def _make_network(self, first: LabHost) -> None:
        if self.stage.has(first, "network", NETWORK):
            self.stage.note(f"network {NETWORK} is there")
        else:
            self.stage.shell(first, _CREATE)
        for host in self.hosts[1:]:
            self.stage.wait(
                f"network {NETWORK} on {host.name}",
                lambda host=host: self.stage.has(host, "network", NETWORK),  # type: ignore[misc]
            )
        if len(self.hosts) > 1:
            last = self.hosts[-1]
            self.stage.prove(last, "the network on every host", "docker network ls", NETWORK)

    def _prove_names(self, host: LabHost) -> None:
        client = self._client_on(host)
        ping = f"docker exec {client} ping -c 3 -W 2"
        web = f"docker exec {client} wget -q -O - http://{SERVER}/"
        if host == self._clients[0]:
            address = self._address(self.hosts[0], SERVER)
            self.stage.prove(host, "ping by address", f"{ping} {address}", " 0% packet loss")
            self.stage.prove(host, "ping by name", f"{ping} {SERVER}", " 0% packet loss")
        self.stage.prove(host, "an HTTP request by name", web, _PAGE)

    def _prove_outside(self, host: LabHost) -> None:
        outside = self.lab.outside.layout.address4
        wget = f"docker exec {self._client_on(host)} wget -q -O -"
        greeting = f"outside greets {host.layout.address4}"
        self.stage.prove(
            host, "the outside of the host, by address", f"{wget} http://{outside}/", greeting
        )
        self.stage.prove(
            host, "the outside, by name", f"{wget} http://{OUTSIDE_NAME}/", "outside greets "
        )

    def _prove_a_cut(self) -> None:
        """The last host loses its underlay; the others see it and go on; it comes back."""
        first, lost = self.hosts[0], self.hosts[-1]
        self.stage.show(first, "weft status hosts")
        self.stage.note(f"weft lab cut {lost.name}")
        faults.cut(self.lab, lost.name)
        try:
            self.stage.wait(f"{first.name} misses {lost.name}", lambda: not self._is_linked(lost))
            self.stage.show(first, "weft status hosts")
            self.stage.proved(f"{lost.name} is cut off, and seen to be")
            if len(self.hosts) > 2:
                web = f"docker exec {CLIENT} wget -q -O - http://{SERVER}/"
                self.stage.prove(self._clients[0], "the others go on", web, _PAGE)
        finally:
            self.stage.note(f"weft lab heal {lost.name}")
            faults.heal(self.lab, lost.name)
        self.stage.wait(f"{first.name} sees {lost.name} again", lambda: self._is_linked(lost))
        web = f"docker exec {self._client_on(lost)} wget -q -O - http://{SERVER}/"
        self.stage.prove(lost, f"{lost.name} is back", web, _PAGE)

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
            self.stage.show(host, command)
        self.stage.proved("forwarding counters")

    def _address(self, host: LabHost, container: str) -> str:
        networks = self.stage.inspect(host, container)["NetworkSettings"]["Networks"]
        return str(networks[NETWORK]["IPAddress"])
