"""Objects of another release: the same programs, with maps of other names."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

NEXT = "_v9"
"""What every new name ends in."""


def next_name(name: str) -> str:
    """``macs_v1`` in the next release."""
    return name[: -len(NEXT)] + NEXT


def families(names: Iterable[str]) -> list[list[str]]:
    """Names of which one ends in another go together: an object file keeps one text for both."""
    found: list[list[str]] = []
    for name in sorted(names, key=len):
        family = next((each for each in found if name.endswith(each[0])), None)
        if family is None:
            found.append([name])
        else:
            family.append(name)
    return found


def renamed(objects: Path, to: Path, names: Iterable[str]) -> Path:
    """A copy of the objects below `to`, with next names of these maps; see `families`."""
    copy = shutil.copytree(objects, to / "objects")
    for file in copy.glob("*.o"):
        raw = file.read_bytes()
        for name in names:
            raw = raw.replace(f"{name}\0".encode(), f"{next_name(name)}\0".encode())
        file.write_bytes(raw)
    return copy
