"""The README's "Real use" does what it says, typed line by line on a fresh host."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.lab.host import LabHost
from weft.lab.lab import Lab

pytestmark = [pytest.mark.root, pytest.mark.docker]
_PAGE = Path(__file__).parents[2] / "README.md"
_APPLY = _PAGE.parent / "docs/apply.md"
_ELSEWHERE = (["make"], ["weft", "lab"])
"""Typed on the machine itself; other tests do."""


def typed() -> list[str]:
    """Lines of the section's code blocks."""
    section = _PAGE.read_text().split("## Real use\n")[1].split("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith("    ")]
    return [
        line
        for line in lines
        if not any(shlex.split(line)[: len(words)] == words for words in _ELSEWHERE)
    ]


@pytest.fixture
def hosts() -> Iterator[tuple[LabHost, LabHost]]:
    """One that runs, and one that weftd never ran on."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("dockerd") is None:
        pytest.skip("needs dockerd; make setup installs it")
    lab = Lab(f"readme-{os.getpid()}")
    try:
        lab.up(2, has_docker=True, has_weftd=False)
        h1 = lab.host("h1")
        h1.start_weftd()
        h1.run(["ip", "netns", "add", "box"])
        yield h1, lab.host("h2")
    finally:
        lab.down()


@pytest.fixture
def host(hosts: tuple[LabHost, LabHost]) -> LabHost:
    return hosts[0]


@pytest.fixture
def process(host: LabHost) -> Iterator[subprocess.Popen[str]]:
    """Something that runs in a network namespace of its own: the README's 4711."""
    command = [*host.enter, "unshare", "--net", "sh", "-c", "echo here; exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "here\n"
        yield running
        running.kill()


def joining(line: str, member: LabHost) -> list[str]:
    """The line that joins, with the address and the token that the first host prints."""
    real = {
        "192.0.2.10": str(member.layout.address4),
        "weft1…": member.run(["weft", "token", "show"]).strip(),
    }
    return [real.get(word, word) for word in shlex.split(line)]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The first file of docs/apply.md, which the README calls shop.yaml."""
    file = tmp_path / "shop.yaml"
    file.write_text(_APPLY.read_text().split("```yaml\n")[1].split("```")[0])
    return file


def test_every_command_works(
    hosts: tuple[LabHost, LabHost], process: subprocess.Popen[str], shop: Path
) -> None:
    host, other = hosts
    real = {"4711": str(process.pid), "shop.yaml": str(shop)}
    commands = typed()
    assert len(commands) > 12
    answers = {}
    for line in commands:
        words = [real.get(word, word) for word in shlex.split(line)]
        if line == "weft doctor":  # a lab shows it things that a real host has not
            continue
        if "--join" in line:
            other.run(joining(line, host), timeout_s=60)
            continue
        answers[line] = host.run(words, timeout_s=60)
    assert "h2" in answers["weft status hosts"]
    assert "192.168.1." in answers["weft dns lookup web.foo.weft.internal"]
    for workload in ("web", "db", "box"):
        assert workload in answers["weft ps"]
    links = host.run(["ip", "-brief", "link"])
    assert "weft" not in links
