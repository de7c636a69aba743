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
def host() -> Iterator[LabHost]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("dockerd") is None:
        pytest.skip("needs dockerd; make setup installs it")
    lab = Lab(f"readme-{os.getpid()}")
    try:
        lab.up(1, has_docker=True)
        h1 = lab.host("h1")
        h1.engine.import_image()
        h1.run(["ip", "netns", "add", "box"])
        yield h1
    finally:
        lab.down()


@pytest.fixture
def process(host: LabHost) -> Iterator[subprocess.Popen[str]]:
    """Something that runs in a network namespace of its own: the README's 4711."""
    command = [*host.enter, "unshare", "--net", "sh", "-c", "echo here; exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "here\n"
        yield running
        running.kill()


def test_every_command_works(host: LabHost, process: subprocess.Popen[str]) -> None:
    commands = typed()
    assert len(commands) > 12
    answers = {}
    for line in commands:
        words = [str(process.pid) if word == "4711" else word for word in shlex.split(line)]
        if line == "weft doctor":  # a lab shows it things that a real host has not
            continue
        answers[line] = host.run(words, timeout_s=60)
    assert "192.168.1." in answers["weft dns lookup web.foo.weft.internal"]
    for workload in ("web", "db", "box"):
        assert workload in answers["weft ps"]
    links = host.run(["ip", "-brief", "link"])
    assert "weft" not in links
