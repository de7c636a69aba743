"""What the links of a cluster carry when its records are in etcd: nothing.

Links still say who is alive and hand on the cluster's secret. A host that sends records over one
keeps its own in the mesh, which is a mistake of whoever set it up.
"""

from __future__ import annotations

import asyncio

from weft.etcd.follower import Follower
from weft.etcd.managed import Managed
from weft.etcd.store import EtcdStore


class EtcdExchange:
    """Implements `cluster.interface.Replication`."""

    def __init__(
        self, store: EtcdStore, follower: Follower, managed: Managed | None = None
    ) -> None:
        """managed: the etcd, if Weft runs it."""
        self._store = store
        self._managed = managed
        self._follower = follower
        self.mesh_hosts: set[str] = set()
        """Hosts that keep their records in the mesh."""

    @property
    def caught_up(self) -> asyncio.Event:
        """See `Replication`."""
        return self._follower.caught_up

    def link_up(self, peer: str) -> None:
        """See `transport.Listener`."""
        self.mesh_hosts.discard(peer)

    def link_down(self, peer: str) -> None:
        """See `transport.Listener`."""
        self.mesh_hosts.discard(peer)

    def receive(self, peer: str, data: bytes) -> None:
        """See `transport.Listener`."""
        self.mesh_hosts.add(peer)

    def is_in_sync(self, peer: str) -> bool:
        """Whether etcd has all that is here, so that every host can see it."""
        is_leaving = self._managed is not None and self._managed.is_leaving
        return self._store.trouble is None and not self._store.known.waiting and not is_leaving

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follower.run(), name="etcd follower")
            if self._managed is not None:
                tasks.create_task(self._managed.run(), name="etcd member")
