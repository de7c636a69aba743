"""A host's records when its cluster keeps them in etcd: as they were known last, and the way there.

A file of their own holds them, beside that of the mesh. What a host held in the mesh it brings
along at its first start with etcd.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from weft.cluster.remembered import Remembered
from weft.cluster.secret import Secrets
from weft.config import Settings
from weft.errors import InvalidError, UnavailableError, WeftError
from weft.etcd import access, address
from weft.etcd.exchange import EtcdExchange
from weft.etcd.follower import Follower
from weft.etcd.keys import Keys
from weft.etcd.known import NOBODY, Known
from weft.etcd.managed import Managed
from weft.etcd.store import EtcdStore
from weft.mesh import incarnations
from weft.mesh.transport import Transport
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, RandomBytes
from weft.store.beginning import Begun, Places, begin
from weft.store.entry import Entry, Origin
from weft.store.health import Health, StoreHealth
from weft.store.sqlite_journal import SqliteJournal

log = structlog.get_logger()

FIRST_S = 8.0
"""For etcd to answer when weftd starts for the first time."""
AGAIN_S = 1.0
"""The same for a host that has records: it goes on with them."""
POLL_S = 0.1
_TAKEN = "taken-over"


class EtcdOpened:
    """What a host with its records in etcd is made of. See `mesh.opening.Opened`."""

    def __init__(
        self,
        begun: Begun,
        journal: SqliteJournal,
        store: EtcdStore,
        follower: Follower,
        managed: Managed | None,
    ) -> None:
        self.host_id: HostId = begun.host_id
        self.is_put_back = begun.is_put_back
        self.store = store
        self._journal = journal
        self._managed = managed
        self._exchange = EtcdExchange(store, follower, managed)

    @property
    def set_aside(self) -> Path | None:
        """Where an unreadable database was moved at this start."""
        return self._journal.set_aside

    def health(self) -> Health:
        """As it is now."""
        store = self.store
        return Health(
            self._journal.set_aside,
            store.unsaved,
            tuple(store.quarantined.values()),
            store=self._store_health(),
        )

    def _store_health(self) -> StoreHealth:
        store, trouble, managed = self.store, self.store.trouble, self._managed
        own = [f"etcd on this host: {managed.problem}"] if managed and managed.problem else []
        return StoreHealth(
            kind="etcd" if managed is None else "etcd-managed",
            members=[] if managed is None else managed.describe(),
            where=store.client.url,
            trouble="" if trouble is None else trouble.reason,
            since_s=0.0 if trouble is None else trouble.since_s,
            waiting=len(store.known.waiting),
            problems=own
            + [
                f"host {host} keeps its records in the mesh and not in this etcd; on that host: "
                "weft down, then weft up with the --store of this one"
                for host in sorted(self._exchange.mesh_hosts)
            ],
        )

    async def close(self) -> None:
        """Give back what is held open, and end what runs."""
        if self._managed is not None:
            await self._managed.close()
        await self.store.close()

    async def mend(self, kind: str, id: str) -> None:
        """See `MeshStore.mend`."""
        await self.store.mend(kind, id)

    def exchange(self, transport: Transport) -> EtcdExchange:
        """See `cluster.opening.Records`."""
        return self._exchange


async def open_etcd(
    settings: Settings,
    secrets: Secrets,
    addresses: Callable[[], Sequence[IPAddress]],
    wall_s: Callable[[], float],
    random_bytes: RandomBytes,
) -> EtcdOpened:
    """Open or begin. InvalidError: the settings cannot be right, or it is another cluster's etcd.

    addresses: of this host, for others. An etcd that does not answer is waited for a little, and
    then no longer.
    """
    address.check(settings)
    client = access.client_of(settings) if settings.store != address.MANAGED else None
    places = Places(settings.etcd_database, settings.host_id_file, settings.start_mark)
    async with contextlib.AsyncExitStack() as undo:
        journal = SqliteJournal(places.database, str(int(wall_s())))
        undo.push_async_callback(journal.close)
        begun, known = await _open_known(settings, places, journal, random_bytes)
        managed = None
        if client is None:
            managed = Managed(
                settings=settings,
                host_id=begun.host_id,
                secrets=secrets,
                journal=journal,
                addresses=addresses,
                join=settings.join or Remembered(Path(settings.state_dir)).known.join,
                wall_s=wall_s,
            )
            client = managed.client
            undo.push_async_callback(managed.close)
            await managed.begin()
        keys = Keys(
            address.MANAGED_PREFIX if managed is not None else address.external(settings).prefix
        )
        store = EtcdStore(known, journal, client, keys, wall_s)
        undo.push_async_callback(client.close)
        follower = Follower(store, keys, lambda: _ids(secrets), random_bytes)
        await _first_try(store, follower, is_starting=managed is not None)
        if managed is not None:
            managed.follow(store)
        undo.pop_all()
        return EtcdOpened(begun, journal, store, follower, managed)


async def _first_try(store: EtcdStore, follower: Follower, *, is_starting: bool) -> None:
    """is_starting: it may be that it only needs time."""
    wait_s = AGAIN_S if store.known.identity else FIRST_S
    try:
        async with asyncio.timeout(wait_s):
            # It tells nobody when it is ready.
            while not await _is_caught_up(follower, is_starting):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        store.is_down(f"etcd {store.client.url}: no answer within {wait_s:g} s")
    except WeftError as error:
        if isinstance(error, InvalidError) and not store.known.identity:
            raise
        store.is_down(str(error))
    except Exception as error:
        log.exception("fault in weftd: etcd not read")
        store.is_down(f"{type(error).__name__}: {error}")
    if store.trouble is not None:
        log.warning("starts with the records as they were known last", reason=store.trouble.reason)


async def _is_caught_up(follower: Follower, is_starting: bool) -> bool:
    try:
        await follower.catch_up()
    except UnavailableError:
        if not is_starting:
            raise
        return False
    return True


async def _open_known(
    settings: Settings, places: Places, journal: SqliteJournal, random_bytes: RandomBytes
) -> tuple[Begun, Known]:
    is_first = await journal.read_fact(_TAKEN) is None and journal.set_aside is None
    brought: list[Entry] = []
    if is_first and settings.database.exists():
        begun, brought = await _of_the_mesh(settings, random_bytes)
        own = await begin(places, journal, random_bytes)
        begun = begun._replace(is_continued=own.is_continued)
    else:
        begun = await begin(places, journal, random_bytes)
    known = Known(begun.host_id)
    saved = journal.load(is_continued=True)
    known.load(brought or saved.entries, saved.marks, is_old=begun.is_put_back)
    if brought:
        known.distrust()
        await journal.append(known.drain_all())
    if is_first:
        with contextlib.suppress(UnavailableError):
            await journal.write_fact(_TAKEN, "yes")
    return begun, known


async def _of_the_mesh(settings: Settings, random_bytes: RandomBytes) -> tuple[Begun, list[Entry]]:
    """What this host held in the mesh."""
    places = Places(settings.database, settings.host_id_file, settings.start_mark)
    journal = SqliteJournal(places.database, "before-etcd")
    try:
        begun = await begin(places, journal, random_bytes)
        entries = journal.load(begun.is_continued).entries
    finally:
        await journal.close()
    log.info("brings the records of the mesh along", count=len(entries))
    return begun, [
        Entry(
            entry.kind, entry.id, 0, Origin(entry.owner or NOBODY, 0), 0, entry.body, entry.is_owned
        )
        for entry in entries
        if entry.content is not None and entry.kind != incarnations.KIND
    ]


def _ids(secrets: Secrets) -> list[str]:
    counting = (secrets.current, secrets.previous)
    return [secret.id for secret in counting if secret is not None]
