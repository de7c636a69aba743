"""The commands of docs/names.md do what they are there for."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.lab.host import weft_command
from weft.lab.lab import Lab

pytestmark = pytest.mark.root
_PAGE = Path(__file__).parents[2] / "docs/names.md"
_TIMEOUT_S = 60


@pytest.fixture
def name() -> Iterator[str]:
    unique = f"names-{os.getpid()}"
    yield unique
    Lab(unique).down()


def typed() -> list[list[str]]:
    """Lines of the page's shell blocks, and the one of `dig`."""
    lines = [line.strip() for line in _PAGE.read_text().splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(("weft dns ", "dig @"))]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_every_command_of_the_page_works(name: str) -> None:
    weft = weft_command()
    run(*weft, "lab", "up", "--name", name)
    on_host = (*weft, "lab", "exec", "--name", name, "h1", "--")
    run(*on_host, "weft", "network", "create", "foo", "--subnet", "192.168.1.0/24")
    run(*on_host, "ip", "netns", "add", "web")
    run(*on_host, "weft", "attach", "/run/netns/web", "foo", "--name", "web")
    commands = typed()
    assert len(commands) > 10
    answers = {" ".join(command): run(*on_host, *command) for command in commands}
    assert "192.168.1.200" in answers["weft dns lookup printer --network foo"]
    assert "printer.foo.weft.internal." in answers["weft dns lookup 192.168.1.200"]
    assert "8080" in answers["weft dns lookup _http._tcp.shop --network foo --type SRV"]
    assert "192.168.1.2\n" in answers["dig @169.254.53.53 web.foo.weft.internal"]
