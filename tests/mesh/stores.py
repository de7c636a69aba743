"""Hosts with a store each, in the mesh or in etcd, as the same tests use them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from weft.errors import UnavailableError
from weft.etcd.client import EtcdClient, every
from weft.etcd.follower import Follower
from weft.etcd.keys import Keys
from weft.etcd.known import NOBODY, Known
from weft.etcd.store import EtcdStore
from weft.mesh.fake_transport import FakeNetwork
from weft.mesh.links import Links
from weft.mesh.replica import Replica
from weft.mesh.session import Pace
from weft.mesh.store import MeshStore
from weft.store.batch import Batch
from weft.store.draft import Draft
from weft.store.entry import Key
from weft.store.interface import Changed, Store
from weft.store.journal import MemoryJournal
from weft.store.shown import Quarantined

DEADLINE_S = 10.0
Holds = Mapping[tuple[str, str, str], bytes]
"""By kind, id and owner."""


class SharedStore(Store, Protocol):
    """What both have beside the interface."""

    unsaved: str | None

    @property
    def quarantined(self) -> Mapping[Key, Quarantined]: ...

    async def mend(self, kind: str, id: str) -> None: ...

    async def save(self) -> None: ...


class StoreMember(Protocol):
    """One host."""

    @property
    def store(self) -> SharedStore: ...

    @property
    def journal(self) -> DiskThatFills: ...

    @property
    def heard(self) -> list[Changed]: ...

    @property
    def holds(self) -> Holds:
        """All that is not deleted, what cannot be used too."""
        ...

    async def inject(self, draft: Draft) -> None:
        """Write what the store would refuse, as a faulty or newer weft does."""
        ...

    def as_writer(self, draft: Draft) -> str:
        """Who is said to have written what was injected here."""
        ...


class StoreCluster(Protocol):
    """Several."""

    members: list[StoreMember]

    async def begin(self) -> None: ...

    async def settle(self) -> None:
        """Return when all know the same."""
        ...

    async def end(self) -> None: ...


NewCluster = Callable[..., Awaitable[StoreCluster]]


class DiskThatFills(MemoryJournal):
    is_full = False

    async def append(self, batch: Batch) -> None:
        if self.is_full:
            raise UnavailableError("database: disk is full; nothing was changed")
        await super().append(batch)


class MeshMember:
    """One host of the mesh."""

    def __init__(self, network: FakeNetwork, host: str) -> None:
        self.host = host
        self.journal = DiskThatFills()
        self.replica = Replica(host, lambda: 1000.0 + network.now_s, random.Random(host).randbytes)
        self.store = MeshStore(self.replica, self.journal)
        pace = Pace(coalesce_s=0.0)
        self.links = Links(
            self.replica, network.transport(host), network.clock_s, self.store.merged, pace
        )
        self.store.on_write(self.pass_on)
        self.heard: list[Changed] = []
        self.store.watch(self.heard.extend)
        network.start(host, self.links)

    @property
    def holds(self) -> Holds:
        return {entry.key: entry.body for entry in self.replica.entries() if entry.body is not None}

    def pass_on(self) -> None:
        self.links.pass_on()
        self.links.poll()

    async def inject(self, draft: Draft) -> None:
        self.store.merged(self.replica.write([draft]))
        self.pass_on()

    def as_writer(self, draft: Draft) -> str:
        return self.host


class MeshCluster:
    def __init__(self, *hosts: str) -> None:
        self.network = FakeNetwork(1)
        self.meshed = [MeshMember(self.network, host) for host in hosts]
        self.members: list[StoreMember] = list(self.meshed)
        for n, member in enumerate(self.meshed[1:]):
            self.network.connect(self.meshed[n].host, member.host)

    async def begin(self) -> None:
        """Links are up as they are made."""

    async def settle(self) -> None:
        for _ in range(10):
            self.network.run_until(self.network.now_s + 0.1)
            for member in self.meshed:
                member.links.poll()
        digests = [member.replica.digest for member in self.meshed]
        assert all(digest == digests[0] for digest in digests)

    async def end(self) -> None:
        """Nothing is held open."""


class EtcdMember:
    """One host whose records are in etcd."""

    def __init__(
        self,
        url: str,
        prefix: str,
        host: str,
        journal: DiskThatFills | None = None,
        known: Known | None = None,
        answer_s: float = DEADLINE_S,
    ) -> None:
        self.host = host
        self.journal = journal or DiskThatFills()
        self.keys = Keys(prefix)
        self.known = known or Known(host)
        self.client = EtcdClient([url], answer_s=answer_s)
        self.store = EtcdStore(self.known, self.journal, self.client, self.keys)
        self.secret_ids = ["secret"]
        self.follower = Follower(
            self.store, self.keys, lambda: self.secret_ids, random.Random(host).randbytes
        )
        self.heard: list[Changed] = []
        self.store.watch(self.heard.extend)
        self.task: asyncio.Task[None] | None = None

    @property
    def holds(self) -> Holds:
        entries = (self.known.get(key) for key in self.known.held_keys())
        return {each.key: each.body for each in entries if each is not None and each.body}

    def start(self) -> None:
        self.task = asyncio.ensure_future(self.follower.run())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        await self.store.close()

    async def inject(self, draft: Draft) -> None:
        name = self.keys.encode(Key(draft.kind, draft.id, self.host if draft.is_owned else ""))
        if draft.body is None:
            await self.client.call("/v3/kv/deleterange", {"key": name}, object)
        else:
            await self.client.call("/v3/kv/put", {"key": name, "value": draft.body}, object)

    def as_writer(self, draft: Draft) -> str:
        return self.host if draft.is_owned else NOBODY


class EtcdCluster:
    """Hosts that share a prefix of an etcd."""

    def __init__(self, url: str, *hosts: str, prefix: str = "", answer_s: float = 5.0) -> None:
        self.prefix = prefix or f"/test-{random.SystemRandom().randbytes(6).hex()}"
        self.in_etcd = [EtcdMember(url, self.prefix, host, answer_s=answer_s) for host in hosts]
        self.members: list[StoreMember] = list(self.in_etcd)
        self.client = EtcdClient([url])

    async def begin(self) -> None:
        for member in self.in_etcd:
            member.start()
            async with asyncio.timeout(DEADLINE_S):
                await member.follower.caught_up.wait()

    async def there(self) -> Holds:
        """What etcd itself holds."""
        keys = Keys(self.prefix)
        found, _ = await every(self.client.read(keys.records))
        decoded = [(keys.decode(kv.key), kv.value) for kv in found]
        return {key: value for key, value in decoded if key is not None}

    async def there_if_it_answers(self) -> Holds | None:
        try:
            return await self.there()
        except UnavailableError:
            return None

    async def settle(self) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            there = await self.there_if_it_answers()
            if there is not None and all(
                m.holds == there and not m.known.waiting for m in self.in_etcd
            ):
                return
            assert time.monotonic() < deadline_s, [there, *(m.holds for m in self.in_etcd)]
            await asyncio.sleep(0.005)

    async def end(self) -> None:
        for member in self.in_etcd:
            await member.stop()
        await self.client.close()
