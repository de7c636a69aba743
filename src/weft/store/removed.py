"""Hosts that were removed from the cluster: what they owned is held by nobody any more.

A removed host never writes again, for its links are refused, and so its records would stay for
good. Instead the entry that says that it is gone takes them away, wherever it arrives: they are
dropped, and not taken again from who has not heard of it yet. Marks stay, for what the host wrote
into the shared part of the key space stays too; and so do its statements about incarnations, and
those by which the others share out the addresses that were its own.
"""

from __future__ import annotations

from weft.model.records import AddressBlocks, ForgottenHost, Lease, LeaseVote
from weft.store.entry import INCARNATIONS, Entry

KEPT_KINDS = frozenset({INCARNATIONS, AddressBlocks.KIND, Lease.KIND, LeaseVote.KIND})
"""Of what a removed host owned, that which others still decide by."""


class RemovedHosts:
    """All of which this host has heard. Nothing takes the word back."""

    def __init__(self, host: str) -> None:
        """host: the one that asks. It keeps what is its own, so as to be able to go in order."""
        self._host = host
        self._removed: set[str] = set()

    def learn(self, entry: Entry) -> bool:
        """Read a removal; False for anything else, and for what was known."""
        if entry.kind != ForgottenHost.KIND or entry.is_owned or entry.id in self._removed:
            return False
        if entry.id == self._host:
            return False
        self._removed.add(entry.id)
        return True

    def owns(self, entry: Entry) -> bool:
        """Whether an entry is of the part that a removed host alone could write."""
        return (
            entry.is_owned and entry.origin.host in self._removed and entry.kind not in KEPT_KINDS
        )
