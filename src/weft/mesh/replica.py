"""The replicated set of entries of one host: what it writes, merges and gives to others.

Last writer wins, by `Entry.rank`. Nothing here does I/O or knows of links; what has changed since
it was last asked is collected for the journal (`drain`) and for the links (`take_news`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import SupportsBytes

import msgspec

from weft.mesh import incarnations, upkeep
from weft.mesh.delta import Delta, Difference, Span
from weft.mesh.digest import Digest
from weft.mesh.held import Held
from weft.mesh.ledger import Ledger
from weft.mesh.own_incarnation import OwnIncarnation
from weft.mesh.screen import Screen
from weft.model.ids import RandomBytes
from weft.store.batch import Batch, Saved
from weft.store.clock import COUNTER_BITS, HybridClock, Version
from weft.store.draft import Draft
from weft.store.entry import Entry, Key, Origin


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how far."""

    tombstone_lifetime_s: float = 7 * 86400.0
    """How long a host may be away and still be served by increments. Longer costs memory, one entry
    a deletion; shorter costs a full set for each host that comes back later."""
    clock_ahead_s: float = 86400.0
    """How far ahead of this host's wall clock a version may push its logical clock. Versions
    beyond are ordered all the same and shown as skew."""


class Replica:
    """One host's copy."""

    def __init__(
        self,
        host: str,
        wall_s: Callable[[], float],
        random_bytes: RandomBytes,
        saved: Saved = Saved(),  # noqa: B008
        limits: Limits = Limits(),  # noqa: B008
        held: Held | None = None,
    ) -> None:
        """held: what is there besides `saved`, for simulations whose hosts share it."""
        self.host = host
        self.limits = limits
        self.skew_s: dict[str, float] = {}
        """Hosts whose versions were further ahead of this host's clock than is let through."""
        self._wall_s = wall_s
        self._clock = HybridClock(host, wall_s)
        self._ledger = Ledger(host, saved, self._observe, Held() if held is None else held)
        self._own = OwnIncarnation(self._ledger, wall_s, random_bytes, saved)
        self._is_settled = False
        self._is_continued = saved.incarnation is not None

    # What is there.

    @property
    def digest(self) -> Digest:
        """To read; changes with the replica."""
        return self._ledger.marks

    @property
    def checksum(self) -> int:
        """Equal for equal entries, tombstones aside."""
        return self._ledger.held.checksum

    @property
    def origin(self) -> Origin | None:
        """What this host writes under; None until its first write."""
        return self._own.origin

    @property
    def has_twin(self) -> bool:
        """Whether somebody else seems to write under this host's identity."""
        return self._own.has_twin

    @property
    def reincarnations(self) -> int:
        """How often a peer knew more of this host's present writes than the host itself."""
        return self._own.begun_again

    def meet(self, peer: str) -> None:
        """There is a link to a host."""
        self._ledger.met.add(peer)

    def screen(self) -> Screen:
        """What may be let in now."""
        return Screen(self._wall_s())

    @property
    def purged(self) -> Mapping[Origin, int]:
        """Of each origin the latest tombstone that was let go, here or where a full set is from."""
        return self._ledger.purged

    def get(self, key: Key) -> Entry | None:
        """What is held under a key, tombstones too."""
        return self._ledger.held.get(key)

    def hold_as(self, key: Key, entry: Entry, content: SupportsBytes) -> None:
        """Hold an entry, if it is still what is held, with something that gives the same bytes."""
        anew = msgspec.structs.replace(entry, content=content)
        self._ledger.held.exchange(key, entry, anew)

    def entries(self) -> Iterable[Entry]:
        """All that is held, tombstones too."""
        return iter(self._ledger.held)

    def has_all_of(self, theirs: Digest) -> bool:
        """Whether this host has seen what a peer has, as far as it still counts."""
        return not any(
            self._ledger.incarnations.counts(origin)
            for origin in theirs.ahead_of(self._ledger.marks)
        )

    def owners(self) -> set[str]:
        """Hosts that may own something."""
        return {origin.host for origin in self._ledger.marks}

    # Writing.

    def compose(self, drafts: Iterable[Draft]) -> list[Entry]:
        """Entries for writes of this host, in order; nothing is changed before `commit`.

        Nothing else may be composed in between. Deleting what is not there makes no entry.
        """
        made: dict[Key, Entry] = {}
        entries: list[Entry] = []
        for draft in drafts:
            key = Key(draft.kind, draft.id, self.host if draft.is_owned else "")
            old = made.get(key) or self._ledger.held.get(key)
            if draft.body is None and (old is None or old.content is None):
                continue
            origin = self._own.writing_origin()
            entry = Entry(
                kind=draft.kind,
                id=draft.id,
                clock=self._version_after(old).clock,
                origin=origin,
                sequence=self._ledger.marks[origin] + len(entries) + 1,
                content=draft.body,
                is_owned=draft.is_owned,
            )
            made[key] = entry
            entries.append(entry)
        return entries

    def commit(self, entries: Sequence[Entry], is_saved: bool = False) -> list[Difference]:
        """Take in what `compose` made. is_saved: the journal has `drain_with(entries)` already."""
        done = []
        for entry in entries:
            done.extend(self._ledger.take(entry))
            self._ledger.raise_mark(entry.origin, entry.sequence)
        if is_saved:
            self._ledger.are_saved(entries)
        return done

    def write(self, drafts: Iterable[Draft]) -> list[Difference]:
        """Compose and commit."""
        return self.commit(self.compose(drafts))

    def drain_with(self, entries: Sequence[Entry]) -> Batch:
        """What the journal must keep before `commit(entries)`: these, and all that is unsaved."""
        batch = self.drain()
        latest = {entry.key: entry for entry in (*batch.puts, *entries)}
        marks = dict(batch.marks) | {entry.origin: entry.sequence for entry in entries}
        removes = [key for key in batch.removes if key not in latest]
        return batch._replace(puts=tuple(latest.values()), removes=removes, marks=marks)

    # Giving and merging.

    def missing_for(self, theirs: Digest, among: Iterable[Origin] | None = None) -> Delta | None:
        """What a peer that has seen `theirs` lacks; None: nothing.

        `among`: only of these origins it can lack anything, which saves a look at all others.
        """
        ahead = self._ledger.marks.ahead_of(theirs, among)
        if not ahead:
            return None
        if any(theirs[origin] < self._ledger.purged.get(origin, 0) for origin in ahead):
            spans = {origin: Span(0, mark) for origin, mark in self._ledger.marks.marks.items()}
            return Delta("full", tuple(self._ledger.held), spans, dict(self._ledger.purged))
        spans = {origin: Span(theirs[origin], self._ledger.marks[origin]) for origin in ahead}
        entries = [
            entry
            for origin, span in sorted(spans.items())
            for entry in self._ledger.held.between(origin, span.base, span.mark)
        ]
        return Delta("increment", entries, spans, {})

    def everything(self) -> Delta:
        """For a peer that has seen the same and holds something else."""
        return Delta("repair", tuple(self._ledger.held), {}, {})

    def strays(self) -> Delta:
        """What came with deltas that never became whole, for when nothing else helps."""
        stray = [
            entry
            for entry in self._ledger.held
            if entry.sequence > self._ledger.marks[entry.origin]
        ]
        return Delta("increment", stray, {}, {})

    def merge_entries(self, entries: Sequence[Entry], is_repair: bool = False) -> list[Difference]:
        """Take in entries of a delta whose last part is still to come.

        What others say that this host wrote gets the better of what it writes now only if it has
        lost its memory: it goes on under a greater incarnation first. While somebody else seems to
        write in its name, it believes nothing of that.
        """
        if any(entry.origin.host == self.host for entry in entries):
            for origin in {e.origin for e in entries if e.origin.host == self.host}:
                latest = max(e.sequence for e in entries if e.origin == origin)
                self._keep_ahead([origin])
                self._keep_unique(origin, latest)
            if self.has_twin:
                entries = [entry for entry in entries if entry.origin.host != self.host]
        done = []
        for entry in entries:
            if is_repair or entry.sequence > self._ledger.marks[entry.origin]:
                done.extend(self._ledger.take(entry))
        return done

    def is_based(self, spans: Mapping[Origin, Span]) -> bool:
        """Whether this host has seen all that a delta builds on."""
        return all(
            self._ledger.marks[origin] >= span.base or not self._ledger.incarnations.counts(origin)
            for origin, span in spans.items()
        )

    def finish(self, delta: Delta, keys: set[Key]) -> list[Difference]:
        """Raise the marks of a delta whose entries are all merged; it must be based.

        keys: of all entries in it. They decide what a full set drops.
        """
        done = []
        if delta.scope == "full":
            done = self._ledger.drop_unknown_to(delta.spans, keys, self.origin)
        for origin, span in delta.spans.items():
            self._keep_unique(origin, span.mark)
            if self._ledger.incarnations.counts(origin) and origin != self.origin:
                self._ledger.raise_mark(origin, span.mark)
        for origin, mark in delta.purged.items():
            self._ledger.let_go(origin, mark)
        self._keep_ahead(delta.spans)
        is_own = any(origin.host == self.host for origin in delta.spans)
        return done + (self._renew_late() if is_own and self._is_settled else [])

    def merge(self, delta: Delta) -> list[Difference] | None:
        """Take in a whole delta; None: it builds on what this host has not seen."""
        done = self.merge_entries(delta.entries, delta.scope == "repair")
        if not self.is_based(delta.spans):
            return None
        return done + self.finish(delta, {entry.key for entry in delta.entries})

    def notice(self, theirs: Digest) -> bool:
        """Look at a peer's digest for writes of this host that it does not know itself.

        Earlier incarnations come back like anybody's writes. If it is the present one, sequence
        numbers were given twice: whatever is held of it is issued anew under another one, and the
        old one is asked for from the start. Returns whether that was so.
        """
        origin = self.origin
        if origin is None or not self._keep_unique(origin, theirs[origin]):
            self._keep_ahead(theirs)
            return False
        return True

    # Upkeep.

    def settle(self) -> list[Difference]:
        """Called when all that a peer has is here: from now on, old incarnations are renewed."""
        self._is_settled = True
        return self.renew()

    def renew(self) -> list[Difference]:
        """Issue anew what this host owns and holds only under earlier incarnations."""
        return self._reissue(upkeep.owned_by_earlier(self._ledger, self.host, self._own.number))

    def _renew_late(self) -> list[Difference]:
        """Issue anew what came back when this host had settled.

        Once this host remembers all that it wrote for longer than a tombstone gets, such an entry
        may be one that it has deleted, with the tombstone gone. Then it is deleted again.
        """
        late = upkeep.owned_by_earlier(self._ledger, self.host, self._own.number)
        if self._own.since is not None and self._own.since < self._oldest_clock():
            late = [msgspec.structs.replace(entry, content=None) for entry in late]
        return self._reissue(late)

    def _oldest_clock(self) -> int:
        """Versions below are older than a tombstone gets."""
        return int((self._wall_s() - self.limits.tombstone_lifetime_s) * 1000) << COUNTER_BITS

    def purge(self) -> list[Difference]:
        """Let tombstones go whose time is over, and incarnations in which nothing is left."""
        oldest = self._oldest_clock()
        may_lack_own = not self._is_settled and not self._is_continued
        keeper = self.host if may_lack_own else None
        for entry in upkeep.spent_tombstones(self._ledger, oldest, keeper):
            self._ledger.drop(entry)
            self._ledger.let_go(entry.origin, entry.sequence)
        return self._state_incarnations(oldest)

    # For the journal and the links.

    def drain(self) -> Batch:
        """What changed since the last call."""
        batch = self._ledger.drain()
        return batch._replace(incarnation=self._own.number, since=self._own.since)

    def undrain(self, batch: Batch) -> None:
        """Put back what could not be kept."""
        self._ledger.undrain(batch)

    def take_news(self) -> set[Origin]:
        """Origins of which more has been seen since the last call."""
        return self._ledger.take_news()

    # Inside.

    def _version_after(self, old: Entry | None) -> Version:
        version = self._clock.next()
        is_contested = old is not None and not old.is_owned
        if old is not None and is_contested and old.clock >= version.clock:
            return Version(old.clock + 1, self.host)
        return version

    def _observe(self, version: Version) -> None:
        ahead_s = (version.clock >> COUNTER_BITS) / 1000 - self._wall_s()
        if ahead_s <= self.limits.clock_ahead_s:
            self._clock.observe(version)
            self.skew_s.pop(version.host, None)
        else:
            self.skew_s[version.host] = ahead_s

    def _keep_unique(self, origin: Origin, mark: int) -> bool:
        """Go on under another incarnation, if others know more of this host's present writes than
        itself. Returns whether that was so."""
        if not self._own.is_given_twice(origin, mark):
            return False
        self._reincarnate()
        self._ledger.forget_mark(origin)
        return True

    def _keep_ahead(self, origins: Iterable[Origin]) -> None:
        """Go on under another incarnation, if `origins` has a greater one of this host's."""
        if self._own.is_behind(origins):
            self._reincarnate(origins)

    def _reincarnate(self, seen: Iterable[Origin] = ()) -> None:
        """Go on under another incarnation, with all that was written under this one, its parent."""
        self._reissue(self._ledger.held.of(self._own.begin_again(seen)))

    def _reissue(self, entries: Iterable[Entry]) -> list[Difference]:
        """The same under the present origin. Versions stay, so that no later write is undone."""
        done = []
        for entry in entries:
            origin = self._own.writing_origin()
            anew = msgspec.structs.replace(
                entry, origin=origin, sequence=self._ledger.marks[origin] + 1
            )
            done.extend(self.commit([anew]))
        return done

    def _state_incarnations(self, oldest: int) -> list[Difference]:
        """Say which earlier incarnations still count, once a lifetime after the present began."""
        origin = self.origin
        if origin is None or origin.incarnation >= oldest:
            return []
        statement = upkeep.due_statement(self._ledger, origin)
        if statement is None:
            return []
        return self.write(
            [Draft(incarnations.KIND, self.host, incarnations.encode(statement), True)]
        )
