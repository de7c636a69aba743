"""Finds out what a host has to do from time to time with the entries that it holds; `replica` does
it.

Which tombstones have had their time, what it owns under incarnations that are over, and which of
those still count.
"""

from __future__ import annotations

from weft.mesh import incarnations
from weft.mesh.incarnations import Statement
from weft.mesh.ledger import Ledger
from weft.store.entry import Entry, Origin


def spent_tombstones(ledger: Ledger, oldest: int, keeper: str | None) -> list[Entry]:
    """Tombstones with a clock below `oldest`, but those that must stay, however old.

    One whose mark is not raised yet may be of a delta that is still arriving. Tombstones of the
    host `keeper` may stand against writes that it has lost and will hear of from peers.
    """
    found = [ledger.held.get(key) for key in ledger.held.tombstones]
    return [
        entry
        for entry in found
        if entry is not None
        and entry.clock < oldest
        and entry.sequence <= ledger.marks[entry.origin]
        and entry.origin.host != keeper
    ]


def owned_by_earlier(ledger: Ledger, host: str, incarnation: int | None) -> list[Entry]:
    """What a host owns and has not written under its present incarnation."""
    return [
        entry
        for origin in ledger.held.origins()
        if origin.host == host and origin.incarnation != incarnation
        for entry in ledger.held.of(origin)
        if entry.is_owned and entry.content is not None and entry.kind != incarnations.KIND
    ]


def due_statement(ledger: Ledger, present: Origin) -> Statement | None:
    """Which earlier incarnations still count; None if none has to be forgotten."""
    earlier = {o.incarnation for o in ledger.marks if o.host == present.host}
    earlier.discard(present.incarnation)
    kept = {
        incarnation
        for incarnation in earlier
        for entry in ledger.held.of(Origin(present.host, incarnation))
        if entry.kind != incarnations.KIND
    }
    return None if earlier <= kept else Statement(present.incarnation, tuple(sorted(kept)))
