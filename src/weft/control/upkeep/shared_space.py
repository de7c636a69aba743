"""The ring at work: its steps whenever something changed, and the intents that wait for addresses.

Steps take their turn like intents, for an address that a step gives away no intent may give at that
moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator, Sequence

import structlog

from weft.control.context import Context
from weft.control.upkeep.shortage import shortage
from weft.control.upkeep.space import Fence, SpaceNeeded
from weft.errors import InvalidError, WeftError
from weft.ipam.draft import Gone
from weft.ipam.intervals import Interval
from weft.ipam.lease import LeaseTimes
from weft.ipam.occupancy import Occupancy
from weft.ipam.ring import Need, Ring
from weft.model import codec
from weft.model.ids import HostId
from weft.model.records import (
    AddressBlocks,
    BlockRequest,
    ForgottenHost,
    Host,
    Lease,
    LeaseReturn,
    LeaseVote,
    Neighbours,
    Port,
    Record,
    Reservation,
    Subnet,
)
from weft.store.interface import Change, Changed, Delete, Put
from weft.topology.routes import routes

WAIT_S = 5.0
"""How long an intent waits for addresses of other hosts, also of hosts that are not reached for
less: a host that has just joined knows of all others before it reaches any."""
BUSY_S = 0.25
IDLE_S = 5.0
"""Between steps though nothing changed: while something is under way, and otherwise."""
QUIET_S = 60.0
"""Between two looks at all subnets while no record changes: released addresses end their rest."""
LAZY_S = 0.3
"""Addresses that this host gives or gets back are looked at together: more are asked for ahead."""
REST = 1.0
"""Between two steps, as many times what one takes: when a thousand hosts start at once, each has
something to say to each."""
_STATEMENTS = (AddressBlocks, Lease)
"""Which hang together: the one has a digest of the other."""
_URGENT = (AddressBlocks, BlockRequest, Lease, LeaseVote, LeaseReturn, ForgottenHost, Subnet)
_WAYS = (Neighbours, Host, ForgottenHost)
log = structlog.get_logger()


class SharedSpace:
    """Implements `Space` over the records of all hosts."""

    def __init__(
        self,
        context: Context,
        clock: Callable[[], float],
        *,
        is_restored: bool = False,
        times: LeaseTimes = LeaseTimes(),  # noqa: B008
        wait_s: float = WAIT_S,
    ) -> None:
        """clock: only goes forward. is_restored: the records may be older than what this host
        wrote last."""
        self._wait_s = wait_s
        self._context = context
        self._clock = clock
        self.ring = Ring(context.host_id, context.random_bytes, times, is_restored=is_restored)
        if is_restored:
            log.warning("database was put back; its quorum is asked what it says no more")
        self._reached: frozenset[HostId] | None = None
        self._due = asyncio.Event()
        self._due.set()
        self._is_soon = False
        self._quiet_until_s = -math.inf
        self._stepped = asyncio.Condition()
        context.store.watch(self._hear)

    # For intents.

    def may_use(self, subnet: Subnet) -> Sequence[Interval]:
        """See `Space.may_use`."""
        return self.ring.may_use(self._context.view, subnet, self._context.wall_s())

    def created(self, subnet: Subnet) -> Sequence[Change]:
        """See `Space.created`."""
        record = self.ring.created(self._context.view, subnet, self._context.wall_s())
        return (Put(record),)

    async def obtain(self, needed: SpaceNeeded) -> None:
        """See `Space.obtain`."""
        with self._needs(needed):
            try:
                async with asyncio.timeout(self._wait_s):
                    while not self._is_provided(needed):
                        final = self._shortage(needed, is_waiting=True)
                        if final is not None:
                            raise final
                        async with self._stepped:
                            await self._stepped.wait()
            except TimeoutError:
                raise self._shortage(needed, is_waiting=False) or needed from None

    async def hand_over(self) -> bool:
        """See `Space.hand_over`. Waits `WAIT_S` at most; this host gives nothing any more."""
        self.ring.is_leaving = True
        self._due.set()
        try:
            async with asyncio.timeout(self._wait_s):
                while any(self._is_kept(record) for record in self._own()):
                    async with self._stepped:
                        await self._stepped.wait()
        except TimeoutError:
            return False
        return True

    # For people.

    @property
    def reached(self) -> frozenset[HostId]:
        """Hosts to which there is a way."""
        if self._reached is None:
            self._reached = frozenset(self._context.view.ask(routes, self._context.host_id))
        return self._reached

    @property
    def fence(self) -> Fence:
        """See `Space.fence`."""
        view = self._context.view
        stands = self.ring.standing(view, self.reached)
        since_s = self.ring.fenced_since_s
        ago_s = None if since_s is None else self._clock() - since_s
        return Fence(
            is_returning=self.ring.is_returning,
            since_s=None if ago_s is None else self._context.wall_s() - ago_s,
            members=stands.members,
            reached=stands.reached,
        )

    @property
    def taken_after_s(self) -> float:
        """See `Space.taken_after_s`."""
        return self.ring.times.taken_after_s

    def lost_since_s(self, host: HostId) -> float | None:
        """See `Space.lost_since_s`."""
        since_s = self.ring.lost_since_s(host)
        return None if since_s is None else self._context.wall_s() - (self._clock() - since_s)

    # The agent.

    async def run(self) -> None:
        """Step until cancelled."""
        while True:
            self._due.clear()
            self._is_soon = False
            began_s = self._clock()
            await self._step()
            await asyncio.sleep(min(1.0, REST * (self._clock() - began_s)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUSY_S if self.ring.is_busy else IDLE_S):
                    await self._due.wait()

    async def _step(self) -> None:
        context = self._context
        async with context.lock:
            now_s, is_quiet = self._clock(), self._clock() < self._quiet_until_s
            changes = self.ring.step(
                context.view, now_s, context.wall_s(), self.reached, is_quiet=is_quiet
            )
            if not changes and not is_quiet:
                self._quiet_until_s = now_s + QUIET_S
            try:
                if changes:
                    await self._write([_change(change) for change in changes])
            except WeftError as error:
                log.warning("address blocks not written, tried again", reason=str(error))
        async with self._stepped:
            self._stepped.notify_all()

    async def _write(self, changes: Sequence[Change]) -> None:
        """Where somebody has led this host to numbers that no record can hold, all else is written:
        a vote, or this host's own statements, are then left as they are."""
        try:
            await self._context.store.write(changes)
        except InvalidError as error:
            left = [change for change in changes if _is_readable(change)]
            if len(left) == len(changes):
                raise
            log.warning("some of the address blocks cannot be said", reason=str(error))
            refused = {_kind(change) for change in changes if not _is_readable(change)}
            if not refused.isdisjoint(_STATEMENTS):
                left = [change for change in left if _kind(change) not in _STATEMENTS]
            await self._context.store.write(left)

    def _hear(self, changed: Sequence[Changed]) -> None:
        self._quiet_until_s = -math.inf
        for old, new in changed:
            record = new or old
            if isinstance(record, _WAYS):
                self._reached = None
                self._due.set()
            elif isinstance(record, _URGENT):
                self._due.set()
            elif self._is_of_use(record) and not self._is_soon:
                self._is_soon = True
                asyncio.get_running_loop().call_later(LAZY_S, self._due.set)

    def _is_of_use(self, record: Record | None) -> bool:
        """Whether a change of a record changes what this host has left, in a cluster."""
        if not isinstance(record, Port | Reservation) or not self.ring.has_others:
            return False
        return record.host_id == self._context.host_id

    # Inside.

    @contextlib.contextmanager
    def _needs(self, needed: SpaceNeeded) -> Iterator[None]:
        needs = [Need(subnet.id, needed.address) for subnet in needed.subnets]
        self.ring.needs += needs
        self._due.set()
        try:
            yield
        finally:
            for need in needs:
                self.ring.needs.remove(need)
            self._due.set()

    def _is_provided(self, needed: SpaceNeeded) -> bool:
        for subnet in needed.subnets:
            inside = self.may_use(subnet)
            if needed.address is not None:
                number = int(needed.address)
                if any(first <= number <= last for first, last in inside):
                    return True
            elif Occupancy(self._context.view, subnet, self._context.wall_s()).has_free(inside):
                return True
        return False

    def _shortage(self, needed: SpaceNeeded, *, is_waiting: bool) -> WeftError | None:
        return shortage(
            self._context.view,
            self._context.host_id,
            needed,
            self.reached | self._expected() if is_waiting else self.reached,
            self.fence,
            is_waiting=is_waiting,
        )

    def _expected(self) -> frozenset[HostId]:
        """Hosts that may be reached in a moment."""
        now_s = self._clock()
        since_s = (
            (host.id, self.ring.lost_since_s(host.id)) for host in self._context.view.list(Host)
        )
        return frozenset(
            host for host, lost_s in since_s if lost_s is None or now_s - lost_s < self._wait_s
        )

    def _own(self) -> list[AddressBlocks]:
        return list(self._context.view.by(AddressBlocks, "host_id", self._context.host_id))

    def _is_kept(self, record: AddressBlocks) -> bool:
        """Whether anything in it is still waiting to be taken up by another."""
        subnet = self._context.view.get(Subnet, record.subnet_id)
        return subnet is not None and self.ring.is_holding(
            self._context.view, subnet, self._context.wall_s()
        )


def _kind(change: Change) -> type[Record]:
    return change.kind if isinstance(change, Delete) else type(change.record)


def _is_readable(change: Change) -> bool:
    if isinstance(change, Delete):
        return True
    try:
        codec.decode(change.record.KIND, codec.encode(change.record))
    except InvalidError:
        return False
    return True


def _change(change: Record | Gone) -> Change:
    return Delete(change.kind, change.id) if isinstance(change, Gone) else Put(change)
