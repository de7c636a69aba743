"""The store of a host whose cluster keeps its records in etcd.

Implements `store.interface.Store`. Reads are from memory, of what etcd said last. What belongs to
this host alone is written on its own disk, counts at once and goes to etcd as soon as that takes
it; so a host goes on without etcd. What is shared counts when etcd has it: one transaction, which
fails when another host changed the same in the meantime.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import NamedTuple

from weft.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from weft.etcd import wire
from weft.etcd.client import EtcdClient, UncertainError
from weft.etcd.keys import Keys
from weft.etcd.known import Known, Waiting
from weft.model.records import ForgottenHost
from weft.store.draft import Draft
from weft.store.entry import Key
from weft.store.interface import Change, Changed, Listener
from weft.store.journal import Journal
from weft.store.memory import RecordSet, Watchers
from weft.store.removed import KEPT_KINDS
from weft.store.shown import Quarantined, Shown, belongs_to

PATIENCE_S = 3.0
"""A shared write waits so long for an etcd that was there a moment ago."""
MAX_ROUNDS = 8
"""Of finding out what a key is at, when somebody else writes this host's keys."""


class Trouble(NamedTuple):
    """Etcd does not answer."""

    reason: str
    since_s: float
    """Wall clock."""


class EtcdStore(RecordSet):
    """The records of all hosts, as etcd and this host say them."""

    largest_write: int | None = wire.MAX_OPERATIONS

    def __init__(
        self,
        known: Known,
        journal: Journal,
        client: EtcdClient,
        keys: Keys,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.known = known
        self.client = client
        self.trouble: Trouble | None = Trouble("has not answered yet", wall_s())
        """None: etcd answers."""
        self.unsaved: str | None = None
        """Why what etcd said is not on disk; None: it is, or soon will be."""
        self.is_due = asyncio.Event()
        """Something waits to be pushed."""
        self._up = asyncio.Event()
        self._keys = keys
        self._journal = journal
        self._wall_s = wall_s
        self._watchers = Watchers()
        self._shown = Shown(known, self)
        self._order = asyncio.Lock()
        """Of writes to the journal."""
        self._pushing = asyncio.Lock()
        """Of transactions."""
        self._running: set[asyncio.Future[None]] = set()
        self.apply(self._shown.changes(known.held_keys()))
        if known.waiting:
            self.is_due.set()

    @property
    def quarantined(self) -> Mapping[Key, Quarantined]:
        """Entries that cannot be used."""
        return self._shown.quarantined

    # See `Store`.

    async def write(self, changes: Iterable[Change]) -> None:
        """See `Store.write`. ConflictError: a record is another host's, or was changed there in the
        same moment. UnavailableError: etcd does not take what is shared.

        A caller that is cancelled leaves its write to finish whole.
        """
        await self._whole(self._write(self._shown.drafts(changes)))

    def watch(self, listener: Listener) -> Callable[[], None]:
        """See `Store.watch`."""
        return self._watchers.add(listener)

    async def close(self) -> None:
        """Wait for running writes, save, and close what is open."""
        if self._running:
            await asyncio.wait(self._running)
        await self.save()
        await self._journal.close()
        await self.client.close()

    async def mend(self, kind: str, id: str) -> None:
        """See `MeshStore.mend`."""
        keys = [key for key in self.quarantined if (key.kind, key.id) == (kind, id)]
        if not keys:
            raise NotFoundError(f"record {kind} {id}: is not among those that cannot be used")
        own = [key for key in keys if key.owner in ("", self.known.host)]
        if not own:
            raise belongs_to(kind, id, keys[0].owner)
        drafts = [Draft(key.kind, key.id, None, bool(key.owner)) for key in own]
        await self._whole(self._write(drafts))

    # For who follows etcd.

    def is_up(self) -> None:
        """Etcd answers."""
        self.trouble = None
        self._up.set()

    def is_down(self, reason: str) -> None:
        """It does not."""
        since_s = self._wall_s() if self.trouble is None else self.trouble.since_s
        self.trouble = Trouble(reason, since_s)
        self._up.clear()

    def show(self, keys: Sequence[Key]) -> None:
        """Other entries than before are held under these."""
        self._watchers.notify(self.apply(self._shown.changes(keys)))

    async def save(self) -> None:
        """Journal what etcd said. Called from time to time; a full disk is tried again."""
        async with self._order:
            if self.known.is_saved:
                return
            batch = self.known.drain()
            try:
                await self._journal.append(batch)
                self.unsaved = None
            except UnavailableError as error:
                self.known.undrain(batch)
                self.unsaved = str(error)

    async def push(self) -> None:
        """Give etcd all that waits. UnavailableError: it does not take it now."""
        async with self._pushing:
            await self._push_all()

    # Inside.

    async def _whole(self, write: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(write)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def _write(self, drafts: Sequence[Draft]) -> None:
        shared = [draft for draft in drafts if not draft.is_owned]
        if not shared:
            await self._keep(drafts)
            return
        await self._patience()
        async with self._pushing:
            try:
                await self._push_all()
            except UnavailableError as error:
                raise unavailable(str(error)) from error
            await self._transact(shared, [draft for draft in drafts if draft.is_owned])

    async def _keep(self, drafts: Sequence[Draft]) -> None:
        """Write what is this host's own."""
        async with self._order:
            writes = self.known.compose(drafts)
            if not writes:
                return
            batch = self.known.drain(writes)
            try:
                await self._journal.append(batch)
            except UnavailableError:
                self.known.undrain(batch)
                raise
            self.unsaved = None
            changed = self._show_now(self.known.take(writes))
        self._watchers.notify(changed)
        self.is_due.set()

    def _show_now(self, keys: Sequence[Key]) -> Sequence[Changed]:
        return self.apply(self._shown.changes(keys))

    async def _patience(self) -> None:
        trouble = self.trouble
        if trouble is None:
            return
        left_s = trouble.since_s + PATIENCE_S - self._wall_s()
        try:
            async with asyncio.timeout(max(0.0, min(left_s, PATIENCE_S))):
                await self._up.wait()
        except TimeoutError:
            trouble = self.trouble or trouble
            raise unavailable(trouble.reason) from None

    async def _transact(self, shared: Sequence[Draft], own: Sequence[Draft]) -> None:
        """What is shared and, as far as it fits, what is this host's, all or none.

        More of the host's own follows: what another host sees in between, it also sees of a host
        that was stopped there, and that host's next start goes on from it.
        """
        room = wire.MAX_OPERATIONS - len(shared)
        if room < 0:
            raise InvalidError(
                f"{len(shared)} shared records at once: etcd takes {wire.MAX_OPERATIONS}; do it in "
                "several steps"
            )
        drafts = [*shared, *own[:room]]
        bodies = {self._key(draft): draft.body for draft in drafts}
        held = [(key, body) for key, body in bodies.items() if body or self.known.get(key)]
        if held:
            await self._commit(held)
        if own[room:]:
            await self._keep(own[room:])

    async def _commit(self, held: Sequence[tuple[Key, bytes | None]]) -> None:
        bases = [(self._keys.encode(key), self.known.base_of(key)) for key, _ in held]
        compare = [wire.is_at(name, base) for name, base in bases]
        success = [_operation(name, body) for (name, _), (_, body) in zip(bases, held)]
        for key, body in held:
            if key.kind == ForgottenHost.KIND and body is not None:
                success = [*self._ends_of(key.id), *success]
        try:
            answer = await self.client.transact(wire.transaction(compare, success))
        except UncertainError as error:
            raise UnavailableError(
                f"{error}; it may have been done all the same: look before you try again"
            ) from error
        except UnavailableError as error:
            raise unavailable(str(error)) from error
        if not answer.succeeded:
            names = ", ".join(f"{key.kind} {key.id}" for key, _ in held[:3])
            raise ConflictError(
                f"{names}: changed by another host in the same moment; nothing was done, try again"
            )
        changed = []
        for key, body in held:
            changed += self.known.accept(key, body, answer.header.revision)
        shown = self._show_now(changed)
        await self.save()
        self._watchers.notify(shown)

    def _ends_of(self, host: str) -> list[wire.Request]:
        """What a host that is removed owned goes with it."""
        spans = [
            self._keys.owned(host, kind)
            for kind in sorted(self.known.kinds_of(host) - KEPT_KINDS)
            if host != self.known.host
        ]
        return [wire.delete(span, wire.end_of(span)) for span in spans]

    def _key(self, draft: Draft) -> Key:
        return Key(draft.kind, draft.id, self.known.host if draft.is_owned else "")

    async def _push_all(self) -> None:
        rounds = 0
        while self.known.waiting and not self.known.is_removed:
            rounds = 0 if await self._push_some(self._next_push()) else rounds + 1
            if rounds > MAX_ROUNDS:
                raise UnavailableError(
                    "etcd: somebody else writes what belongs to this host: is it cloned?"
                )

    def _next_push(self) -> list[Waiting]:
        chosen: list[Waiting] = []
        size = 0
        for each in self.known.waiting.values():
            size += len(each.body or b"")
            if chosen and (len(chosen) == wire.MAX_OPERATIONS or size > wire.MAX_BYTES):
                break
            chosen.append(each)
        return chosen

    async def _push_some(self, waiting: Sequence[Waiting]) -> bool:
        """False: etcd holds something else than was thought, which is known now."""
        names = [self._keys.encode(each.key) for each in waiting]
        answer = await self.client.transact(
            wire.transaction(
                [wire.is_at(name, each.base) for name, each in zip(names, waiting)],
                [_operation(name, each.body) for name, each in zip(names, waiting)],
                [wire.read(name) for name in names],
            )
        )
        if answer.succeeded:
            for each in waiting:
                self.known.arrived(each, answer.header.revision)
            self.show([each.key for each in waiting])
            return True
        for each, found in zip(waiting, answer.responses):
            kvs = found.response_range.kvs if found.response_range is not None else ()
            self.known.find(each.key, kvs[0].mod_revision if kvs else 0)
        return False


def _operation(name: bytes, body: bytes | None) -> wire.Request:
    return wire.delete(name) if body is None else wire.put(name, body)


def unavailable(reason: str) -> UnavailableError:
    """What a user hears who wants to change what is shared."""
    name = reason if reason.startswith("etcd") else f"etcd: {reason}"
    return UnavailableError(
        f"{name}; what all hosts share cannot be changed until it answers: see to it that a "
        "majority of its members runs and is reached from here. Ports and names go on meanwhile"
    )
