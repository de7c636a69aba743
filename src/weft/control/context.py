"""What every intent works with: the store, commits, settings, clock and randomness.

Intents that check and then write do so under one lock, so that what was checked still holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from weft.config import Settings
from weft.control.commits import Commits, Settler
from weft.control.turn import Turn
from weft.control.upkeep.space import Space
from weft.model.addresses import IPNetwork
from weft.model.ids import HostId, RandomBytes
from weft.model.records import Host
from weft.store.interface import Store, View


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
        host_routes: Callable[[], Iterable[HostRoute]],
        targets: Targets,
        space: Callable[[Context], Space],
    ) -> None:
        """`space`: makes, from this context, what says which addresses this host may give."""
        self.store = store
        self.settings = settings
        self.host_id = host_id
        self.wall_s = wall_s
        self.random_bytes = random_bytes
        self.host_routes = host_routes
        self.targets = targets
        self.lock = Turn()
        self.commit = Commits(store, settler, self.lock).commit
        """See `Commits.commit`."""
        self.space = space(self)

    def over(self, store: Store, settler: Settler, space: Space) -> Context:
        """The same over other records."""
        return Context(
            store=store,
            settler=settler,
            settings=self.settings,
            host_id=self.host_id,
            wall_s=self.wall_s,
            random_bytes=self.random_bytes,
            host_routes=self.host_routes,
            targets=self.targets,
            space=lambda context: space,
        )

    @property
    def view(self) -> View:
        """The records, to read."""
        return self.store

    @property
    def host(self) -> Host:
        """This host's record; before weftd has written one, a bare one."""
        found = self.store.get(Host, self.host_id)
        return found or Host(id=self.host_id, name=self.settings.name)
