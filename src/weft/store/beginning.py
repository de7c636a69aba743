"""Who a host is when it starts, and whether its journal goes on from where it was.

The host's id has a file of its own, so that a database that cannot be read costs the host what its
peers give back to it, and not its place among them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from weft.disk import why_not_written
from weft.errors import InvalidError
from weft.model.ids import HOST_ID_LENGTH, HostId, RandomBytes, new_host_id
from weft.store import continuity
from weft.store.sqlite_journal import SqliteJournal

_DIGITS = frozenset("0123456789abcdef")


class Places(NamedTuple):
    """Where a host keeps what."""

    database: Path
    host_id: Path
    start_mark: Path
    """In the run directory, which ends with the boot."""


class Begun(NamedTuple):
    """What a host finds out of its journal when it starts."""

    host_id: HostId
    is_put_back: bool
    """See `continuity.is_put_back`."""
    is_continued: bool
    """Nothing that was written into it can be missing."""


async def begin(places: Places, journal: SqliteJournal, random_bytes: RandomBytes) -> Begun:
    """Who this host is, and whether its journal goes on; leaves the mark of this start."""
    is_known = _read_id(places.host_id) is not None
    host_id = await _host_id(places.host_id, journal, random_bytes)
    is_put_back = await continuity.is_put_back(journal, places.start_mark, is_known=is_known)
    is_continued = await continuity.begin(journal, places.start_mark, random_bytes)
    return Begun(host_id, is_put_back, is_continued and not is_put_back)


async def _host_id(path: Path, journal: SqliteJournal, random_bytes: RandomBytes) -> HostId:
    """Chosen at the first start and kept; before it had a file it was a fact in the database."""
    kept = _read_id(path)
    if kept is not None:
        return kept
    chosen = HostId(await journal.read_fact("host_id") or new_host_id(random_bytes))
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w") as file:
            file.write(f"{chosen}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise InvalidError(f"state directory {path.parent}: {why_not_written(error)}") from error
    return chosen


def _read_id(path: Path) -> HostId | None:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"host id {path}: {error}") from error
    if len(text) != HOST_ID_LENGTH or not _DIGITS.issuperset(text):
        raise InvalidError(
            f"host id {path}: {text[:40]!r} is not {HOST_ID_LENGTH} hexadecimal digits; remove the "
            "file and this host takes another id"
        )
    return HostId(text)
