"""Hosts of a lab that a test makes members of one cluster, by the commands that people use."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from typing import NamedTuple

from tests.system.workload import PATIENCE, until
from weft.api.client import Client
from weft.api.schema import HostInfo, HostList, NetworkList, PortList, ProblemList
from weft.lab.host import LabHost, weft_command


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Cluster:
    """The hosts of the lab, as members."""

    def __init__(self, hosts: list[LabHost]) -> None:
        self.hosts = hosts
        self.join: list[str] = []
        """Words of the line that the first host printed."""

    def weft(self, host: LabHost, *words: str, text: str = "", **environment: str) -> Ran:
        """Run a command on a host, whatever comes of it."""
        done = subprocess.run(
            [*host.enter, *weft_command(), *words],
            input=text,
            capture_output=True,
            text=True,
            env=host.environment | environment,
            timeout=90 * PATIENCE,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def done(self, host: LabHost, *words: str) -> str:
        """Run a command that works."""
        ran = self.weft(host, *words)
        assert ran.code == 0, (words, ran)
        return ran.out

    def begin(self) -> None:
        """The first host alone, the others without weftd; nothing is on any of them before."""
        lines = self.done(self.hosts[0], "up").splitlines()
        line = next(line for line in lines if "--join" in line)
        self.join = shlex.split(line)[1:]

    def gather(self) -> None:
        """All of them, by the line."""
        self.begin()
        for host in self.hosts[1:]:
            self.done(host, *self.join)
        self.wait_connected()

    def wait_connected(self) -> None:
        """Everybody is linked to everybody."""
        for host in self.hosts:
            until(f"{host.name} is linked to all", self.is_linked_to_all(host))

    def is_linked_to_all(self, host: LabHost) -> Callable[[], bool]:
        linked = ["connected"] * (len(self.hosts) - 1)
        return lambda: [one.state for one in self.others(host)] == linked

    def is_linked(self, host: LabHost) -> Callable[[], bool]:
        return lambda: any(one.state == "connected" for one in self.others(host))

    def is_lost(self, host: LabHost, other: LabHost) -> Callable[[], bool]:
        def is_so() -> bool:
            found = self.seen(host, other)
            return found is not None and found.state == "lost"

        return is_so

    def knows_no_more(self, host: LabHost, other: LabHost) -> Callable[[], bool]:
        return lambda: self.seen(host, other) is None

    def knows_address(self, host: LabHost, other: LabHost, address: str) -> Callable[[], bool]:
        def is_so() -> bool:
            found = self.seen(host, other)
            return found is not None and address in found.underlay

        return is_so

    def has_other_token(self, host: LabHost, old: str) -> Callable[[], bool]:
        return lambda: self.done(host, "token", "show").strip() != old

    def others(self, host: LabHost) -> list[HostInfo]:
        return [one for one in self.list(host).hosts if not one.is_local]

    def list(self, host: LabHost) -> HostList:
        return api(host).get(HostList, "hosts")

    def seen(self, host: LabHost, other: LabHost) -> HostInfo | None:
        """One host as another shows it."""
        found = [one for one in self.list(host).hosts if one.name == other.name]
        return found[0] if found else None


def api(host: LabHost) -> Client:
    return Client(host.api_socket, timeout_s=20 * PATIENCE)


def networks(host: LabHost) -> set[str]:
    return {one.name for one in api(host).get(NetworkList, "networks").networks}


def reasons(host: LabHost) -> str:
    problems = api(host).get(ProblemList, "problems").problems
    return "\n".join(f"{one.name}: {one.reason} {one.fix}" for one in problems)


def has(host: LabHost, *names: str) -> Callable[[], bool]:
    return lambda: networks(host) == set(names)


def ports_of(host: LabHost, host_id: str) -> list[str]:
    found = api(host).get(PortList, "ports").ports
    return [one.id for one in found if one.host_id == host_id]
