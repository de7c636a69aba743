"""Commands that the documentation shows exist, with the options shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from weft.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_TARGETS = re.compile(r"^((?:[a-z][a-z-]* )*[a-z][a-z-]*):", re.MULTILINE)


class Shown(NamedTuple):
    page: Path
    line: int
    words: list[str]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}: {shlex.join(self.words)}"


def code_lines(page: Path) -> Iterator[tuple[int, str]]:
    """Lines of code blocks (fenced or indented by four) and of inline code, comments cut off."""
    is_fenced = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_fenced = not is_fenced
        elif is_fenced or line.startswith("    "):
            yield number, line.partition(" #")[0].strip().removeprefix("$ ")
        else:
            yield from ((number, code) for code in re.findall(r"`([^`]+)`", line))


def shown(program: str) -> Iterator[Shown]:
    """Every command line of a program, also behind `weft lab exec HOST --` and sudo."""
    for page in PAGES:
        for number, line in code_lines(page):
            for command in re.split(r"\s--\s|\s*(?:&&|;|\|)\s*", line):
                command = command.strip().removeprefix("sudo ")
                if command.split(" ")[0] == program and "…" not in command.split(" ")[:3]:
                    yield Shown(page, number, shlex.split(command))


WEFT = list(shown("weft"))
MAKE = list(shown("make"))


def check(command: click.Command, words: list[str]) -> None:
    """Walk the words down the tree of commands; a name or an option that is not there fails."""
    context = click.Context(command)
    options = {
        name: option
        for option in command.get_params(context)
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }
    position = 0
    while position < len(words):
        word = words[position].strip("[]")
        position += 1
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            assert name in options, f"no option {name}"
            if not options[name].is_flag and "=" not in word:
                position += 1
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", word):
            found = command.get_command(context, word)
            assert found is not None, f"no command {word}"
            check(found, words[position:])
            return


@pytest.mark.parametrize("one", WEFT, ids=str)
def test_weft_command_in_the_docs_exists(one: Shown) -> None:
    check(cli, one.words[1:])


@pytest.mark.parametrize("one", MAKE, ids=str)
def test_make_target_in_the_docs_exists(one: Shown) -> None:
    words = one.words[1:]
    folder = ROOT
    if words[:1] == ["-C"]:
        folder, words = ROOT / words[1], words[2:]
    groups = _TARGETS.findall((folder / "Makefile").read_text())
    targets = {target for group in groups for target in group.split()}
    for word in words:
        assert word in targets or "=" in word or word.startswith("-")


def test_the_readme_shows_commands() -> None:
    assert any(one.page.name == "README.md" for one in WEFT)
    assert any(one.page.name == "README.md" for one in MAKE)
