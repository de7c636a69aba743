"""Folders outside Weft's own that it had to make, remembered so that a purge takes them away.

Docker's folders for plugins may be there before Docker is, or not; only those that Weft made go,
and only while nobody has put anything into them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from weft.config import Settings


def make_folder(path: Path, settings: Settings) -> None:
    """Make a folder and those above it; what is there already stays as it is.

    It is noted before it is made, so a death in between loses nothing.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    if missing:
        _note(missing, settings)
        path.mkdir(mode=0o755, parents=True, exist_ok=True)


def remove_made_folders(settings: Settings) -> list[Path]:
    """Remove what was noted, where it is empty; returns what went. The deepest first."""
    removed = []
    for folder in sorted(_noted(settings), key=lambda each: len(each.parts), reverse=True):
        with contextlib.suppress(OSError, ValueError):
            folder.rmdir()
            removed.append(folder)
    notes(settings).unlink(missing_ok=True)
    return removed


def notes(settings: Settings) -> Path:
    """Where the folders are remembered: one a line."""
    return Path(settings.state_dir) / "folders"


def _noted(settings: Settings) -> set[Path]:
    try:
        return {
            Path(line) for line in notes(settings).read_text(errors="replace").splitlines() if line
        }
    except FileNotFoundError:
        return set()


def _note(folders: list[Path], settings: Settings) -> None:
    known = _noted(settings)
    new = [folder for folder in folders if folder not in known]
    Path(settings.state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    with notes(settings).open("a") as file:
        file.writelines(f"{folder}\n" for folder in new)
        file.flush()
        os.fsync(file.fileno())
