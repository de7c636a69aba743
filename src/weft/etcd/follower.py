"""Keeps what a host knows in step with etcd, and etcd with what the host wrote.

    read all (or go on where it was) -> watch | push what waits | ask now and then

until one of them fails; then again, with another member of etcd. An etcd that has lost something
(its data, or the latest part of it, after a backup was put back) is given back what hosts know:
each gives what is its own, and any what nobody has given yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from weft.cancellation import raise_if_cancelled
from weft.errors import InvalidError, UnavailableError, WeftError
from weft.etcd import wire
from weft.etcd.client import EtcdClient, every
from weft.etcd.keys import Keys
from weft.etcd.known import Known
from weft.etcd.store import EtcdStore
from weft.etcd.wire import KeyValue
from weft.model import codec
from weft.model.ids import RandomBytes, new_id
from weft.model.records import Host
from weft.store.entry import Key

log = structlog.get_logger()

ASK_S = 5.0
"""Between two questions whether the member that is watched still has a majority with it."""
SAVE_S = 0.05
"""What etcd said waits so long for company before it is journaled; etcd says it again."""
AGAIN_S = 0.2
MAX_AGAIN_S = 3.0
_MAX_IDENTITY = 64
DISK_S = 5.0
"""Until what the disk refused is tried again."""


class Follower:
    """A long-lived part. Owns what is known of etcd."""

    def __init__(
        self,
        store: EtcdStore,
        keys: Keys,
        secret_ids: Callable[[], Sequence[str]],
        random_bytes: RandomBytes,
    ) -> None:
        """secret_ids: of the cluster that this host is in. Who has none of them is a stranger."""
        self.caught_up = asyncio.Event()
        """Set once all that etcd had is here."""
        self._store = store
        self._known: Known = store.known
        self._client: EtcdClient = store.client
        self._keys = keys
        self._secret_ids = secret_ids
        self._random_bytes = random_bytes
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._save(), name="etcd journal")
            tasks.create_task(self._follow(), name="etcd watch")

    async def catch_up(self) -> None:
        """Read what etcd has, once. UnavailableError, InvalidError."""
        identity, revision = await self._identity()
        known = self._known
        is_same = bool(identity) and identity == known.identity
        if not is_same or revision < known.revision or not known.revision:
            await self._read_all(identity, is_same and revision >= known.revision)
        self._store.is_up()
        self.caught_up.set()
        self._changed.set()

    # The run loop.

    async def _follow(self) -> None:
        again_s = AGAIN_S
        while True:
            failures: list[BaseException] = []
            began_s = time.monotonic()
            try:
                # In a task of its own: Python before 3.12.8 leaves one whose TaskGroup has failed
                # behind as if somebody had asked it to end.
                await asyncio.create_task(self._session(), name="etcd session")
            except* WeftError as group:
                failures.extend(group.exceptions)
            except* Exception as group:
                # Whatever is in etcd, this host goes on with what it knows, and looks again.
                log.exception("fault in weftd: etcd not followed")
                failures.extend(group.exceptions)
            raise_if_cancelled()
            if any(isinstance(failure, _StaleError) for failure in failures):
                continue
            self._tell_down(str(failures[0]))
            if time.monotonic() - began_s > MAX_AGAIN_S:
                again_s = AGAIN_S
            await asyncio.sleep(again_s)
            again_s = min(2 * again_s, MAX_AGAIN_S)

    async def _session(self) -> None:
        await self.catch_up()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="watch")
            tasks.create_task(self._push(), name="push")
            tasks.create_task(self._ask(), name="ask")

    def _tell_down(self, reason: str) -> None:
        if self._store.trouble is None or self._store.trouble.reason != reason:
            log.warning("etcd does not serve; goes on with what is known", reason=reason)
        self._store.is_down(reason)

    async def _watch(self) -> None:
        known = self._known
        # From the last change that is known, not the one after it: an etcd before 3.4.36 that was
        # compacted at exactly that one has dropped the deletions in it, and does not say so.
        watch = self._client.watch(self._keys.records, known.revision)
        async with contextlib.aclosing(watch) as answers:
            async for answer in answers:
                if answer.compact_revision:
                    known.revision = 0
                    raise _StaleError("etcd: has forgotten what changed meanwhile")
                if answer.canceled:
                    raise UnavailableError(f"etcd: watch: {answer.cancel_reason or 'cancelled'}")
                self._take([(event.kv, event.type != "DELETE") for event in answer.events])
                if answer.events:
                    # The answer's own revision may be of changes that are still to come.
                    known.revision = max(known.revision, answer.events[-1].kv.mod_revision)
                    self._changed.set()
        raise _StaleError("etcd: the watch is begun anew")

    async def _push(self) -> None:
        while True:
            await self._store.is_due.wait()
            self._store.is_due.clear()
            try:
                await self._store.push()
            except WeftError:
                self._store.is_due.set()
                raise
            self._changed.set()

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(ASK_S)
            identity, revision = await self._identity()
            if identity != self._known.identity or revision < self._known.revision:
                raise _StaleError("etcd: has lost something")

    async def _save(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(SAVE_S)
            self._changed.clear()
            await self._store.save()
            if self._store.unsaved is not None:
                log.warning("what etcd said is not on disk yet", reason=self._store.unsaved)
                await asyncio.sleep(DISK_S)
                self._changed.set()

    def _take(self, changes: Sequence[tuple[KeyValue, bool]]) -> None:
        """Take in keys with what is there now (False: nothing), in order."""
        changed: list[Key] = []
        for kv, is_there in changes:
            key = self._keys.decode(kv.key)
            if key is not None:
                changed += self._known.accept(key, kv.value if is_there else None, kv.mod_revision)
        self._store.show(changed)

    # All of it.

    async def _identity(self) -> tuple[str, int]:
        """What names this etcd (empty: nothing yet), and its revision. Needs a majority."""
        found, revision = await every(self._client.read(self._keys.identity))
        exact = [
            kv.value.decode(errors="replace")[:_MAX_IDENTITY]
            for kv in found
            if kv.key == self._keys.identity
        ]
        return (exact[0] if exact else ""), revision

    async def _read_all(self, identity: str, is_whole: bool) -> None:
        """is_whole: nothing that was known of this etcd can have been lost there."""
        known = self._known
        found, revision = await every(self._client.read(self._keys.records))
        if not known.identity:
            self._check_is_ours(found)
        if not is_whole:
            if known.held_keys():
                await self._give_back(self._by_key(found))
                known.distrust()
            identity = identity or await self._begin()
            found, revision = await every(self._client.read(self._keys.records))
        self._replace(self._by_key(found), revision)
        known.identity, known.revision = identity, revision

    def _by_key(self, found: Sequence[KeyValue]) -> dict[Key, KeyValue]:
        keys = [(self._keys.decode(kv.key), kv) for kv in found]
        return {key: kv for key, kv in keys if key is not None}

    def _check_is_ours(self, found: Sequence[KeyValue]) -> None:
        """InvalidError: another cluster's records are there."""
        hosts = [
            host
            for key, kv in self._by_key(found).items()
            if key.kind == Host.KIND and (host := _host(kv.value)) is not None
        ]
        mine = set(self._secret_ids())
        if hosts and not any(host.secret_id in mine for host in hosts):
            names = ", ".join(sorted(host.name for host in hosts)[:3])
            raise InvalidError(
                f"etcd {self._client.url}: holds another cluster's records under this prefix "
                f"(hosts {names}); join that with its token, or name another prefix: "
                "--store etcd://HOST:PORT/PREFIX"
            )

    async def _begin(self) -> str:
        """Give this etcd a word of its own, unless another host just did."""
        word = new_id(self._random_bytes)
        name = self._keys.identity
        await self._client.transact(
            wire.transaction([wire.is_at(name, 0)], [wire.put(name, word.encode())])
        )
        return (await self._identity())[0]

    async def _give_back(self, there: Mapping[Key, KeyValue]) -> None:
        """What is this host's own stands as it is here; of the rest, what is not there."""
        known = self._known
        log.warning("etcd lacks records that are known here, gives them back")
        for key in {*known.held_keys(), *(key for key in there if key.owner == known.host)}:
            if key.owner == known.host:
                self._correct(key, there.get(key))
        absent = [key for key in known.held_keys() if key.owner != known.host and key not in there]
        for key in absent:
            entry = known.get(key)
            if entry is not None and entry.body is not None:
                name = self._keys.encode(key)
                put = wire.put(name, entry.body)
                await self._client.transact(wire.transaction([wire.is_at(name, 0)], [put]))

    def _correct(self, key: Key, kv: KeyValue | None) -> None:
        """Of this host's own: have etcd say the same. At its first meeting with an etcd, a host
        that lost its records takes them from there instead."""
        entry = self._known.get(key)
        if entry is None and not self._known.identity:
            return
        if entry is None or kv is None or entry.body != kv.value:
            self._known.rewrite(key, kv.mod_revision if kv is not None else 0)
            self._store.is_due.set()

    def _replace(self, there: Mapping[Key, KeyValue], revision: int) -> None:
        known = self._known
        changed: list[Key] = []
        for key, kv in there.items():
            changed += known.accept(key, kv.value, kv.mod_revision)
        for key in known.held_keys():
            if key not in there:
                changed += known.accept(key, None, revision)
        self._store.show(changed)


class _StaleError(UnavailableError):
    """Etcd answers, and all of it is to be read anew."""


def _host(body: bytes) -> Host | None:
    try:
        record = codec.decode(Host.KIND, body)
    except InvalidError:
        return None
    return record if isinstance(record, Host) else None
