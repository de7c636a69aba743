"""The records' decoder of another release, in a process of its own.

It reads lines of JSON, ``[kind, body]``, and answers each with ``[kind, body again, why not]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELEASED = (
    "src/weft/model",
    "src/weft/errors.py",
    "src/weft/readiness.py",
    "src/weft/__init__.py",
)
"""What a decoder consists of."""
_PROGRAM = """
import json, sys
from weft.errors import InvalidError
from weft.model import codec
for line in sys.stdin:
    kind, body = json.loads(line)
    try:
        record = codec.decode(kind, body.encode())
        print(json.dumps([kind, codec.encode(record).decode(), None]))
    except InvalidError as error:
        print(json.dumps([kind, None, str(error)]))
"""

NEWER = {
    "model/choices.py": [
        ('    FLOOD = "flood"\n', '    FLOOD = "flood"\n    MOON = "moon"\n'),
        ('    WEFT = "weft"\n', '    WEFT = "weft"\n    MOON = "moon"\n'),
        ('    SCTP = "sctp"\n', '    SCTP = "sctp"\n    MOON = "moon"\n'),
        ('    REST = "rest"\n', '    REST = "rest"\n    MOON = "moon"\n'),
        ('    NAMESPACE = "namespace"\n', '    NAMESPACE = "namespace"\n    MOON = "moon"\n'),
        ("    REFUSES = 3\n", "    REFUSES = 3\n    MOON = 4\n"),
    ],
    "model/records/devices.py": [
        (
            "Device = Veth | OtherDevice\n",
            'class Moon(Part, frozen=True, kw_only=True, tag_field="kind", tag="moon"):\n'
            "    phase: tuple[str, ...] = ()\n\n\n"
            "Device = Veth | Moon | OtherDevice\n",
        ),
        ('"veth", "other"', '"veth", "moon", "other"'),
    ],
    "model/records/networks.py": [
        ("    multicast_groups: tuple", '    colour: Words = ""\n    multicast_groups: tuple'),
    ],
    "model/records/ports.py": [
        (
            "    is_spoof_checked: bool = True\n",
            '    is_spoof_checked: bool = True\n    colour: Text = ""\n',
        ),
        ('    sandbox: LongText = ""\n', '    sandbox: LongText = ""\n    colour: Text = ""\n'),
    ],
}
"""What a later release might add: words, a kind of device, fields of records and of parts."""


def newer(folder: Path) -> Path:
    """The decoder of a release that does not exist yet; the folder to import `weft` from."""
    for name in ("__init__.py", "errors.py", "readiness.py"):
        _copy(ROOT / "src/weft" / name, folder)
    for source in (ROOT / "src/weft/model").rglob("*.py"):
        _copy(source, folder)
    for path, changes in NEWER.items():
        file = folder / "weft" / path
        text = file.read_text()
        for before, after in changes:
            assert text.count(before) == 1, f"{path}: {before!r} is not there once"
            text = text.replace(before, after)
        file.write_text(text)
    return folder


def _copy(source: Path, folder: Path) -> None:
    target = folder / source.relative_to(ROOT / "src")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source.read_text())


def of_tag(tag: str, folder: Path) -> Path:
    """The decoder of a release; the folder to import `weft` from."""
    archive = subprocess.run(
        ["git", "archive", tag, *RELEASED], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder / "src"


def last_release() -> str | None:
    """Its tag; None: nothing was released yet, or this is no repository."""
    found = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or None


def read_by(folder: Path, bodies: Iterable[tuple[str, bytes]]) -> list[tuple[str, str | None, str]]:
    """What that decoder makes of bodies: (kind, body again or None, why not)."""
    lines = "".join(json.dumps([kind, body.decode()]) + "\n" for kind, body in bodies)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={"PYTHONPATH": str(folder)},
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]
