"""docs/times.md gives the numbers that are in the code."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "times.md"
ROWS = re.findall(r"^\| [^|]+ \| ([0-9.]+) \| `([\w.]+)` \|", PAGE.read_text(), re.MULTILINE)


def test_all_rows_are_read() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| .* \| [0-9]", line)]
    assert len(ROWS) == len(lines) > 25


@pytest.mark.parametrize(("seconds", "place"), ROWS)
def test_a_time_is_what_the_page_says(seconds: str, place: str) -> None:
    path, _, name = place.rpartition(".")
    head, _, last = path.rpartition(".")
    if last[:1].isupper():
        value = getattr(getattr(importlib.import_module(f"weft.{head}"), last)(), name)
    else:
        value = getattr(importlib.import_module(f"weft.{path}"), name)
    assert value == float(seconds)
