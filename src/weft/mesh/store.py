"""The store of a mesh member: records of all hosts, read from memory, replicated.

Implements `store.interface.Store`. Writes of this host are in the journal before they count; what
peers send counts at once and is journaled soon after, for they have it. An entry that cannot be
used as a record (it does not decode, or is not its origin's to write) is set aside and shown, and
passed on to other hosts all the same: they may know better.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from weft.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from weft.mesh.delta import Difference
from weft.mesh.entry import Entry, Key
from weft.mesh.journal import Journal
from weft.mesh.ownership import OWNED_KINDS, objection, owner_of
from weft.mesh.replica import Draft, Replica
from weft.mesh.wire import MAX_BODY_BYTES
from weft.model import codec
from weft.model.records import KINDS, ForgottenHost, Record
from weft.store.interface import Change, Changed, Delete, Listener, Put
from weft.store.memory import RecordSet, Watchers

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


class MeshStore(RecordSet):
    """The records of all hosts, as this host sees them."""

    def __init__(self, replica: Replica, journal: Journal) -> None:
        """Shows what the replica holds. The links must tell `merged` of what peers change."""
        super().__init__()
        self.quarantined: dict[Key, Quarantined] = {}
        self.unsaved: str | None = None
        """Why what peers sent is not in the journal; None: it is, or soon will be."""
        self._replica = replica
        self._journal = journal
        self._watchers = Watchers()
        self._owners: dict[tuple[str, str], str] = {}
        """By kind and id: the owner in the key of the entry that is shown, where its record does
        not say the same."""
        self._order = asyncio.Lock()
        self._running: set[asyncio.Future[None]] = set()
        self._written: list[Callable[[], None]] = []
        self.apply(self._show(Difference(None, entry) for entry in replica.entries()))

    def on_write(self, action: Callable[[], None]) -> None:
        """Call `action` after each write of this host, for the links to pass it on."""
        self._written.append(action)

    async def write(self, changes: Iterable[Change]) -> None:
        """See `Store.write`. ConflictError: a record is another host's.

        A caller that is cancelled leaves its write to finish whole.
        """
        task = asyncio.ensure_future(self._write(list(changes)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def mend(self, kind: str, id: str) -> None:
        """Remove an entry that cannot be used. NotFoundError: all that is held under this kind and
        id can be; ConflictError: it is another host's to remove.
        """
        keys = [key for key in self.quarantined if (key.kind, key.id) == (kind, id)]
        if not keys:
            raise NotFoundError(f"record {kind} {id}: is not among those that cannot be used")
        own = [key for key in keys if key.owner in ("", self._replica.host)]
        if not own:
            raise _belongs_to(kind, id, keys[0].owner)
        async with self._order:
            drafts = [Draft(key.kind, key.id, None, bool(key.owner)) for key in own]
            changed = await self._commit(drafts)
        self._tell(changed)

    def watch(self, listener: Listener) -> Callable[[], None]:
        """See `Store.watch`; merges are told too."""
        return self._watchers.add(listener)

    def merged(self, differences: Sequence[Difference]) -> None:
        """Show what peers changed."""
        self._watchers.notify(self.apply(self._show(differences)))

    async def save(self) -> None:
        """Journal what peers changed. Called from time to time; a full disk is tried again."""
        async with self._order:
            batch = self._replica.drain()
            if not batch:
                return
            try:
                await self._journal.append(batch)
                self.unsaved = None
            except UnavailableError as error:
                self._replica.undrain(batch)
                self.unsaved = str(error)

    async def close(self) -> None:
        """Wait for running writes, save, and close the journal."""
        if self._running:
            await asyncio.wait(self._running)
        await self.save()
        await self._journal.close()

    async def _write(self, changes: list[Change]) -> None:
        async with self._order:
            changed = await self._commit([self._draft(change) for change in changes])
        self._tell(changed)

    def _tell(self, changed: Sequence[Changed]) -> None:
        self._watchers.notify(changed)
        for action in self._written:
            action()

    async def _commit(self, drafts: Sequence[Draft]) -> Sequence[Changed]:
        """Durable when it returns. Holders of `_order` only."""
        entries = self._replica.compose(drafts)
        if not entries:
            return ()
        batch = self._replica.drain_with(entries)
        try:
            await self._journal.append(batch)
        except UnavailableError:
            self._replica.undrain(batch)
            raise
        self.unsaved = None
        return self.apply(self._show(self._replica.commit(entries, is_saved=True)))

    def _draft(self, change: Change) -> Draft:
        host = self._replica.host
        if isinstance(change, Delete):
            if change.kind is ForgottenHost:
                raise InvalidError(f"host {change.id}: was removed, and its id never comes back")
            kind, is_owned = change.kind.KIND, change.kind.KIND in OWNED_KINDS
            shown = self._owner_shown(kind, change.id)
            if shown is not None and is_owned and shown != host:
                raise _belongs_to(kind, change.id, shown)
            return Draft(kind, change.id, None, is_owned)
        record = change.record
        owner = owner_of(record)
        if owner is not None and owner != host:
            raise _belongs_to(record.KIND, record.id, owner)
        body = self._encode(record, Key(record.KIND, record.id, owner or ""))
        return Draft(record.KIND, record.id, body, owner is not None)

    def _encode(self, record: Record, key: Key) -> bytes:
        """The record's body, with what a newer weft wrote into it that this one does not know."""
        body = codec.encode(record)
        held = self._replica.get(key)
        if held is not None and isinstance(held.content, bytes):
            body = carry_unknown(type(record), held.content, body)
        if len(body) > MAX_BODY_BYTES:
            raise InvalidError(
                f"{record.KIND} {record.id}: {len(body)} bytes, at most {MAX_BODY_BYTES} fit"
            )
        return body

    def _show(self, differences: Iterable[Difference]) -> Iterator[Change]:
        """What the differences mean for the records. Each change must be applied before the next
        is asked for."""
        for difference in differences:
            entry = difference.new or difference.old
            assert entry is not None
            if entry.kind in _KINDS and (change := self._show_one(entry.key)) is not None:
                yield change

    def _owner_shown(self, kind: str, id: str) -> str | None:
        """The owner in the key of the entry that is shown; None: nothing is."""
        record = self.get(_KINDS[kind], id)
        return None if record is None else self._owners.get((kind, id), owner_of(record) or "")

    def _show_one(self, key: Key) -> Change | None:
        """Of all that is held for a kind and id, show what can be used and was written last."""
        owner = self._owner_shown(key.kind, key.id)
        best = self._usable(key)
        if owner not in (None, key.owner) or (best is None and owner == key.owner):
            others = {Key(key.kind, key.id, owner) for owner in {"", *self._replica.owners()}}
            for entry in filter(None, map(self._usable, others - {key})):
                if best is None or (entry[0].version, entry[0].rank) > (
                    best[0].version,
                    best[0].rank,
                ):
                    best = entry
        self._owners.pop(key[:2], None)
        if best is not None:
            shown, record = best
            if shown.owner != (owner_of(record) or ""):
                self._owners[key[:2]] = shown.owner
            return Put(record)
        return None if owner is None else Delete(_KINDS[key.kind], key.id)

    def _usable(self, key: Key) -> tuple[Entry, Record] | None:
        """The entry held under a key and its record; sets it aside when it cannot be used."""
        entry = self._replica.get(key)
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
            self._replica.hold_as(key, entry, encoded)
        return entry, record


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


def _belongs_to(kind: str, id: str, owner: str) -> ConflictError:
    return ConflictError(f"{kind} {id}: belongs to host {owner}; change it there")


def carry_unknown(kind: type[Record], old: bytes, new: bytes) -> bytes:
    """`new` with the fields of `old` that this version of weft does not know."""
    try:
        before: object = msgspec.json.decode(old)
    except msgspec.DecodeError:
        return new
    if not isinstance(before, dict):
        return new
    unknown = {k: v for k, v in before.items() if k not in kind.__struct_fields__}
    if not unknown:
        return new
    return msgspec.json.encode(msgspec.json.decode(new, type=dict[str, object]) | unknown)
