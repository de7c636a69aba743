"""Entries: what hosts pass on to each other, one a record or a tombstone.

An entry is addressed by kind, id and, when its kind is owned, the host that owns it: a host writes
into its own part of the key space or into the shared one, so nobody can overwrite what another
host owns, in whatever order messages arrive. Bodies are bytes that replication never looks into:
kinds and fields that this version of weft does not know are passed on as they came.
"""

from __future__ import annotations

from typing import NamedTuple, SupportsBytes

import msgspec

from weft.store.clock import Version

MAX_BODY_BYTES = 1024 * 1024
INCARNATIONS = "mesh-incarnations"
"""Kind of the entries by which replication keeps account of itself (`mesh.incarnations`)."""


class Origin(NamedTuple):
    """One unbroken series of writes of a host.

    A host that may have lost the end of a series (power cut, restored backup) begins another
    under a greater incarnation, so that a sequence number never means two writes.
    """

    host: str
    incarnation: int


class Key(NamedTuple):
    """What at most one entry is held for."""

    kind: str
    id: str
    owner: str
    """The host that alone writes it; empty: shared."""


class Rank(NamedTuple):
    """Of two entries with one key, the one with the greater rank wins, on every host alike."""

    clock: int
    """0 for owned keys: their one writer counts, and a clock that jumps back harms nothing."""
    host: str
    incarnation: int
    sequence: int


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One write."""

    kind: str
    id: str
    clock: int
    """Of the version."""
    origin: Origin
    sequence: int
    """Counts the writes of `origin`, from 1, without gaps."""
    content: SupportsBytes | None
    """Bytes, or what gives them when they are asked for. None: a tombstone."""
    is_owned: bool = False
    """Whether the key belongs to `origin.host` alone."""

    @property
    def body(self) -> bytes | None:
        """A record as `model.codec` encodes it; None: its deletion. May cost encoding it."""
        return None if self.content is None else bytes(self.content)

    @property
    def version(self) -> Version:
        """When it was written, and by which host."""
        return Version(self.clock, self.origin.host)

    @property
    def owner(self) -> str:
        """The host that alone writes its key; empty: any may."""
        return self.origin.host if self.is_owned else ""

    @property
    def key(self) -> Key:
        """What it is held under."""
        return Key(self.kind, self.id, self.origin.host if self.is_owned else "")

    @property
    def rank(self) -> Rank:
        """Where it stands among the entries with its key."""
        clock = 0 if self.is_owned else self.clock
        return Rank(clock, self.origin.host, self.origin.incarnation, self.sequence)
