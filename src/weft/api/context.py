"""What the API's handlers reach, and the little that they need of the parts around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from weft.cluster.ask import WAIT_S
from weft.cluster.inquiry import Answer, Inquiry, Reply
from weft.config import Settings
from weft.control.control import Control
from weft.engine.failures import Failure
from weft.engine.sink import Counters
from weft.model.ids import HostId
from weft.observers.flows.interface import Flows
from weft.observers.multicast.interface import Snooping
from weft.observers.traces.interface import Traces
from weft.topology.encryption import Hindrance

if TYPE_CHECKING:
    from weft.api.watching import Feed
    from weft.dns.lookup import LookupAnswer

Q = TypeVar("Q")
A = TypeVar("A")


class OtherHosts(Protocol):
    """What the API asks the other hosts (`weft.cluster.ask.Ask`)."""

    async def ask(
        self, host: HostId, inquiry: Inquiry[Q, A], request: Q, *, wait_s: float = WAIT_S
    ) -> Answer[A]:
        """What one of them answers. UnansweredError."""
        ...

    def ask_all(self, inquiry: Inquiry[Q, A], request: Q) -> AsyncGenerator[Reply[A], None]:
        """What each of them answers, as it comes, or why it does not."""
        ...


class EngineFacts(Protocol):
    """What the API reads of the engine (`weft.engine.engine.Engine`)."""

    ready: asyncio.Event
    reconciles_total: int
    repairs_total: int

    def failures(self) -> Sequence[Failure]:
        """Rows that are not in force."""
        ...

    async def counters(self) -> Mapping[str, Counters]:
        """Traffic by ifname of the host's end."""
        ...


class DnsFacts(Protocol):
    """What the API reads of the DNS server."""

    @property
    def ready(self) -> asyncio.Event:
        """Set once every socket has been opened or has failed."""
        ...

    @property
    def failures(self) -> Mapping[str, str]:
        """What is not served now, and why."""
        ...

    def upstreams(self) -> Sequence[str]:
        """Where queries for other domains are sent."""
        ...

    def statistics(self) -> Mapping[str, int]:
        """Counts since the start, by name."""
        ...

    def questions(self) -> Mapping[str, int]:
        """Questions for resolvers at this moment: `asked`, and `waiting` for their turn."""
        ...

    async def lookup(self, name: str, type: str, network_id: str | None) -> LookupAnswer:
        """Answer as to a workload of the network; None: as to the host.

        InvalidError: the name or the type is none.
        """
        ...


class EncryptionFacts(Protocol):
    """What the API reads of this host's part in encryption (`observers.host.encryption`)."""

    @property
    def obstacle(self) -> str:
        """Why this host cannot encrypt; empty: it can."""
        ...

    @property
    def waits_for(self) -> Sequence[str]:
        """What its next step waits for, beside `hindrances`."""
        ...

    @property
    def problem(self) -> str:
        """Why its keys are older than they should be; empty: they are not."""
        ...

    @property
    def key_made_s(self) -> float | None:
        """When its keys were made; None: it has none."""
        ...

    def hindrances(self) -> Sequence[Hindrance]:
        """The hosts for which it must wait."""
        ...

    async def rotate(self) -> str:
        """Take new keys; the public one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All that a handler may reach."""

    settings: Settings
    control: Control
    engine: EngineFacts
    dns: DnsFacts
    started_s: float
    """When weftd started, Unix time."""
    stop: Callable[[], None]
    """Ends weftd; what forwards goes on forwarding."""
    metrics: Callable[[], Awaitable[bytes]]
    """The text of GET /metrics."""
    encryption: EncryptionFacts
    multicast: Snooping
    flows: Flows
    traces: Traces
    others: OtherHosts
    feed: Feed
