"""A host of the lab that was a member of a large cluster: its database holds all of that."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from weft.bench.simulated import Common
from weft.lab.host import LabHost
from weft.store import continuity
from weft.store.batch import Batch
from weft.store.sqlite_journal import SqliteJournal


def fill(host: LabHost, common: Common) -> None:
    """Before its weftd is started for the first time; it is the first host of the cluster."""
    state = host.layout.state / "weft"
    state.mkdir(mode=0o700, parents=True)
    (state / "host-id").write_text(f"{common.cluster.hosts[0]}\n")
    run = host.layout.run / "weft"
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(_write(common, state / "weft.db", run / "start"))


async def _write(common: Common, path: Path, mark_file: Path) -> None:
    """And the mark of a start, or weftd would take the database for one that was put back."""
    journal = SqliteJournal(path, "broken")
    try:
        await journal.append(Batch(puts=tuple(common.held), marks=common.marks))
        await continuity.begin(journal, mark_file, os.urandom)
    finally:
        await journal.close()
