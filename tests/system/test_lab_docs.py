"""The commands of docs/lab.md do what they are there for."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.workload import PATIENCE
from weft.lab.host import weft_command
from weft.lab.lab import Lab

pytestmark = [pytest.mark.root, pytest.mark.docker]
_PAGE = Path(__file__).parents[2] / "docs/lab.md"


@pytest.fixture
def name() -> Iterator[str]:
    unique = f"docs-{os.getpid()}"
    yield unique
    Lab(unique).down()


def commands() -> list[list[str]]:
    """Lines of the page that a user would type."""
    lines = _PAGE.read_text().splitlines()
    return [shlex.split(line.removeprefix("# ")) for line in lines if line.startswith("# weft ")]


def test_every_command_of_the_page_works(name: str) -> None:
    typed = commands()
    assert len(typed) > 10
    for program, lab, verb, *rest in typed:
        assert (program, lab) == ("weft", "lab")
        done = subprocess.run(
            [*weft_command(), lab, verb, "--name", name, *rest],
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{verb} {rest}: {done.stdout}{done.stderr}"
    assert not Lab(name).is_made
