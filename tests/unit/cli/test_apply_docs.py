"""The file and the commands of docs/apply.md do what they are there for."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.api.resources.table import RESOURCES

PAGE = (Path(__file__).parents[3] / "docs/apply.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_pages_commands_work_in_order(
    weftd: Weftd, weft: Weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (file,) = blocks("yaml")
    Path("shop.yaml").write_text(file)
    ran = {}
    for line in "".join(blocks("sh")).splitlines():
        result = ran[line] = weft(*shlex.split(line)[1:])
        assert result.code == 0, (line, result)
    assert len(ran) == 7
    assert ran["weft apply -f shop.yaml --dry-run"].out.endswith("6 would be made\n")
    assert ran["weft apply -f shop.yaml"].out.endswith("6 made\n")
    assert ran["weft apply -f shop.yaml --owner shop"].out.endswith("6 changed\n")
    assert ran["weft apply -f shop.yaml --owner shop --prune"].out.endswith("nothing to change\n")
    assert ran["weft export"].out == ran["weft export --owner shop"].out
    json.loads(ran["weft apply --schema"].out)


def test_the_fault_that_the_page_shows_is_told_so(
    weftd: Weftd, weft: Weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (file,) = blocks("yaml")
    Path("shop.yaml").write_text(file.replace("10.20.0.0/24", "10.20.0.0/33"))
    (shown,) = re.findall(r"^    (shop\.yaml:.*)$", PAGE, re.MULTILINE)
    assert shown in weft("apply", "-f", "shop.yaml").err


def test_the_page_lists_every_kind_with_every_field() -> None:
    for resource in RESOURCES:
        (line,) = re.findall(rf"^\| `{resource.noun}` \| (.*) \|$", PAGE, re.MULTILINE)
        shown = re.sub(r"\(.*?\)", "", line)
        assert re.findall(r"`(\w+)`", shown) == list(resource.spec.__struct_fields__)
