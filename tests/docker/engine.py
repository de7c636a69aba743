"""What Docker tests speak to: the command line of a lab host's real engine, and weftd beside it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weft.api.client import Client
from weft.api.schema import NetworkInfo, NetworkList, PortInfo, PortList
from weft.errors import UnavailableError
from weft.lab.host import LabHost

DEADLINE_S = 20.0
_PORT_NAME = 15
"""Characters in the name of a port's device; the host's own have fewer."""
_OWN_CLI = Path("/usr/bin/docker")
"""That of the same package as the engine; a newer one on the PATH leaves old options out."""
CLI = str(_OWN_CLI) if _OWN_CLI.exists() else "docker"


class Refused(AssertionError):
    """A command failed; the message is what its user reads."""


class Docker:
    """One host's engine. `resources` are removed in `clean`."""

    def __init__(self, host: LabHost, prefix: str) -> None:
        self.host = host
        self.weft = Client(host.api_socket, timeout_s=20)
        self.prefix = prefix
        self._containers: list[str] = []
        self._networks: list[str] = []

    def name(self, name: str) -> str:
        """A name that no other test has."""
        return f"{self.prefix}{name}"

    def __call__(self, *words: str, timeout_s: float = 60) -> str:
        """``docker WORDS``: its output without the last newline; Refused with its error."""
        done = self.on_host(CLI, *words, timeout_s=timeout_s)
        if done.returncode:
            raise Refused(done.stderr.strip() or done.stdout.strip())
        return done.stdout.rstrip("\n")

    def on_host(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Any command on the host."""
        return subprocess.run(
            [*self.host.enter, *words],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self.host.environment,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command on the host; it is the caller's to wait for."""
        return subprocess.Popen(
            [*self.host.enter, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.host.environment,
        )

    def network(self, *options: str, name: str = "net", driver: str = "weft") -> str:
        """Make a network; returns its name, once weft has learnt it."""
        name = self.name(name)
        self._networks.append(name)
        self("network", "create", "-d", driver, *options, name)
        if driver == "weft":
            until(f"network {name} is known", lambda: name in self.weft_networks())
        return name

    def run(self, *options: str, name: str = "c", command: tuple[str, ...] = ()) -> str:
        """Start a container that serves HTTP until it is stopped; returns its name."""
        name = self.name(name)
        self._containers.append(name)
        words = command or ("httpd", "-f", "-p", "80", "-h", "/www")
        fast = ("--init", "--stop-timeout", "2")
        self("run", "-d", "--name", name, *fast, *options, "busybox", *words)
        return name

    def once(self, *options: str, command: tuple[str, ...]) -> str:
        """Run a command in a container of its own and return what it says."""
        return self("run", "--rm", *options, "busybox", *command)

    def inside(self, container: str, *command: str, timeout_s: float = 20) -> str:
        """Run a command in a container that runs."""
        return self("exec", container, *command, timeout_s=timeout_s)

    def reaches(self, container: str, address: str) -> bool:
        """Whether an address answers a ping from a container."""
        try:
            return "1 packets received" in self.inside(
                container, "ping", "-c", "1", "-W", "1", address
            )
        except Refused:
            return False

    def fetches(self, container: str, name: str, patience_s: float = 5.0) -> str:
        """A page over HTTP, by whatever name; a server that only just starts gets a moment."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                # not wget -T: Debian 12's busybox crashes on it
                wget = ("timeout", "3", "wget", "-q", "-O", "-", f"http://{name}/")
                return self.inside(container, *wget)
            except Refused as error:
                if time.monotonic() > deadline:
                    raise Refused(f"{container}: no page from {name}: {error}") from error
                time.sleep(0.05)

    def inspect(self, kind: str, name: str) -> Any:
        """What Docker says about a thing."""
        return json.loads(self(kind, "inspect", name))[0]

    def address(self, container: str, network: str, family: int = 4) -> str:
        """A container's address on a network, as Docker says it."""
        place = self.inspect("container", container)["NetworkSettings"]["Networks"][network]
        return str(place["IPAddress" if family == 4 else "GlobalIPv6Address"])

    def devices(self, container: str) -> list[str]:
        """Names of a container's devices, but for lo."""
        lines = self.inside(container, "ls", "/sys/class/net").split()
        return sorted(name for name in lines if name != "lo")

    def weft_networks(self) -> dict[str, NetworkInfo]:
        """Weft's networks by name."""
        found = self.weft.get(NetworkList, "networks").networks
        return {network.name: network for network in found}

    def weft_ports(self, network: str | None = None) -> list[PortInfo]:
        """Weft's ports, all or of one network."""
        ports = self.weft.get(PortList, "ports").ports
        return [port for port in ports if network in (None, port.network)]

    def port_of(self, container: str) -> PortInfo | None:
        """The first port of a container, once its name is known."""
        return next((p for p in self.weft_ports() if p.owner.container_name == container), None)

    def weft_devices(self) -> set[str]:
        """Devices that Weft has made for ports, as the kernel has them."""
        done = self.on_host("ls", "/sys/class/net")
        names = done.stdout.split()
        return {n for n in names if n.startswith(("weft", "wefc")) and len(n) == _PORT_NAME}

    def forget(self, container: str) -> None:
        """Remove a container, whatever it does."""
        self.on_host(CLI, "rm", "-f", "-v", container)

    def clean(self) -> None:
        """Remove everything that was made here, and whatever a command has left."""
        self.host.start_weftd()
        self.host.engine.start()
        for container in reversed(self._containers):
            self.forget(container)
        for network in reversed(self._networks):
            self.on_host(CLI, "network", "rm", network)
        until("weft has no docker networks", lambda: not self.weft_networks())
        until("weft has no docker devices", lambda: not self.weft_devices())
        assert self.weft_ports() == []


def until(what: str, is_so: Callable[[], bool], timeout_s: float = DEADLINE_S) -> None:
    """Wait for a condition; AssertionError at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not holds(is_so):
        assert time.monotonic() < deadline, f"not so after {timeout_s:g} s: {what}"
        time.sleep(0.05)


def holds(is_so: Callable[[], bool]) -> bool:
    """Whether a condition is so; while weftd or Docker is away it is not."""
    try:
        return is_so()
    except (UnavailableError, Refused):
        return False
