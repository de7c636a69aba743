"""What system tests plug into networks: a plain network namespace on a lab host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Protocol

from weft.api.client import Client
from weft.api.schema import CountersInfo, CountersList, NetworkInfo, PortInfo
from weft.control.specs import AttachSpec, NetworkSpec, SubnetSpec
from weft.errors import WeftError
from weft.lab.node import Node

PATIENCE = float(os.environ.get("WEFT_TEST_PATIENCE", "1"))
"""How many times longer than usual everything may take (an emulated machine)."""
_FRAMES = Path(__file__).with_name("frames.py")
_FETCH = """
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read().decode())
"""
_COUNT = re.compile(r"(\d+) packets transmitted, (\d+) received")
PING_ONCE = ("ping", "-n", "-c", "1", "-i", "0.2", "-w", "1" if PATIENCE == 1 else "4")


Weft = Callable[..., str]
"""Runs a command of weft; what it printed."""


class NewNetwork(Protocol):
    """The fixture `new_network`."""

    def __call__(self, *cidrs: str, **fields: object) -> NetworkInfo: ...


class NewWorkload(Protocol):
    """The fixture `new_workload`: on all of these networks, with the same fields."""

    def __call__(self, *networks: NetworkInfo, **fields: object) -> Workload: ...


class Workload:
    """A network namespace under /run/netns of a host, with ports on networks."""

    def __init__(self, host: Node, api: Client, name: str) -> None:
        self.name = name
        self.path = f"/run/netns/{name}"
        self.ports: list[PortInfo] = []
        self._host = host
        self._api = api
        self._children: list[subprocess.Popen[str]] = []
        host.run(["ip", "netns", "add", name])
        self.run("ip", "link", "set", "lo", "up")

    def attach(self, network: NetworkInfo, **fields: object) -> PortInfo:
        """Plug it into a network; `fields` are those of AttachSpec."""
        spec = AttachSpec(target=self.path, network=network.name, **fields)  # type: ignore[arg-type]
        port = self._api.send(PortInfo, "POST", "attachments", body=spec)
        self.ports.append(port)
        return port

    def detach(self, network: NetworkInfo) -> None:
        """Unplug it."""
        self._api.delete("attachments", query={"target": self.path, "network": network.name})

    @property
    def address4(self) -> str:
        """Its first port's IPv4 address."""
        return next(address for address in self.ports[0].addresses if "." in address)

    @property
    def address6(self) -> str:
        """Its first port's IPv6 address."""
        return next(address for address in self.ports[0].addresses if ":" in address)

    @property
    def mac(self) -> str:
        """Its first port's."""
        return self.ports[0].mac

    @property
    def device(self) -> str:
        """The host's end of its first port."""
        device = self.ports[0].device
        assert device is not None
        return device.ifname

    def command(self, *words: str) -> list[str]:
        """A command line that runs in here."""
        return [*self._host.enter, "nsenter", f"--net={self.path}", "--", *words]

    def try_run(self, *words: str, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        """Run a command in here, whatever comes of it."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=timeout_s * PATIENCE,
            check=False,
            env=self._host.environment,
        )

    def run(self, *words: str, timeout_s: float = 20) -> str:
        """Run a command in here that must succeed; what it printed."""
        done = self.try_run(*words, timeout_s=timeout_s)
        assert done.returncode == 0, f"{self.name}$ {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a command in here; it ends with the test."""
        child = subprocess.Popen(
            self.command(*words),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._host.environment,
        )
        self._children.append(child)
        return child

    def reaches(self, address: str) -> bool:
        """Whether one of several pings within a second is answered."""
        return self.try_run(*PING_ONCE, address).returncode == 0

    def fetch(self, url: str) -> str:
        """The body of an HTTP answer, which must come."""
        return self.run(*fetch(url))

    def counters(self) -> CountersInfo:
        """Its first port's."""
        found = self._api.get(CountersList, "counters").counters
        return next(one for one in found if one.port_id == self.ports[0].id)

    def drops(self, reason: str) -> int:
        """Packets dropped for a reason."""
        return self.counters().drops.get(reason, 0)

    def send(self, *frames: bytes, ifname: str = "eth0") -> None:
        """Put frames on the wire as they are."""
        self.run(sys.executable, str(_FRAMES), "send", ifname, *(frame.hex() for frame in frames))

    def listen(self, last: bytes, ifname: str = "eth0") -> Listener:
        """Take down all frames that arrive, until one that holds `last`."""
        child = self.start(sys.executable, str(_FRAMES), "listen", ifname, last.hex())
        assert child.stdout is not None
        assert child.stdout.readline() == "listening\n"
        return Listener(child)

    def remove(self) -> None:
        """End what runs in here, unplug it and let the namespace go."""
        for child in self._children:
            child.kill()
            child.communicate()
        for port in self.ports:
            with suppress(WeftError):
                self._api.delete("ports", port.id)
        self._host.run(["ip", "netns", "delete", self.name])


class Listener:
    """Frames on their way to a workload."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def frames(self, timeout_s: float = 10) -> list[bytes]:
        """All frames up to the last one, which must come."""
        output, _ = self._child.communicate(timeout=timeout_s * PATIENCE)
        assert self._child.returncode == 0, f"the last frame did not come: {output}"
        return [bytes.fromhex(line) for line in output.split()]


def add_network(api: Client, name: str, cidrs: Sequence[str], **fields: object) -> NetworkInfo:
    """Make a network with subnets; `fields` are those of NetworkSpec."""
    subnets = tuple(SubnetSpec(cidr=ip_network(cidr)) for cidr in cidrs)
    spec = NetworkSpec(name=name, subnets=subnets, **fields)  # type: ignore[arg-type]
    return api.send(NetworkInfo, "POST", "networks", body=spec)


def fetch(url: str) -> list[str]:
    """A command that prints the body of an HTTP answer."""
    return [sys.executable, "-c", _FETCH, url, str(5 * PATIENCE)]


def gateway(network: NetworkInfo, family: int = 4) -> str:
    """The gateway of a network's first subnet of a family."""
    for subnet in network.subnets:
        if ip_network(subnet.cidr).version == family and subnet.gateway:
            return str(ip_interface(subnet.gateway).ip)
    raise AssertionError(f"{network.name} has no IPv{family} gateway")


def ping_counts(output: str) -> tuple[int, int]:
    """Packets sent and answered, from what ping printed."""
    match = _COUNT.search(output)
    assert match is not None, output
    return int(match[1]), int(match[2])


def until(what: str, is_so: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)
