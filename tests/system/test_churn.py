"""Containers come and go on three hosts for minutes; weftd stays small, and nothing is left."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import families
from tests.system.pings import Pings
from tests.system.workload import until
from weft.api.client import Client
from weft.api.schema import PortList
from weft.lab.host import LabHost
from weft.lab.lab import Lab

pytestmark = [pytest.mark.root, pytest.mark.docker]

CONTAINERS = (60, 200)
"""So many by turns on three hosts, and the same for longer."""
AT_ONCE = 5
"""On each host, at most."""
WARM = 0.4
"""The part of them after which weftd has met everything once."""
GROWTH_KB = 6000
SEED = 20


class Size(NamedTuple):
    """What a weftd takes."""

    resident_kb: int
    files: int


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[LabHost]]:
    lab = Lab(f"churn-{os.getpid()}")
    try:
        lab.up(3, has_docker=True, settings={"rest_s": 0.2})
        made = lab.hosts()
        made[0].run(["docker", "network", "create", "-d", "weft", "--subnet=10.96.0.0/24", "churn"])
        for host in made:
            until(f"the network on {host.name}", lambda host=host: has_network(host))  # type: ignore[misc]
        yield made
    finally:
        lab.down()


def has_network(host: LabHost) -> bool:
    return "churn" in host.run(["docker", "network", "ls", "--format", "{{.Name}}"]).split()


def size(host: LabHost) -> Size:
    process = host.weftd
    assert process is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return Size(int(resident.split()[1]), len(list(Path(f"/proc/{process.pid}/fd").iterdir())))


def ports(host: LabHost) -> int:
    return len(Client(host.api_socket).get(PortList, "ports").ports)


def churn(host: LabHost, count: int, seed: int) -> None:
    """Start `count` containers and stop them, at random."""
    choices = random.Random(seed)
    running: list[str] = []
    for number in range(count):
        while running and (len(running) >= AT_ONCE or choices.random() < 0.4):
            host.run(["docker", "rm", "-f", running.pop(choices.randrange(len(running)))])
        name = f"{host.name}-{seed}-{number}"
        host.run(f"docker run -d --net=churn --name={name} busybox sleep 1000000".split())
        running.append(name)
    host.run(["docker", "rm", "-f", *running])


def churn_all(hosts: list[LabHost], count: int, seed: int) -> None:
    with ThreadPoolExecutor(len(hosts)) as threads:
        for done in [threads.submit(churn, h, count // len(hosts), seed) for h in hosts]:
            done.result()


def of_container(host: LabHost, name: str, what: str) -> str:
    """A fact of a container's, as `docker inspect` names it."""
    return host.run(["docker", "inspect", "--format", what, name]).strip()


@contextmanager
def pinging(host: LabHost, container: str, address: str) -> Iterator[Pings]:
    """Pings from a container, which end with the block."""
    inside = f"--net=/proc/{of_container(host, container, '{{.State.Pid}}')}/ns/net"

    def start(*words: str, stdin: int) -> subprocess.Popen[str]:
        command = ["nsenter", inside, *words]
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)

    pings = Pings(start, [address])
    try:
        yield pings
    finally:
        pings.kill()


@pytest.mark.timeout(400)  # two hundred containers, on a machine that may do other things
@pytest.mark.parametrize("count", families.of(CONTAINERS))
def test_containers_come_and_go_and_weftd_stays_as_it_is(hosts: list[LabHost], count: int) -> None:
    for host in hosts[:2]:
        name = f"stays-{host.name}"
        host.run(f"docker run -d --net=churn --name={name} busybox sleep 1000000".split())
    try:
        measure(hosts, count)
    finally:
        for host in hosts[:2]:
            host.run(["docker", "rm", "-f", f"stays-{host.name}"])


def measure(hosts: list[LabHost], count: int) -> None:
    address = of_container(hosts[1], "stays-h2", "{{.NetworkSettings.Networks.churn.IPAddress}}")
    with pinging(hosts[0], "stays-h1", address) as pings:
        churn_all(hosts, int(count * WARM), SEED)
        before = [size(host) for host in hosts]
        churn_all(hosts, int(count * (1 - WARM)), SEED + 1)
        pings.end_whole(100)
    for host in hosts:
        until(f"{host.name} knows that they are gone", lambda host=host: ports(host) == 2)  # type: ignore[misc]
        assert host.run(["sh", "-c", "ls /sys/class/net | grep -c '^wefc' || true"]).strip() == "0"
    after = [size(host) for host in hosts]
    for old, new in zip(before, after, strict=True):
        assert new.files <= old.files + 2, (before, after)
        assert new.resident_kb <= old.resident_kb + GROWTH_KB, (before, after)
