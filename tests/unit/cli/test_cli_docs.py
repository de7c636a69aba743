"""docs/cli.md and docs/json.md are true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import msgspec
import pytest

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.api import schema
from weft.api.apply import schema as apply_schema
from weft.api.errors import TABLE
from weft.api.field_docs import field_docs
from weft.api.resources import tenant
from weft.api.schema import Answer
from weft.cli.main import cli

DOCS = Path(__file__).parents[3] / "docs"
NOT_RUN = ("up", "down", "doctor", "encrypt", "token", "leave", "forget", "why", "mend")
"""They change or look at the machine itself, or need another one: only their flags are checked."""


def forms() -> dict[str, type[Answer]]:
    return {
        name: one
        for module in (schema, tenant, apply_schema)
        for name, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, Answer) and one is not Answer
    }


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / "cli.md").read_text(), re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def test_commands_of_the_page_work_in_order(weftd: Weftd, weft: Weft) -> None:
    ran = 0
    for arguments in commands():
        if arguments[0] in NOT_RUN:
            command = cli.get_command(click.Context(cli), arguments[0])
            assert command is not None
            command.make_context(arguments[0], arguments[1:])
        else:
            result = weft(*arguments)
            assert result.code == 0, (arguments, result)
            ran += 1
    assert ran > 20


def test_every_command_is_on_the_page() -> None:
    text = (DOCS / "cli.md").read_text()
    for name in cli.list_commands(click.Context(cli)):
        if name not in ("lab", "bench"):
            assert f"weft {name}" in text


def test_json_page_has_every_form_with_every_field() -> None:
    text = (DOCS / "json.md").read_text()
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    documented = {
        section.split("\n")[0]: re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        for section in sections
    }
    inherited = {
        one: set(one.__base__.__struct_fields__)  # type: ignore[union-attr]
        for one in forms().values()
        if issubclass(one.__base__ or object, msgspec.Struct)
    }
    expected = {
        name: [field for field in one.__struct_fields__ if field not in inherited.get(one, ())]
        for name, one in forms().items()
    }
    assert documented == expected


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.kind)
def test_json_page_has_every_kind_of_error(line: object) -> None:
    kind, status = line.kind, line.status  # type: ignore[attr-defined]
    assert f"| `{kind}` | {status} |" in (DOCS / "json.md").read_text()


def test_json_page_says_of_every_field_what_the_code_says() -> None:
    text = (DOCS / "json.md").read_text()
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    for section in sections:
        form = forms()[section.split("\n")[0]]
        said = re.findall(r"^\| `(\w+)` \| .* \| (.*) ?\|$", section, re.MULTILINE)
        expected = field_docs(form)
        assert {field: what.strip() for field, what in said} == {
            field: expected.get(field, "") for field, _ in said
        }, form
