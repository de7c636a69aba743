"""When which port is asked what groups it is a member of. Weft is the querier of every network, and
each host asks its own ports, so that reports need not leave their host."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from weft.model.addresses import IPAddress, link_local_from_mac
from weft.model.ids import PortId
from weft.model.service_addresses import GATEWAY_MAC
from weft.multicast import messages

INTERVAL_S = 125
"""Between two questions (RFC 3376 section 8)."""
RESPONSE_S = 10.0
"""Within this a workload answers."""
FIRST_S = 0.5
"""Before the first question: the record of a port comes before its device."""
FIRST_RESPONSE_S = 1.0
"""The same for the first question."""
SECOND_S = INTERVAL_S / 4
"""Between the first two questions."""
MEMBER_S = messages.ROBUSTNESS * INTERVAL_S + RESPONSE_S
"""Who has not answered for so long is a member no longer."""
LAST_S = 1.0
"""Within this a workload says that it wants a group all the same."""
DOUBTED_S = messages.ROBUSTNESS * LAST_S + 0.5
"""Who has not said so until then is a member no longer."""
_PORTS_A_SECOND = 500
"""That are asked for the first time."""
_GATEWAY6 = link_local_from_mac(GATEWAY_MAC)


class Question(NamedTuple):
    """What goes to a port now."""

    port: PortId
    frames: tuple[bytes, ...]


class _Turn(NamedTuple):
    """When a port is asked, and about what. `number` makes turns at one moment comparable."""

    at_s: float
    number: int
    port: PortId
    group: IPAddress | None
    """None: about all."""
    times: int
    """How often it has been asked."""


class Querier:
    """Time is passed in; sends nothing by itself."""

    def __init__(self) -> None:
        self._sources: dict[PortId, IPv4Address] = {}
        self._turns: list[_Turn] = []
        self._numbers = itertools.count()
        self._current: dict[tuple[PortId, IPAddress | None], int] = {}
        """The one turn of each that counts, by its number."""
        self._fresh_s = -math.inf

    def ask(self, port: PortId, source: IPv4Address, now_s: float) -> None:
        """Ask the port from now on, from this IPv4 address; 0.0.0.0 where there is no gateway."""
        is_new = port not in self._sources
        self._sources[port] = source
        if is_new:
            self._fresh_s = max(now_s + FIRST_S, self._fresh_s + 1 / _PORTS_A_SECOND)
            self._push(self._fresh_s, port, None, 0)

    def forget(self, port: PortId) -> None:
        """Ask it no more."""
        self._sources.pop(port, None)

    def doubt(self, port: PortId, group: IPAddress, now_s: float) -> None:
        """Ask the port whether it wants this group all the same, unless that is going on."""
        if port in self._sources and (port, group) not in self._current:
            self._push(now_s, port, group, 0)

    def due_s(self) -> float:
        """When `take` has something."""
        return self._turns[0].at_s if self._turns else math.inf

    def take(self, now_s: float, at_most: int) -> Iterator[Question]:
        """The questions whose time has come."""
        for _ in range(at_most):
            if not self._turns or self._turns[0].at_s > now_s:
                return
            turn = heapq.heappop(self._turns)
            key = turn.port, turn.group
            if self._current.get(key) != turn.number:
                continue
            del self._current[key]
            source = self._sources.get(turn.port)
            if source is not None:
                self._push_next(turn, now_s)
                yield Question(turn.port, _frames(turn, source))

    def _push_next(self, turn: _Turn, now_s: float) -> None:
        times = turn.times + 1
        if turn.group is None:
            pause_s = SECOND_S if times == 1 else INTERVAL_S
            self._push(now_s + pause_s, turn.port, None, times)
        elif times < messages.ROBUSTNESS:
            self._push(now_s + LAST_S, turn.port, turn.group, times)

    def _push(self, at_s: float, port: PortId, group: IPAddress | None, times: int) -> None:
        number = next(self._numbers)
        self._current[port, group] = number
        heapq.heappush(self._turns, _Turn(at_s, number, port, group, times))


def _frames(turn: _Turn, source: IPv4Address) -> tuple[bytes, ...]:
    group = turn.group
    if group is None:
        response_s = RESPONSE_S if turn.times else FIRST_RESPONSE_S
        return (
            messages.igmp_query(source, response_s, INTERVAL_S),
            messages.mld_query(_GATEWAY6, response_s, INTERVAL_S),
        )
    if isinstance(group, IPv4Address):
        return (messages.igmp_query(source, LAST_S, INTERVAL_S, group),)
    return (messages.mld_query(_GATEWAY6, LAST_S, INTERVAL_S, group),)
