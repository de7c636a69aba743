"""Links in memory, under a clock that moves when told: what simulations run on.

Everything that a network does to messages is drawn from one seeded source of randomness, so a
schedule that broke something can be had again.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from weft.errors import InvalidError
from weft.mesh.transport import Listener


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a message on its way."""

    latency_s: tuple[float, float] = (0.001, 0.01)
    loss: float = 0.0
    duplication: float = 0.0
    is_reordering: bool = False
    bytes_per_s: float = float("inf")
    """Of each link, each way."""


class _Link(NamedTuple):
    """One connection; the next one between the same hosts is another."""

    number: int
    ends: frozenset[str]


class FakeNetwork:
    """All links between all hosts, and the clock."""

    def __init__(self, seed: int, weather: Weather = Weather()) -> None:  # noqa: B008
        self.now_s = 0.0
        self.weather = weather
        self.sent_bytes = 0
        self.sent_messages = 0
        self._random = random.Random(seed)
        self._listeners: dict[str, Listener] = {}
        self._links: dict[frozenset[str], _Link] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._counter = 0
        self._arrived_s: dict[tuple[str, str], float] = {}
        self._free_s: dict[tuple[str, str], float] = {}

    def clock_s(self) -> float:
        """Monotonic time."""
        return self.now_s

    def transport(self, host: str) -> FakeTransport:
        """One host's way to send."""
        return FakeTransport(self, host)

    def start(self, host: str, listener: Listener) -> None:
        """A host is there. Its links come up when they are connected."""
        self._listeners[host] = listener

    def stop(self, host: str) -> None:
        """A host dies: its links go down at their other ends."""
        for ends in [ends for ends in self._links if host in ends]:
            self.disconnect(*ends)
        self._listeners.pop(host, None)

    def connect(self, one: str, other: str) -> None:
        """A new link, unless there is one or a host is not there."""
        ends = frozenset((one, other))
        if ends in self._links or not ends <= self._listeners.keys():
            return
        self._counter += 1
        self._links[ends] = _Link(self._counter, ends)
        self._listeners[one].link_up(other)
        self._listeners[other].link_up(one)

    def disconnect(self, one: str, other: str) -> None:
        """Take a link down, and what is under way on it."""
        if self._links.pop(frozenset((one, other)), None) is not None:
            self._listeners[one].link_down(other)
            self._listeners[other].link_down(one)

    def is_connected(self, one: str, other: str) -> bool:
        """Whether a link is up."""
        return frozenset((one, other)) in self._links

    def cut(self, sender: str, receiver: str) -> None:
        """Lose everything one way; nobody is told."""
        self._cuts.add((sender, receiver))

    def heal(self) -> None:
        """End all cuts."""
        self._cuts.clear()

    def send(self, sender: str, receiver: str, data: bytes) -> None:
        """Put a message on its way, if there is one."""
        link = self._links.get(frozenset((sender, receiver)))
        if link is None:
            return
        self.sent_bytes += len(data)
        self.sent_messages += 1
        if (sender, receiver) in self._cuts or self._random.random() < self.weather.loss:
            return
        self._deliver_later(link, sender, receiver, data)
        if self._random.random() < self.weather.duplication:
            self._deliver_later(link, sender, receiver, data)

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something when the clock is there."""
        self._counter += 1
        heapq.heappush(self._events, (max(time_s, self.now_s), self._counter, action))

    def run_until(self, time_s: float) -> None:
        """Move the clock, doing what is due on the way."""
        while self._events and self._events[0][0] <= time_s:
            self.now_s, _, action = heapq.heappop(self._events)
            action()
        self.now_s = time_s

    def _deliver_later(self, link: _Link, sender: str, receiver: str, data: bytes) -> None:
        arrival_s = self._passed_s(sender, receiver, len(data))
        arrival_s += self._random.uniform(*self.weather.latency_s)
        if not self.weather.is_reordering:
            arrival_s = max(arrival_s, self._arrived_s.get((sender, receiver), 0.0))
            self._arrived_s[sender, receiver] = arrival_s

        def deliver() -> None:
            if self._links.get(link.ends) != link:
                return
            try:
                self._listeners[receiver].receive(sender, data)
            except InvalidError:
                self.disconnect(sender, receiver)

        self.at(arrival_s, deliver)

    def _passed_s(self, sender: str, receiver: str, size_bytes: int) -> float:
        """When a message that is sent now has gone into the wire, after those before it."""
        if math.isinf(self.weather.bytes_per_s):
            return self.now_s
        free_s = max(self.now_s, self._free_s.get((sender, receiver), 0.0))
        self._free_s[sender, receiver] = free_s = free_s + size_bytes / self.weather.bytes_per_s
        return free_s


class FakeTransport:
    """Implements `Transport` for one host."""

    def __init__(self, network: FakeNetwork, host: str) -> None:
        self._network = network
        self._host = host

    def send(self, peer: str, data: bytes) -> None:
        """See `Transport.send`."""
        self._network.send(self._host, peer, data)
