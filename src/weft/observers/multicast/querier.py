"""When each port is asked of which groups it is a member.

Weft is the querier of every network, and each host asks its own ports, so that reports need not
leave their host. A port that is a member of something must be asked again and again, or silence
could not end its membership. A port that is a member of nothing reports by itself when it joins,
twice, on a device that loses nothing, so it is asked seldom.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address
from typing import NamedTuple

from weft.model.addresses import IPAddress, link_local_from_mac
from weft.model.ids import PortId
from weft.model.service_addresses import GATEWAY_MAC
from weft.observers.multicast import messages

INTERVAL_S = 125
"""Between two questions (RFC 3376 section 8)."""
SELDOM_S = 8 * INTERVAL_S
"""Between two questions to a port that is a member of nothing."""
RESPONSE_S = 10.0
"""Within this a workload answers."""
FIRST_S = 0.5
"""Before the first question: the record of a port comes before its device."""
FIRST_RESPONSE_S = 0.1
"""The same for the first question: ports that are asked at one moment answer at one, too."""
SECOND_S = INTERVAL_S / 4
"""Between the first two questions; where something was heard of the port, the second is spared."""
MEMBER_S = messages.ROBUSTNESS * INTERVAL_S + RESPONSE_S
"""A port that has not answered for so long is a member no longer."""
LAST_S = 1.0
"""Within this a workload says that it wants a group all the same."""
DOUBTED_S = messages.ROBUSTNESS * LAST_S + 0.5
"""A port that was asked for the last time, and has not answered until then, is a member no longer.
"""
_MEMBERS_A_SECOND, _PORTS_A_SECOND = 500, 15
"""Ports that are asked for the first time: those that were members when weftd ended, and others. A
question and what comes back cost a quarter of a millisecond and a port gets two, so the others take
less than one percent of a CPU; ten thousand of them are through after eleven minutes."""
_MOMENT_S = 1.0
"""Ports that wait for their turn, and whose turns are so close together, are asked as one."""
_GATEWAY6 = link_local_from_mac(GATEWAY_MAC)


class Question(NamedTuple):
    """A question that goes to a port now."""

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

    def __init__(self, is_followed: Callable[[PortId], bool]) -> None:
        """is_followed: whether a port is a member of something, or others may be behind it."""
        self._is_followed = is_followed
        self._sources: dict[PortId, IPv4Address] = {}
        self._heard: set[PortId] = set()
        """Ports that have said something since they were asked for the first time."""
        self._turns: list[_Turn] = []
        self._numbers = itertools.count()
        self._current: dict[tuple[PortId, IPAddress | None], _Turn] = {}
        """The one turn of each that counts."""
        self._fresh_s = {True: -math.inf, False: -math.inf}
        """When the last new port is asked, among ports that are followed and among others."""

    def ask(self, port: PortId, source: IPv4Address, now_s: float) -> None:
        """Ask the port from now on, from this IPv4 address; 0.0.0.0 where there is no gateway."""
        is_new = port not in self._sources
        self._sources[port] = source
        if is_new:
            is_followed = self._is_followed(port)
            spacing_s = 1 / (_MEMBERS_A_SECOND if is_followed else _PORTS_A_SECOND)
            soon_s, turn_s = now_s + FIRST_S, self._fresh_s[is_followed] + spacing_s
            self._fresh_s[is_followed] = max(soon_s, turn_s)
            waits = turn_s > soon_s
            at_s = math.ceil(turn_s / _MOMENT_S) * _MOMENT_S if waits else soon_s
            self._push(at_s, port, None, 0)

    def forget(self, port: PortId) -> None:
        """Ask it no more."""
        self._sources.pop(port, None)
        self._heard.discard(port)

    def heard(self, port: PortId, now_s: float) -> None:
        """The port has said something. One that is followed from now on is asked in time."""
        self._heard.add(port)
        turn = self._current.get((port, None))
        if turn is not None and turn.at_s > now_s + INTERVAL_S and self._is_followed(port):
            self._push(now_s + INTERVAL_S, port, None, turn.times)

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
            if self._current.get(key) is not turn:
                continue
            del self._current[key]
            source = self._sources.get(turn.port)
            if source is not None:
                self._push_next(turn, now_s)
                if turn.group is None and turn.times == 1 and turn.port in self._heard:
                    continue
                if turn.group is None and turn.times == 0:
                    self._heard.discard(turn.port)
                yield Question(turn.port, _frames(turn.group, turn.times == 0, source))

    def _push_next(self, turn: _Turn, now_s: float) -> None:
        times = turn.times + 1
        if turn.group is None:
            regular_s = INTERVAL_S if self._is_followed(turn.port) else SELDOM_S
            self._push(now_s + (SECOND_S if times == 1 else regular_s), turn.port, None, times)
        elif times < messages.ROBUSTNESS:
            self._push(now_s + LAST_S, turn.port, turn.group, times)

    def _push(self, at_s: float, port: PortId, group: IPAddress | None, times: int) -> None:
        turn = self._current[port, group] = _Turn(at_s, next(self._numbers), port, group, times)
        heapq.heappush(self._turns, turn)


@lru_cache(maxsize=1024)
def _frames(group: IPAddress | None, is_first: bool, source: IPv4Address) -> tuple[bytes, ...]:
    if group is None:
        response_s = FIRST_RESPONSE_S if is_first else RESPONSE_S
        return (
            messages.igmp_query(source, response_s, INTERVAL_S),
            messages.mld_query(_GATEWAY6, response_s, INTERVAL_S),
        )
    if isinstance(group, IPv4Address):
        return (messages.igmp_query(source, LAST_S, INTERVAL_S, group),)
    return (messages.mld_query(_GATEWAY6, LAST_S, INTERVAL_S, group),)
