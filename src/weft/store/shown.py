"""What is shown of the entries that a host holds, and entries for what it wants to write.

The same for every store that hosts share: an entry that cannot be used as a record (it does not
decode, or is not its writer's to write) is set aside and shown, and kept as it is, for other hosts
may know better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, SupportsBytes

import msgspec

from weft.errors import ConflictError, InvalidError
from weft.model import codec
from weft.model.records import KINDS, ForgottenHost, Record
from weft.store.clock import Version
from weft.store.draft import Draft
from weft.store.entry import MAX_BODY_BYTES, Entry, Key, Rank
from weft.store.interface import Change, Delete, Put, View
from weft.store.ownership import OWNED_KINDS, objection, owner_of

_KINDS = {kind.KIND: kind for kind in KINDS}


class Quarantined(msgspec.Struct, frozen=True):
    """An entry that is not used, why, and what to do."""

    kind: str
    id: str
    host: str
    """Who wrote it."""
    reason: str
    owner: str = ""
    """Who alone can write it; empty: any host."""

    @property
    def fix(self) -> str:
        """What mends it."""
        where = f"on host {self.owner}: " if self.owner else ""
        return f"{where}weft mend {self.kind} {self.id}, which removes it"


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """A record that is shown stands for its bytes as well, where they are what it is encoded to:
    not so what a newer weft wrote. That halves what an entry takes."""

    record: Record

    def __bytes__(self) -> bytes:
        return codec.encode(self.record)


class Holder(Protocol):
    """Who holds the entries."""

    host: str
    """This host."""

    def get(self, key: Key) -> Entry | None:
        """What is held under a key, tombstones too."""
        ...

    def owners(self) -> set[str]:
        """Hosts that may own something."""
        ...

    def hold_as(self, key: Key, entry: Entry, content: SupportsBytes) -> None:
        """Hold an entry, if it is still what is held, with something that gives the same bytes."""
        ...


class Shown:
    """Which of the entries are shown as records, and which are set aside."""

    def __init__(self, holder: Holder, records: View) -> None:
        """records: those that are shown, and that the changes are applied to."""
        self.quarantined: dict[Key, Quarantined] = {}
        self._holder = holder
        self._records = records
        self._owners: dict[tuple[str, str], str] = {}
        """By kind and id: the owner in the key of the entry that is shown, where its record does
        not say the same."""
        self._contested: set[tuple[str, str]] = set()
        """Kinds and ids of which several entries can be used: when one of them changes, another may
        be the one to show. What waited for etcd even turns out to be older than was thought."""

    def changes(self, keys: Iterable[Key]) -> Iterator[Change]:
        """What it means for the records that other entries than before are held under `keys`.

        Each change must be applied before the next is asked for.
        """
        for key in keys:
            if key.kind in _KINDS and (change := self._change_of(key)) is not None:
                yield change

    def drafts(self, changes: Iterable[Change]) -> list[Draft]:
        """What is to be written for some changes. ConflictError: a record is another host's."""
        drafts: list[Draft] = []
        for change in changes:
            drafts += self._removal(change) if isinstance(change, Delete) else self._put(change)
        return drafts

    def _removal(self, change: Delete) -> Iterator[Draft]:
        if change.kind is ForgottenHost:
            raise InvalidError(f"host {change.id}: was removed, and its id never comes back")
        kind, host = change.kind.KIND, self._holder.host
        shown = self._owner_shown(kind, change.id)
        if shown not in (None, "", host):
            raise belongs_to(kind, change.id, shown)
        usual = host if kind in OWNED_KINDS else ""
        for owner in ("", host):  # what is hidden behind this host's own goes as well
            held = self._holder.get(Key(kind, change.id, owner))
            if owner == usual or (held is not None and held.body is not None):
                yield Draft(kind, change.id, None, bool(owner))

    def _put(self, change: Put) -> Iterator[Draft]:
        """A record that begins or ceases to be this host's own moves to another key."""
        record, host = change.record, self._holder.host
        owner = owner_of(record)
        if owner is not None and owner != host:
            raise belongs_to(record.KIND, record.id, owner)
        former = self._owner_shown(record.KIND, record.id)
        if former in ("", host) and former != (owner or ""):
            yield Draft(record.KIND, record.id, None, bool(former))
        body = self._encode(record, Key(record.KIND, record.id, owner or ""))
        yield Draft(record.KIND, record.id, body, owner is not None)

    def _encode(self, record: Record, key: Key) -> bytes:
        """The record's body, and in it whatever this host does not change as it was: a newer weft
        may have written what this one does not know."""
        body = codec.encode(record)
        held = self._holder.get(key)
        if held is not None and isinstance(held.content, bytes):
            body = carry_unchanged(record, held.content, body)
        if len(body) > MAX_BODY_BYTES:
            raise InvalidError(
                f"{record.KIND} {record.id}: {len(body)} bytes, at most {MAX_BODY_BYTES} fit"
            )
        codec.decode(record.KIND, body)  # what nobody could read must not be written
        return body

    def _owner_shown(self, kind: str, id: str) -> str | None:
        """The owner in the key of the entry that is shown; None: nothing is."""
        record = self._records.get(_KINDS[kind], id)
        return None if record is None else self._owners.get((kind, id), owner_of(record) or "")

    def _change_of(self, key: Key) -> Change | None:
        """Of all that is held for a kind and id, show what can be used and was written last; but
        what a host owns goes before what anybody may write."""
        owner = self._owner_shown(key.kind, key.id)
        best = self._usable(key)
        is_contested = owner not in (None, key.owner) or key[:2] in self._contested
        if is_contested or (best is None and owner == key.owner):
            best = self._first(key, best)
        self._owners.pop(key[:2], None)
        if best is not None:
            shown, record = best
            if shown.owner != (owner_of(record) or ""):
                self._owners[key[:2]] = shown.owner
            return Put(record)
        return None if owner is None else Delete(_KINDS[key.kind], key.id)

    def _first(self, key: Key, own: tuple[Entry, Record] | None) -> tuple[Entry, Record] | None:
        """Of what is held under a key and under all others of its kind and id."""
        keys = {Key(key.kind, key.id, owner) for owner in {"", *self._holder.owners()}} - {key}
        found = [each for each in (own, *map(self._usable, keys)) if each is not None]
        if len(found) > 1:
            self._contested.add(key[:2])
        else:
            self._contested.discard(key[:2])
        return max(found, key=lambda each: _precedence(each[0]), default=None)

    def _usable(self, key: Key) -> tuple[Entry, Record] | None:
        """The entry held under a key and its record; sets it aside when it cannot be used."""
        entry = self._holder.get(key)
        if self.quarantined:
            self.quarantined.pop(key, None)
        if entry is None or entry.body is None:
            return None
        record, reason = _read(entry)
        if reason is not None:
            writer = entry.origin.host
            self.quarantined[key] = Quarantined(*key[:2], writer, reason, key.owner)
            return None
        if record is None:
            return None
        encoded = Encoded(record)
        if bytes(encoded) == entry.body:
            self._holder.hold_as(key, entry, encoded)
        return entry, record


def _precedence(entry: Entry) -> tuple[bool, Version, Rank]:
    return entry.is_owned, entry.version, entry.rank


def _read(entry: Entry) -> tuple[Record | None, str | None]:
    """The record in an entry, None in a tombstone; and why it cannot be used, if so."""
    body = entry.body
    if body is None:
        return None, objection(entry, None)
    try:
        record = codec.decode(entry.kind, body)
    except InvalidError as error:
        return None, objection(entry, None) or str(error)
    if record.id != entry.id:
        return None, f"its id inside is {record.id}"
    msgspec.structs.force_setattr(record, "id", entry.id)  # held once, not twice
    return record, objection(entry, record)


def belongs_to(kind: str, id: str, owner: str) -> ConflictError:
    """Why a host cannot change a record."""
    return ConflictError(f"{kind} {id}: belongs to host {owner}; change it there")


def carry_unchanged(record: Record, old: bytes, new: bytes) -> bytes:
    """`new`, which is `record`, with the fields of `old` that this host does not know or that say
    to it what `record` says: they may hold more than it understands."""
    try:
        codec.check_nesting(old, record.KIND)
        before: object = msgspec.json.decode(old)
    except (msgspec.DecodeError, ValueError, InvalidError):
        return new
    if not isinstance(before, dict):
        return new
    known = _known(record.KIND, old)
    kept = {field: value for field, value in before.items() if _is_kept(field, known, record)}
    if not kept:
        return new
    return msgspec.json.encode(msgspec.json.decode(new, type=dict[str, object]) | kept)


def _known(kind: str, body: bytes) -> Record | None:
    try:
        return codec.decode(kind, body)
    except InvalidError:
        return None


def _is_kept(field: str, known: Record | None, record: Record) -> bool:
    if field not in record.__struct_fields__:
        return True
    return known is not None and bool(getattr(known, field) == getattr(record, field))
