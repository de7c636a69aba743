"""Follows the records: when networks or security groups change, looks at what of them Docker has.

In the background, and never while Docker waits for an answer of ours. What is still missing in
Docker, for Docker refused it or was making a network of its own, is asked for again when something
has changed that may matter, or after a pause that grows as long as the same is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from weft.cancellation import raise_if_cancelled
from weft.errors import WeftError
from weft.frontends.docker.dockerd import Dockerd
from weft.frontends.docker.reconcile.looks import Looks
from weft.frontends.docker.reconcile.mirror import missing
from weft.frontends.docker.state import DockerState
from weft.model.ids import NetworkId
from weft.model.records import Binding, Network, SecurityGroup, Subnet
from weft.model.records.tenants import Tenant
from weft.store.interface import Changed

log = structlog.get_logger()

PAUSE_S = 0.5
"""The first pause; each is twice as long as the one before, up to the interval."""
_FOLLOWED = frozenset({Tenant, Network, Subnet, Binding, SecurityGroup})


class RecordFollower:
    """Keeps Docker's list of networks as Weft's is. One connection to Docker at a time."""

    def __init__(self, state: DockerState, looks: Looks, interval_s: float) -> None:
        self._state = state
        self._control = state.control
        self._looks = looks
        self._interval_s = interval_s
        self._pause_s = interval_s
        self._missing: frozenset[NetworkId] = frozenset()
        self._due = asyncio.Event()
        self._begun = 0
        self._ended = 0
        self._is_running = False
        self._looked = asyncio.Condition()

    def look_again(self) -> None:
        """Docker has networks no more that it had: what it refused it may take now."""
        self._state.refused.clear()
        self._due.set()

    async def run(self, docker: Dockerd) -> None:
        """Follow the records until cancelled."""
        self._due.set()
        self._is_running = True
        unwatch = self._control.watch(self._hear)
        unfollow = self._control.followers.add(self.settle)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._pause_s):
                        await self._due.wait()
                except TimeoutError:
                    self._state.refused.clear()
                    self._pause_s = min(2 * self._pause_s, self._interval_s)
                self._due.clear()
                await self._look(docker)
                self._learn_missing()
        finally:
            unwatch()
            unfollow()
            self._is_running = False
            async with self._looked:
                self._looked.notify_all()

    async def settle(self) -> None:
        """Return after a look that began after this call; at once while Docker is away."""
        wanted = self._begun + 1
        self._due.set()
        async with self._looked:
            await self._looked.wait_for(lambda: self._ended >= wanted or not self._is_running)

    async def _look(self, docker: Dockerd) -> None:
        self._begun += 1
        number = self._begun
        try:
            await self._looks.at_list(docker)
        except WeftError as error:
            log.warning("docker's networks not brought up to date", reason=str(error))
            raise_if_cancelled()
        finally:
            self._ended = number
            async with self._looked:
                self._looked.notify_all()

    def _learn_missing(self) -> None:
        found = frozenset(network.id for network in missing(self._state.records))
        if found != self._missing:
            self._missing = found
            self._pause_s = min(PAUSE_S, self._interval_s) if found else self._interval_s

    def _hear(self, changes: Sequence[Changed]) -> None:
        if any(changed.key[0] in _FOLLOWED for changed in changes):
            self._due.set()
