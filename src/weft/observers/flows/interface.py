"""The collector, as other parts read it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple, Protocol

from weft.observers.flows.seen import FlowsAsked, FlowSeen


class Told(NamedTuple):
    """Connections, those that began last first."""

    flows: list[FlowSeen]
    is_whole: bool
    """False: there are more, which began earlier."""


class Table(NamedTuple):
    """How the table of flows of this host stood at the last sweep."""

    entries: Mapping[int, int] = {}
    """By family, 4 or 6; a connection has two."""
    room: Mapping[int, int] = {}
    made: int = 0
    """Entries, since the host started."""
    refused: int = 0
    """Entries for which there was no room in the table."""
    over_share: int = 0
    """Entries that were refused since their port has as many as it may."""
    ended: int = 0
    """Entries that were removed, since weftd started."""


class RuleCount(NamedTuple):
    """What a rule has done, or a group that denies what its rules do not allow."""

    id: str | None
    """None: no rule decided, or one that no record says any more."""
    flows: int
    """That it has let begin."""
    drops: int
    """Packets that it has dropped."""


class News(NamedTuple):
    """What one sweep has found."""

    begun: list[FlowSeen]
    ended: list[FlowSeen]
    untold: int
    """Connections that began or ended, and are in neither list, for there were too many."""


class Follower(Protocol):
    """One who is told of connections as they come and go."""

    @property
    def is_behind(self) -> bool:
        """Whether it has missed some, and has taken none since."""
        ...

    def news(self) -> AsyncGenerator[News, None]:
        """Until it is closed. One who takes too long misses some, and is told how many."""
        ...

    def close(self) -> None:
        """There will be no more."""
        ...


class Flows(Protocol):
    """This host's connections (`flows.collector.Collector`)."""

    @property
    def table(self) -> Table:
        """How full it is."""
        ...

    async def told(self, asked: FlowsAsked) -> Told:
        """Those that are asked for."""
        ...

    async def rule_counts(self) -> Sequence[RuleCount]:
        """Of all rules that have done anything on this host."""
        ...

    def follow(self) -> Follower:
        """From the next sweep on; to be closed. UnavailableError: too many follow already."""
        ...
