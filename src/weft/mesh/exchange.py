"""The mesh's run loop: keeps a host's store in step with those of the hosts it is linked to.

Wakes when a session has something due, when this host wrote, and when something arrived; entries
that arrived are journaled soon after; tombstones that have had their time are let go now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from weft.mesh.delta import Difference
from weft.mesh.links import Links
from weft.mesh.replica import Replica
from weft.mesh.session import Pace
from weft.mesh.store import MeshStore
from weft.mesh.transport import Transport

log = structlog.get_logger()

SAVE_S = 0.05
"""What peers sent waits so long for company before it is journaled. Longer loses more of it to a
power cut; it comes back from them."""
RETRY_S = 5.0
"""Until what the disk refused is tried again."""
PURGE_S = 600.0
"""Between two looks at what has had its time."""


class Exchange:
    """Implements `transport.Listener` for the transport that it is given."""

    def __init__(
        self,
        replica: Replica,
        store: MeshStore,
        transport: Transport,
        monotonic_s: Callable[[], float],
        pace: Pace = Pace(),  # noqa: B008
    ) -> None:
        self._replica = replica
        self._store = store
        self._now_s = monotonic_s
        self._links = Links(replica, transport, monotonic_s, self._merged, pace)
        self._caught_up = asyncio.Event()
        self._due = asyncio.Event()
        self._unsaved = asyncio.Event()
        store.on_write(self._pass_on)

    @property
    def caught_up(self) -> asyncio.Event:
        """Set once all that some linked host had is here."""
        return self._caught_up

    def link_up(self, peer: str) -> None:
        """See `transport.Listener`."""
        self._links.link_up(peer)
        self._due.set()

    def link_down(self, peer: str) -> None:
        """See `transport.Listener`."""
        self._links.link_down(peer)
        self._due.set()

    def receive(self, peer: str, data: bytes) -> None:
        """See `transport.Listener`."""
        try:
            self._links.receive(peer, data)
        finally:
            self._due.set()
            self._unsaved.set()
        session = self._links.sessions.get(peer)
        if session is not None and session.is_settled:
            self._caught_up.set()

    def is_in_sync(self, peer: str) -> bool:
        """Whether a linked host has confirmed all that is here."""
        session = self._links.sessions.get(peer)
        return session is not None and session.is_in_sync

    async def run(self) -> None:
        """Until cancelled. Links that are up must be told of again when it runs anew."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(), name="mesh sessions")
            tasks.create_task(self._save(), name="mesh journal")
            tasks.create_task(self._purge(), name="mesh upkeep")

    def _merged(self, differences: Sequence[Difference]) -> None:
        self._store.merged(differences)

    def _pass_on(self) -> None:
        self._links.pass_on()
        self._due.set()

    async def _poll(self) -> None:
        while True:
            self._due.clear()
            self._links.poll()
            wake_at_s = self._links.wake_at_s
            delay_s = None if wake_at_s is None else max(0.0, wake_at_s - self._now_s())
            try:
                async with asyncio.timeout(delay_s):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _save(self) -> None:
        while True:
            await self._unsaved.wait()
            await asyncio.sleep(SAVE_S)
            self._unsaved.clear()
            await self._store.save()
            if self._store.unsaved is not None:
                log.warning("what peers sent is not on disk yet", reason=self._store.unsaved)
                await asyncio.sleep(RETRY_S)
                self._unsaved.set()

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(PURGE_S)
            self._store.merged(self._replica.purge())
            self._pass_on()
            self._unsaved.set()
