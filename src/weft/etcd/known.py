"""What this host knows of the records in etcd, and what of its own etcd does not know yet.

No I/O. A host's own writes count here at once and wait until they are in etcd; meanwhile nothing
that etcd says about the same key counts. Each entry's sequence is the revision of etcd in which it
was changed last.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple, SupportsBytes

import msgspec

from weft.model.records import ForgottenHost
from weft.store.batch import Batch
from weft.store.draft import Draft
from weft.store.entry import Entry, Key, Origin
from weft.store.removed import RemovedHosts

NOBODY = "etcd"
"""Who is said to have written what belongs to nobody: etcd does not tell."""
_WAITS = 1
"""Incarnation of an entry that is not in etcd yet."""
_NEWEST = 2**61
"""Clock of such an entry: later than all that is."""


class Waiting(NamedTuple):
    """A write of this host that is not in etcd yet."""

    key: Key
    body: bytes | None
    """None: a deletion."""
    base: int
    """Revision of what it replaces there, as far as is known; 0: nothing."""
    order: int
    """Later writes have greater ones."""


class Known:
    """All entries, and this host's writes that wait. Implements `store.shown.Holder`."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.identity = ""
        """Of the etcd that this was read from; empty: none yet."""
        self.revision = 0
        """Of that etcd: all changes up to it are here."""
        self.is_removed = False
        """Whether this host was removed from the cluster: then it writes nothing more."""
        self._entries: dict[Key, Entry] = {}
        self._waiting: dict[Key, Waiting] = {}
        """In the order in which they were written."""
        self._owners: dict[str, int] = {}
        self._removed = RemovedHosts(host)
        self._order = 0
        self._unsaved: set[Key] = set()
        self._saved = ("", 0)
        """Identity and revision that the journal has."""

    # What is there.

    def get(self, key: Key) -> Entry | None:
        """See `Holder.get`."""
        return self._entries.get(key)

    def owners(self) -> set[str]:
        """See `Holder.owners`."""
        return set(self._owners)

    def hold_as(self, key: Key, entry: Entry, content: SupportsBytes) -> None:
        """See `Holder.hold_as`."""
        if self._entries.get(key) is entry:
            self._entries[key] = msgspec.structs.replace(entry, content=content)

    def held_keys(self) -> tuple[Key, ...]:
        """Of all entries."""
        return tuple(self._entries)

    @property
    def waiting(self) -> Mapping[Key, Waiting]:
        """Writes that are not in etcd yet, the oldest first."""
        return self._waiting

    def base_of(self, key: Key) -> int:
        """The revision of what etcd holds under a key, as far as is known; 0: nothing."""
        waits = self._waiting.get(key)
        if waits is not None:
            return waits.base
        entry = self._entries.get(key)
        return 0 if entry is None else entry.sequence

    def kinds_of(self, owner: str) -> set[str]:
        """Kinds of which a host owns something."""
        return {key.kind for key in self._entries if key.owner == owner}

    # Writing.

    def compose(self, drafts: Iterable[Draft]) -> list[Waiting]:
        """This host's own writes, as they will wait for etcd; nothing is changed before `take`."""
        made: dict[Key, Waiting] = {}
        for draft in drafts:
            key = Key(draft.kind, draft.id, self.host)
            if draft.body is None and key not in self._entries and key not in made:
                continue
            made.pop(key, None)
            made[key] = self._next(key, draft.body)
        return list(made.values())

    def take(self, writes: Iterable[Waiting]) -> list[Key]:
        """They are on disk: they count from now on, and wait for etcd. The keys that changed."""
        changed = []
        for each in writes:
            waits = each._replace(base=self.base_of(each.key))
            self._waiting.pop(each.key, None)
            self._waiting[each.key] = waits
            was_unsaved = each.key in self._unsaved
            self._place(each.key, each.body, None)
            if not was_unsaved:
                self._unsaved.discard(each.key)
            changed.append(each.key)
        return changed

    def rewrite(self, key: Key, base: int) -> None:
        """Have etcd say what this host says of its own key, whatever is there now."""
        entry = self._entries.get(key)
        waits = self._waiting.get(key) or self._next(key, None if entry is None else entry.body)
        self._waiting[key] = waits._replace(base=base)
        self._unsaved.add(key)

    def _next(self, key: Key, body: bytes | None) -> Waiting:
        self._order += 1
        return Waiting(key, body, 0, self._order)

    def find(self, key: Key, base: int) -> None:
        """Etcd holds something else under a key that waits than was thought."""
        waits = self._waiting.get(key)
        if waits is not None:
            self._waiting[key] = waits._replace(base=base)

    def arrived(self, waited: Waiting, revision: int) -> None:
        """A write that waited is in etcd; this host may have written the key again since."""
        waits = self._waiting.get(waited.key)
        if waits is None or waits.order != waited.order:
            self.find(waited.key, revision if waited.body is not None else 0)
            return
        del self._waiting[waited.key]
        self._place(waited.key, waited.body, revision)

    # Hearing from etcd.

    def accept(self, key: Key, body: bytes | None, revision: int) -> list[Key]:
        """Etcd holds this under a key since a revision (None: nothing); the keys that changed."""
        if key in self._waiting:
            self.find(key, revision if body is not None else 0)
            return []
        entry = self._entries.get(key)
        if (entry is None and body is None) or (entry is not None and entry.sequence >= revision):
            return []
        new = _entry(key, body, revision)
        if self._removed.owns(new):
            return []
        self._place(key, body, revision)
        return [key, *self._learn(new)]

    def distrust(self) -> None:
        """Etcd lost something: which of its revisions this is of means nothing any more."""
        for key, entry in self._entries.items():
            if key not in self._waiting:
                self._entries[key] = msgspec.structs.replace(entry, sequence=0)

    def drop(self, key: Key) -> None:
        """Hold nothing under a key."""
        self._place(key, None, self.revision)

    def _learn(self, entry: Entry) -> list[Key]:
        if entry.kind == ForgottenHost.KIND and entry.id == self.host and entry.content is not None:
            self.is_removed = True
        if not self._removed.learn(entry):
            return []
        gone = [each.key for each in self._entries.values() if self._removed.owns(each)]
        for key in gone:
            self.drop(key)
        return gone

    def _place(self, key: Key, body: bytes | None, revision: int | None) -> None:
        """revision: None: it waits."""
        old = self._entries.pop(key, None)
        if old is not None:
            self._count(key.owner, -1)
        if body is not None:
            self._entries[key] = _entry(key, body, revision)
            self._count(key.owner, 1)
        self._unsaved.add(key)

    def _count(self, owner: str, by: int) -> None:
        self._owners[owner] = self._owners.get(owner, 0) + by
        if not self._owners[owner]:
            del self._owners[owner]

    # For the journal.

    @property
    def is_saved(self) -> bool:
        """Whether the journal has all of it."""
        return not self._unsaved and self._saved == (self.identity, self.revision)

    def drain(self, writes: Iterable[Waiting] = ()) -> Batch:
        """What the journal lacks, and what is to be taken once it has it."""
        taken = {each.key: each for each in writes}
        puts, removes = [_row(each) for each in taken.values()], []
        for key in self._unsaved - taken.keys():
            waits = self._waiting.get(key)
            saved = self._entries.get(key) if waits is None else _row(waits)
            if saved is None:
                removes.append(key)
            else:
                puts.append(saved)
        before, self._saved = self._saved, (self.identity, self.revision)
        marks = {Origin(self.identity, 0): self.revision} if self.identity else {}
        if before[0] not in ("", self.identity):
            marks[Origin(before[0], 0)] = 0
        self._unsaved.clear()
        return Batch(puts, removes, marks)

    def drain_all(self) -> Batch:
        """Everything, for a journal that is empty."""
        self._unsaved.update(self._entries, self._waiting)
        return self.drain()

    def undrain(self, batch: Batch) -> None:
        """It could not be kept."""
        self._saved = ("", 0)
        self._unsaved.update(entry.key for entry in batch.puts)
        self._unsaved.update(batch.removes)

    def load(self, entries: Iterable[Entry], marks: Mapping[Origin, int], *, is_old: bool) -> None:
        """What the journal kept. is_old: a backup, of which only what etcd confirms counts."""
        for (identity, _), revision in marks.items():
            self.identity, self.revision = identity, 0 if is_old else revision
        self._saved = (self.identity, self.revision)
        rows = sorted(entries, key=lambda entry: (entry.origin.incarnation, entry.sequence))
        for entry in rows:
            key = Key(sys.intern(entry.kind), entry.id, sys.intern(entry.owner))
            if entry.origin.incarnation != _WAITS:
                self._place(key, entry.body, 0 if is_old else entry.sequence)
            elif not is_old:
                self._order = entry.sequence
                self._waiting[key] = Waiting(key, entry.body, 0, entry.sequence)
                self._place(key, entry.body, None)
        for entry in tuple(self._entries.values()):
            self._learn(entry)
        self._unsaved.clear()


def _entry(key: Key, body: bytes | None, revision: int | None) -> Entry:
    origin = Origin(key.owner or NOBODY, 0)
    if revision is None:
        return Entry(key.kind, key.id, _NEWEST, origin, 0, body, bool(key.owner))
    return Entry(key.kind, key.id, revision, origin, revision, body, bool(key.owner))


def _row(waits: Waiting) -> Entry:
    """As the journal keeps it."""
    key = waits.key
    origin = Origin(key.owner, _WAITS)
    return Entry(key.kind, key.id, _NEWEST, origin, waits.order, waits.body, is_owned=True)
