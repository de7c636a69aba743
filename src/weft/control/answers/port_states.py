"""How ports fare on their own host: what the kernel counted, and what of them is not in force.

Only that host knows. The others ask it (`PORT_STATES`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from weft.cluster.inquiry import Inquiry, Terms
from weft.engine.claims import RecordName
from weft.engine.failures import Failure, by_record
from weft.engine.sink import Counters
from weft.model.ids import HostId
from weft.model.records import Port
from weft.model.values import Count, Id, LongText
from weft.printable import printable
from weft.store.interface import View

FRESH_S = 0.25
"""Counters and problems that were read so recently are told again: reading them takes the thread of
the engine, and nobody who asks without pause shall have it to himself."""
MOST_PROBLEMS = 8
_REASON_LENGTH = 1000

Reason = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}\Z")]


class PortsAsked(msgspec.Struct, frozen=True, array_like=True):
    """For ports of the host that is asked."""

    ports: Annotated[tuple[Id, ...], Meta(max_length=50)] = ()
    """Empty: all."""


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """What a port received and sent, as its workload sees it, and what was dropped."""

    rx_packets: Count
    rx_bytes: Count
    tx_packets: Count
    tx_bytes: Count
    drops: Annotated[dict[Reason, Count], Meta(max_length=200)]
    """By reason; those that never happened are left out."""


class PortState(msgspec.Struct, frozen=True, array_like=True):
    """One port."""

    port_id: Id
    tally: Tally | None
    """None: it has no device."""
    problems: Annotated[tuple[LongText, ...], Meta(max_length=MOST_PROBLEMS)] = ()
    """What of it is not in force, and why."""


PORT_STATES: Inquiry[PortsAsked, PortState] = Inquiry("port-states", PortsAsked, PortState)


class Facts(Protocol):
    """What the engine knows (`weft.engine.engine.Engine`)."""

    def failures(self) -> Sequence[Failure]:
        """Rows that are not in force."""
        ...

    async def counters(self) -> Mapping[str, Counters]:
        """Traffic by ifname of the host's end."""
        ...


_Known = tuple[Mapping[str, Counters], Mapping[RecordName, Sequence[str]]]
"""Traffic by ifname, and what is not in force by record."""


class PortStates:
    """Tells other hosts how the ports of this one fare."""

    def __init__(
        self, view: View, host_id: HostId, facts: Facts, now_s: Callable[[], float]
    ) -> None:
        """now_s: a clock that only goes forward."""
        self._view = view
        self._host_id = host_id
        self._facts = facts
        self._now_s = now_s
        self._reading = asyncio.Lock()
        self._known: _Known = {}, {}
        self._fresh_until_s = -math.inf

    async def answer(self, asked: PortsAsked, terms: Terms) -> AsyncGenerator[PortState, None]:
        """Handler of `PORT_STATES`. Ports that are not of this host are left out."""
        counters, problems = await self._recent()
        for port in self._of(asked):
            yield port_state(port, counters, problems.get((Port.KIND, port.id), ()))

    def _of(self, asked: PortsAsked) -> Iterator[Port]:
        if not asked.ports:
            yield from self._view.by(Port, "host_id", self._host_id)
        for id in asked.ports:
            port = self._view.get(Port, id)
            if port is not None and port.host_id == self._host_id:
                yield port

    async def _recent(self) -> _Known:
        async with self._reading:
            if self._now_s() >= self._fresh_until_s:
                self._known = await self._facts.counters(), by_record(self._facts.failures())
                self._fresh_until_s = self._now_s() + FRESH_S
            return self._known


def port_state(port: Port, counters: Mapping[str, Counters], problems: Sequence[str]) -> PortState:
    """One port of this host. counters: by ifname."""
    counted = counters.get(port.ifname) if port.ifname is not None else None
    return PortState(
        port_id=port.id,
        tally=None if counted is None else _tally(counted),
        problems=tuple(printable(why)[:_REASON_LENGTH] for why in problems[:MOST_PROBLEMS]),
    )


def _tally(counted: Counters) -> Tally:
    return Tally(
        rx_packets=counted.rx_packets,
        rx_bytes=counted.rx_bytes,
        tx_packets=counted.tx_packets,
        tx_bytes=counted.tx_bytes,
        drops={reason: count for reason, count in counted.drops.items() if count},
    )
