"""Whether what a journal holds is all that was written into it.

It may lack its end after a power cut, and is somebody's past when a backup was put back. So each
start leaves a mark in the journal, and the same mark with the kernel's boot id in the run
directory: only where both agree, nothing came between.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from weft.disk import why_not_written
from weft.errors import InvalidError, UnavailableError
from weft.model.ids import RandomBytes, new_id
from weft.store.sqlite_journal import SqliteJournal

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FACT = "start"
_INODE = "inode"


async def begin(journal: SqliteJournal, mark_file: Path, random_bytes: RandomBytes) -> bool:
    """Leave the mark of this start; whether the journal goes on from where it was.

    On a disk that is full, the last one stays: it is still true.
    """
    boot = boot_id()
    last = await journal.read_fact(_FACT)
    is_continued = last is not None and _read(mark_file) == f"{boot} {last}"
    mark = new_id(random_bytes)
    with contextlib.suppress(UnavailableError):
        await journal.write_fact(_FACT, mark)
        _write(mark_file, f"{boot} {mark}")
    return is_continued


async def is_put_back(journal: SqliteJournal, mark_file: Path, *, is_known: bool) -> bool:
    """Whether the journal is likely an older one than this host wrote last: a backup, or a new one
    after the old was lost. Called before `begin`.

    is_known: the host has had its id before this start. A backup that was written over the old
    file while the machine was off cannot be told from the file that was there.
    """
    last = await journal.read_fact(_FACT)
    inode, known = str(journal.path.stat().st_ino), await journal.read_fact(_INODE)
    with contextlib.suppress(UnavailableError):
        await journal.write_fact(_INODE, inode)
    if last is None:
        return is_known
    boot, _, mark = _read(mark_file).partition(" ")
    is_other_mark = boot == boot_id() and mark != last
    return is_other_mark or (known is not None and known != inode)


def boot_id() -> str:
    """The kernel's name for the time since the machine started."""
    return _read(BOOT_ID).strip()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise InvalidError(
            f"run directory {path.parent}: {why_not_written(error, 'run-dir')}"
        ) from error


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
