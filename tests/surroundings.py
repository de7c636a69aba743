"""What control stands on, without a kernel: fakes of the Protocols at its edges."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from weft.cluster.inquiry import Answer, Inquiry, Reply, UnansweredError, Why
from weft.cluster.interface import LinkInfo, Problem
from weft.cluster.standing import Rotation
from weft.control.commits import Ticket
from weft.control.context import Context, Target
from weft.control.control import Control
from weft.control.upkeep.space import Fence, SpaceNeeded, exhausted
from weft.engine.failures import Failure
from weft.errors import NotFoundError, UnavailableError
from weft.ipam.intervals import Interval
from weft.model.ids import HostId
from weft.model.records import Subnet
from weft.store.health import Health
from weft.store.interface import Change, Key
from weft.topology.routes import Route

Q = TypeVar("Q")
A = TypeVar("A")


class AtOnce:
    """An engine that has everything in force at once."""

    async def settled(self) -> Sequence[Failure]:
        """See `Ticket.settled`."""
        return ()

    @contextlib.contextmanager
    def ticket(self, records: Iterable[Key], beneath: Iterable[Key]) -> Iterator[Ticket]:
        """See `Settler.ticket`."""
        yield self


class NothingRuns:
    """A host on which nothing runs that could be attached."""

    async def resolve(self, target: str) -> Target:
        """See `Targets.resolve`."""
        raise UnavailableError(f"attach {target}: nothing runs here")


class WholeSpace:
    """A host without others, which may give every address."""

    def __init__(self, context: Context) -> None:
        """It asks nobody."""

    fence = Fence(is_returning=False, since_s=None, members=(), reached=frozenset())
    taken_after_s = 0.0

    async def run(self) -> None:
        """See `Space.run`. There is nobody to ask."""
        await asyncio.Event().wait()

    def lost_since_s(self, host: HostId) -> float | None:
        """See `Space.lost_since_s`."""
        return None

    def may_use(self, subnet: Subnet) -> Sequence[Interval]:
        """See `Space.may_use`."""
        return ((0, (1 << 128) - 1),)

    def created(self, subnet: Subnet) -> Sequence[Change]:
        """See `Space.created`."""
        return ()

    async def obtain(self, needed: SpaceNeeded) -> None:
        """See `Space.obtain`. Nothing ever comes."""
        raise exhausted(needed)

    async def hand_over(self) -> bool:
        """See `Space.hand_over`."""
        return False


class Alone:
    """A host without others. See `cluster.standing.Members`."""

    links: Mapping[HostId, LinkInfo] = {}
    problems: Sequence[Problem] = ()
    reached: Mapping[HostId, Route] = {}
    since_s: Mapping[HostId, float] = {}
    is_removed = False
    has_passed_on = False
    rotation = Rotation()

    def rotate(self) -> None:
        """There is no secret."""
        raise UnavailableError("token: this weftd is of no cluster")


class SoundRecords:
    """Records with which nothing is wrong. See `control.hosts.Records`."""

    def health(self) -> Health:
        """All is well."""
        return Health()

    async def mend(self, kind: str, id: str) -> None:
        """There is nothing to mend."""
        raise NotFoundError(f"record {kind} {id}: is not among those that cannot be used")


def control_alone(context: Context) -> Control:
    """Control of a host without others."""
    return Control(context, Alone(), SoundRecords())


class OtherHosts:
    """What other hosts answer, as a test says. See `api.context.OtherHosts`."""

    def __init__(self) -> None:
        self.answers: dict[HostId, Answer[Any] | UnansweredError] = {}
        self.asked: list[tuple[HostId, object]] = []

    async def ask(
        self, host: HostId, inquiry: Inquiry[Q, A], request: Q, *, wait_s: float = 5.0
    ) -> Answer[A]:
        """See `OtherHosts.ask`."""
        self.asked.append((host, request))
        answer = self.answers.get(host, UnansweredError(Why.NO_WAY, "there is no way to it"))
        if isinstance(answer, UnansweredError):
            raise answer.named(host, inquiry.name)
        return answer

    async def ask_all(self, inquiry: Inquiry[Q, A], request: Q) -> AsyncGenerator[Reply[A], None]:
        """See `OtherHosts.ask_all`. Asks those of which the test has said something."""
        for host in self.answers:
            try:
                yield Reply(host, await self.ask(host, inquiry, request))
            except UnansweredError as error:
                yield Reply(host, None, error)
