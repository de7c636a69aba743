"""Answers of other resolvers, kept for as long as they say. RFC 1035, 2308, 8767.

Bounded in entries and in octets; when the cache is full, the entry used longest ago goes. An entry
past its time is kept a while longer, to be given only when no resolver answers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from weft.dns import wire
from weft.dns.wire import Answer

MAX_ENTRIES = 4096
"""About 2 MB with usual answers."""
MAX_BYTES = 8 << 20
"""Of answers, which may have 64 KB each: names that a workload chooses for that fill no more."""
MIN_HOLD_S = 1.0
"""Also for answers that ask not to be kept: many ask at once, and a second harms nobody."""
MAX_TTL_S = 86_400
MAX_NEGATIVE_TTL_S = 300
STALE_S = 3600.0
"""For how long past its time an entry may be used when no resolver answers."""
STALE_HOLD_S = 5.0
"""After which the resolvers are tried again."""

_TTL = struct.Struct(">I")


class Key(NamedTuple):
    """What decides an upstream answer."""

    name: bytes
    type: int
    flags: int
    """AD and CD of the query."""
    is_dnssec_ok: bool


class Fetched(NamedTuple):
    """An upstream answer."""

    flags: int
    counts: tuple[int, int, int]
    body: bytes
    """All records, without OPT."""
    ttls_at: tuple[int, ...]
    """Where in `body` the times to live are."""
    hold_s: float
    """How long it may be kept; 0: not at all."""

    @property
    def is_usable(self) -> bool:
        """Whether it says something of the name, not only that the resolver failed."""
        return self.flags & 0xF in (wire.NOERROR, wire.NXDOMAIN)

    def answer(self, age_s: int = 0) -> Answer:
        """For an asker, with the time to live counted down (to 1, not to "do not keep")."""
        body = self.body
        if age_s > 0:
            aged = bytearray(body)
            for at in self.ttls_at:
                (ttl_s,) = _TTL.unpack_from(body, at)
                _TTL.pack_into(aged, at, max(ttl_s - age_s, min(ttl_s, 1)))
            body = bytes(aged)
        return Answer(self.flags, (body,), self.counts)


class Entry(NamedTuple):
    """A kept answer; times are of the cache's clock."""

    fetched: Fetched
    fetched_s: float
    fresh_until_s: float


class Cache:
    """Kept answers by question."""

    def __init__(
        self,
        clock: Callable[[], float],
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: dict[Key, Entry] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Answer | None:
        """The kept answer while its time lasts."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        now_s = self._clock()
        if now_s >= entry.fresh_until_s:
            return None
        self._entries[key] = self._entries.pop(key)
        return entry.fetched.answer(int(now_s - entry.fetched_s))

    def put(self, key: Key, fetched: Fetched) -> None:
        """Keep an answer for its time; not at all if that is zero."""
        if key in self._entries:
            self._drop(key)
        if fetched.hold_s <= 0:
            return
        now_s = self._clock()
        self._entries[key] = Entry(fetched, now_s, now_s + fetched.hold_s)
        self._bytes += len(fetched.body)
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        self._bytes -= len(self._entries.pop(key).fetched.body)

    def get_stale(self, key: Key) -> Answer | None:
        """An answer past its time, if not too far; it then counts as fresh for STALE_HOLD_S."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        now_s = self._clock()
        fetched = entry.fetched
        if not fetched.is_usable:
            return None
        if now_s >= entry.fetched_s + fetched.hold_s + STALE_S:
            self._drop(key)
            return None
        self._entries[key] = entry._replace(fresh_until_s=now_s + STALE_HOLD_S)
        return fetched.answer(int(now_s - entry.fetched_s))
