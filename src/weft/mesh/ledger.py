"""The entries that one host holds and the writes that it has seen, and which of these its journal
and its links have not been told.

The rules of merging are here, for one entry and one mark at a time; what belongs together, and what
this host writes itself, is for `replica`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from weft.mesh.delta import Difference, Span
from weft.mesh.digest import Digest
from weft.mesh.held import Held
from weft.mesh.incarnations import Incarnations
from weft.store.batch import Batch, Saved
from weft.store.clock import Version
from weft.store.entry import Entry, Key, Origin
from weft.store.removed import RemovedHosts

MAX_ORIGINS = 20_000
"""A digest of so many still fits into a message. In a cluster of a thousand hosts, twenty
incarnations of each count at once."""


class Ledger:
    """Entries, marks and purged marks of one host."""

    def __init__(
        self, host: str, saved: Saved, observe: Callable[[Version], None], held: Held
    ) -> None:
        """observe: called with the version of every entry, before the entry is taken."""
        self.host = host
        self.held = held
        self.marks = Digest()
        self.incarnations = Incarnations()
        self.removed = RemovedHosts(host)
        self.met: set[str] = set()
        """Hosts that have or had a link to this one in this run."""
        self.purged: dict[Origin, int] = {}
        """Of each origin the latest tombstone that was let go, here or where a full set is from."""
        self._observe = observe
        self._unsaved_keys: set[Key] = set()
        self._unsaved_marks: set[Origin] = set()
        self._news: set[Origin] = set()
        self._load(saved)

    def take(self, entry: Entry) -> list[Difference]:
        """Hold an entry if it counts and is greater than what is held."""
        if not self.incarnations.counts(entry.origin) or self.removed.owns(entry):
            return []
        if not self.has_room_for(entry.origin):
            return []
        key = entry.key
        old = self.held.get(key)
        if old is not None and old.rank >= entry.rank:
            return []
        self._observe(entry.version)
        self.held.place(key, entry)
        self._unsaved_keys.add(key)
        done = [Difference(old, entry)]
        if self.incarnations.learn(entry):
            done.extend(self._forget_what_does_not_count(entry.origin.host))
        if self.removed.learn(entry):
            done.extend(self._drop_owned_by(entry.id))
        return done

    def has_room_for(self, origin: Origin) -> bool:
        """Whether an origin is known, or there is room for one more. A host that has or had a link
        to this one has room even when others have used up the rest, for it may only have started
        again."""
        limit = 2 * MAX_ORIGINS if origin.host in self.met else MAX_ORIGINS
        return len(self.marks) < limit or self.marks[origin] > 0 or origin.host == self.host

    def drop(self, entry: Entry) -> Difference:
        """Hold it no more."""
        key = entry.key
        self.held.remove(key)
        self._unsaved_keys.add(key)
        return Difference(entry, None)

    def drop_unknown_to(
        self, spans: Mapping[Origin, Span], keys: set[Key], own: Origin | None
    ) -> list[Difference]:
        """Drop the entries that a peer has seen and holds no more. The peer has seen `spans` and
        holds `keys`.

        own: the origin under which this host writes now. Entries that this host owns and wrote
        under it stay, whatever the peer says: no other host can have deleted them, and this host's
        workloads depend on them.
        """
        gone = [
            entry
            for entry in self.held
            if entry.key not in keys
            and not (entry.is_owned and entry.origin == own)
            and (span := spans.get(entry.origin)) is not None
            and entry.sequence <= span.mark
        ]
        return [self.drop(entry) for entry in gone]

    def raise_mark(self, origin: Origin, mark: int) -> None:
        """All writes of an origin up to `mark` have been seen."""
        if self.has_room_for(origin) and self.marks.raise_to(origin, mark):
            self._unsaved_marks.add(origin)
            self._news.add(origin)

    def forget_mark(self, origin: Origin) -> None:
        """What was seen of an origin is to be asked for from the start."""
        self.marks.put(origin, 0)
        self._unsaved_marks.add(origin)

    def let_go(self, origin: Origin, mark: int) -> None:
        """Tombstones of an origin are let go up to `mark`, here or at a peer, but no further than
        what has been seen of the origin: otherwise every peer would be sent a full set from then
        on."""
        mark = min(mark, self.marks[origin])
        if self.incarnations.counts(origin) and mark > self.purged.get(origin, 0):
            self.purged[origin] = mark
            self._unsaved_marks.add(origin)

    def drain(self) -> Batch:
        """What changed since the last call."""
        found = {key: self.held.get(key) for key in self._unsaved_keys}
        batch = Batch(
            puts=[entry for entry in found.values() if entry is not None],
            removes=[key for key, entry in found.items() if entry is None],
            marks={origin: self.marks[origin] for origin in self._unsaved_marks},
            purged={o: self.purged[o] for o in self._unsaved_marks if o in self.purged},
        )
        self._unsaved_keys.clear()
        self._unsaved_marks.clear()
        return batch

    def undrain(self, batch: Batch) -> None:
        """Put back what could not be kept."""
        self._unsaved_keys.update(entry.key for entry in batch.puts)
        self._unsaved_keys.update(batch.removes)
        self._unsaved_marks.update(batch.marks)

    def are_saved(self, entries: Sequence[Entry]) -> None:
        """The journal has these, and the marks that they raised."""
        self._unsaved_keys.difference_update(
            entry.key for entry in entries if self.held.get(entry.key) is entry
        )
        self._unsaved_marks.difference_update({entry.origin for entry in entries})

    def take_news(self) -> set[Origin]:
        """Origins of which more has been seen since the last call."""
        news, self._news = self._news, set()
        return news

    def _load(self, saved: Saved) -> None:
        for entry in saved.entries:
            self.incarnations.learn(entry)
            self.removed.learn(entry)
        for origin, mark in saved.marks.items():
            if self.incarnations.counts(origin):
                self.marks.put(origin, mark)
        self.purged = {o: mark for o, mark in saved.purged.items() if o in self.marks}
        for entry in saved.entries:
            self.take(entry)
        # The journal may hold what a host owned beside the word that it was removed.
        self._unsaved_keys = {e.key for e in saved.entries if self.removed.owns(e)}

    def _drop_owned_by(self, host: str) -> list[Difference]:
        return [
            self.drop(entry)
            for origin in self.held.origins()
            if origin.host == host
            for entry in self.held.of(origin)
            if self.removed.owns(entry)
        ]

    def _forget_what_does_not_count(self, host: str) -> list[Difference]:
        origins = {*self.marks, *self.purged, *self.held.origins()}
        done: list[Difference] = []
        for origin in origins:
            if origin.host == host and not self.incarnations.counts(origin):
                done.extend(self.drop(entry) for entry in self.held.of(origin))
                self.forget_mark(origin)
                self.purged.pop(origin, None)
        return done
