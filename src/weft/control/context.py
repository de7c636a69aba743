"""What every intent works with: the store, the engine's word, settings, clock and randomness.

Intents that check and then write do so under one lock, so that what was checked still holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from weft.config import Settings
from weft.control.turn import Turn
from weft.control.upkeep.space import Space, WholeSpace
from weft.errors import UnavailableError
from weft.model.addresses import IPNetwork
from weft.model.ids import HostId, RandomBytes
from weft.model.records import Host, Record
from weft.store.interface import Change, Delete, Put, Store, View

SETTLE_S = 20.0
"""How long an intent waits for the kernel before it gives up and takes its records back."""


class HostRoute(NamedTuple):
    """A route of the host that is not Weft's."""

    prefix: IPNetwork
    description: str
    """As the user would look it up: ``10.0.0.0/8 via 192.0.2.1 dev eth0``."""
    is_link: bool
    """The host has neighbours there, it is no mere way to somewhere else."""


class Target(NamedTuple):
    """Something that runs and has a network namespace."""

    netns: str
    inode: int
    ifnames: frozenset[str]
    """Interfaces that are there already."""
    container_id: str = ""
    name: str = ""


class Targets(Protocol):
    """Finds what `weft attach` names."""

    async def resolve(self, target: str) -> Target:
        """By container name or id, pid, or path of a namespace; NotFoundError."""
        ...


class Settler(Protocol):
    """The engine, as far as intents care."""

    async def settle(self) -> None:
        """Return when all written records are in force or have failed."""
        ...

    def failures_of(self, record: Record) -> Sequence[str]:
        """Why something that a record wants is not in force."""
        ...


class NullSettler:
    """No engine: everything is in force at once (tests, simulations)."""

    async def settle(self) -> None:
        """Nothing to wait for."""

    def failures_of(self, record: Record) -> Sequence[str]:
        """Nothing fails."""
        return ()


class NoTargets:
    """Nothing runs here."""

    async def resolve(self, target: str) -> Target:
        """Always refuses."""
        raise UnavailableError(f"attach {target}: this weftd has no way to look into namespaces")


class Context:
    """Shared by all intents of one weftd."""

    def __init__(
        self,
        *,
        store: Store,
        settler: Settler,
        settings: Settings,
        host_id: HostId,
        wall_s: Callable[[], float],
        random_bytes: RandomBytes,
        host_routes: Callable[[], Iterable[HostRoute]] = tuple,
        targets: Targets | None = None,
    ) -> None:
        self.store = store
        self.settler = settler
        self.settings = settings
        self.host_id = host_id
        self.wall_s = wall_s
        self.random_bytes = random_bytes
        self.host_routes = host_routes
        self.targets: Targets = targets or NoTargets()
        self.lock = Turn()
        self.space: Space = WholeSpace()
        """Replaced once by whoever shares addresses with other hosts."""

    @property
    def view(self) -> View:
        """The records, to read."""
        return self.store

    @property
    def host(self) -> Host:
        """This host's record; before weftd has written one, a bare one."""
        found = self.store.get(Host, self.host_id)
        return found or Host(id=self.host_id, name=self.settings.name)

    async def commit(
        self,
        changes: Iterable[Change],
        *,
        must_hold: Record | None = None,
        is_awaited: bool = True,
    ) -> None:
        """Write, and wait until it is in force (unless not `is_awaited`). Holders of `lock` only.

        The turn ends while the kernel follows, so that intents do not wait for each other's
        devices; so this is the last thing that an intent does. When something that `must_hold`
        wants cannot be had of the kernel, or it takes longer than `SETTLE_S`, what was written is
        put back as it was, where nobody has changed it since, and UnavailableError says why.
        """
        wanted = list(changes)
        inverse = [self._inverse(change) for change in wanted]
        await self.store.write(wanted)
        if not is_awaited:
            return
        self.lock.let_go()
        reason = "the request was given up"
        try:
            reason = await self._settled(must_hold)
        finally:
            if reason:
                await asyncio.shield(self._undo(wanted, inverse))
        if reason:
            raise UnavailableError(f"{reason}; nothing was changed")

    async def _undo(self, wanted: Sequence[Change], inverse: Sequence[Change]) -> None:
        async with self.lock:
            pairs = zip(wanted, inverse)
            undone = [undo for change, undo in pairs if self._is_as_written(change)]
            await self.store.write(reversed(undone))

    def _is_as_written(self, change: Change) -> bool:
        if isinstance(change, Put):
            return self.store.get(type(change.record), change.record.id) == change.record
        return self.store.get(change.kind, change.id) is None

    async def _settled(self, must_hold: Record | None) -> str:
        try:
            async with asyncio.timeout(SETTLE_S):
                await self.settler.settle()
        except TimeoutError:
            return f"the kernel did not follow within {SETTLE_S:.0f} s"
        return "; ".join(self.settler.failures_of(must_hold)) if must_hold is not None else ""

    def _inverse(self, change: Change) -> Change:
        kind, id = (type(change.record), change.record.id) if isinstance(change, Put) else change
        old = self.store.get(kind, id)
        return Put(old) if old is not None else Delete(kind, id)
