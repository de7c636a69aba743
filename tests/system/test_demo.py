"""The demonstration: it proves what it shows, a second run is short, and nothing is left."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.system.test_lab import machine, traces
from tests.system.workload import PATIENCE
from weft.lab.host import weft_command
from weft.lab.lab import Lab

pytestmark = [pytest.mark.root, pytest.mark.docker]


@pytest.fixture
def name() -> Iterator[str]:
    unique = f"demo-{os.getpid()}"
    yield unique
    Lab(unique).down()


def demo(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*weft_command(), "lab", "demo", "--name", name, *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=200 * PATIENCE, check=False
    )


def test_demo_works_twice_and_leaves_nothing(name: str) -> None:
    before = machine()
    first = demo(name)
    assert first.returncode == 0, first.stdout + first.stderr
    for line in (
        "h1$ docker network create -d weft --subnet=192.168.1.0/24 foo",
        "✓ the network on every host",
        "✓ ping by address",
        "✓ ping by name",
        "✓ an HTTP request by name",
        "✓ the outside of the host, by address",
        "✓ the outside, by name",
        "✓ acme: from web to api, through the router",
        "✓ globex: from api to db, through the router",
        "the db of globex",
        "✓ globex: not from web to db",
        "✓ which rule it was",
        "✓ h3 is cut off, and seen to be",
        "✓ the others go on",
        "✓ h3 is back",
        "✓ forwarding counters",
        "Go on",
    ):
        assert line in first.stdout
    assert all(len(line) <= 80 for line in first.stdout.splitlines() if "$" not in line)
    second = demo(name)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "container web runs" in second.stdout
    done = demo(name, "--down")
    assert done.returncode == 0, done.stderr
    assert traces(name) == []
    assert machine() == before


@pytest.mark.matrix
def test_demo_says_what_failed(name: str) -> None:
    """Without its network's way out the demonstration does not claim success."""
    lab = Lab(name)
    lab.up(2, has_docker=True)
    for process in lab.outside.processes():
        os.kill(process.pid, 9)
    lab.outside.run(["ip", "address", "flush", "dev", "eth0"])
    done = demo(name, "--hosts", "2")
    assert done.returncode == 1
    assert "failed:" in done.stdout
    assert "weftd.log" in done.stdout
