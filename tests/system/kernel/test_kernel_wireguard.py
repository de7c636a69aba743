"""wireguard-go as a process: what is said when it does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.kernel.conftest import PATIENCE
from weft.errors import UnavailableError
from weft.kernel.wireguard import process

pytestmark = pytest.mark.root

ADVICE = """
┌──────────────────────────┐
│   advice on every start  │
└──────────────────────────┘
"""


@pytest.mark.parametrize("said", ["first\nlast but one\nno tun", ""])
def test_the_last_words_of_one_that_does_not_start_are_told(
    said: str, host_netns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / process.PROGRAM
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{ADVICE.strip()}\n{said}\nEND\n")
    program.chmod(0o755)
    path = f"{program.parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    monkeypatch.setattr(process, "_ENVIRONMENT", {"PATH": path})
    monkeypatch.setattr(process, "START_S", 1.0 * PATIENCE)

    told = "last but one; no tun" if said else "it says nothing"
    with pytest.raises(UnavailableError, match=f"did not start: {told}$"):
        process.start("weftwg", tmp_path / "run")
