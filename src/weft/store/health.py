"""Where the records are kept, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from weft.store.shown import Quarantined


class StoreHealth(NamedTuple):
    """Where the records are, and how that is."""

    kind: str = "mesh"
    where: str = ""
    """The member of etcd that is asked."""
    trouble: str = ""
    """Why nothing can be written there now; empty: it can."""
    since_s: float = 0.0
    """Wall clock: since when it cannot."""
    waiting: int = 0
    """Writes of this host that are not there yet."""
    members: Sequence[str] = ()
    """Of an etcd that Weft runs: one line each."""
    problems: Sequence[str] = ()
    """What else is wrong."""


class Health(NamedTuple):
    """What is wrong with a host's records."""

    set_aside: Path | None = None
    """Where an unreadable database was moved at this start."""
    unsaved: str | None = None
    """Why what peers sent is not on disk."""
    quarantined: Sequence[Quarantined] = ()
    skew_s: Mapping[str, float] = {}
    """Hosts whose clocks are so far ahead that this host's logical clock does not follow."""
    has_twin: bool = False
    """Somebody else seems to write under this host's identity."""
    store: StoreHealth = StoreHealth()
