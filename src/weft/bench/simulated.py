"""A cluster of replicas in one process, under a clock that moves when told.

What is real: replicas, sessions, every message as bytes. What is not: the network, which takes a
millisecond or so and as long as the bytes take on a gigabit, and time, in which work costs nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from weft.bench.shared_held import SharedHeld
from weft.bench.synthetic import draft
from weft.cluster.wanted import wanted
from weft.errors import UnavailableError
from weft.mesh.delta import Difference
from weft.mesh.fake_transport import FakeNetwork, Weather
from weft.mesh.held import Held
from weft.mesh.links import Links
from weft.mesh.replica import Replica
from weft.model.ids import HostId
from weft.model.records import Port, Record
from weft.store.batch import Saved
from weft.store.clock import COUNTER_BITS
from weft.store.entry import Origin

Link = tuple[int, int]


class Described(Protocol):
    """A cluster that does not exist, by its records."""

    random_bytes: Callable[[int], bytes]

    @property
    def hosts(self) -> Sequence[HostId]:
        """All of them."""
        ...

    def shared_records(self) -> Iterable[Record]:
        """What no host owns; the first has written it."""
        ...

    def records_of(self, host: HostId) -> Iterable[Record]:
        """What one host owns."""
        ...


WALL_S = 1_800_000_000.0
GIGABIT = Weather(latency_s=(0.0005, 0.002), bytes_per_s=125e6)
_STEP_S = 0.001
_CONNECT_S = 10.0
INCARNATION = int((WALL_S - 86400) * 1000) << COUNTER_BITS


class Common:
    """What every host of a cluster has seen and holds before anything is measured."""

    def __init__(self, cluster: Described) -> None:
        self.cluster = cluster
        self.held = Held()
        self.marks: dict[Origin, int] = {}
        self.ports: dict[str, list[Port]] = {}
        """By host."""
        self._write(cluster.hosts[0], cluster.shared_records())
        for host in cluster.hosts:
            records = list(cluster.records_of(host))
            self.ports[host] = [record for record in records if isinstance(record, Port)]
            self._write(host, records)

    def _write(self, host: str, records: Iterable[Record]) -> None:
        known = Saved(marks=self.marks, incarnation=INCARNATION)
        writer = Replica(host, lambda: WALL_S - 3600, self.cluster.random_bytes, known)
        for entry in writer.compose(map(draft, records)):
            self.held.place(entry.key, entry)
            self.marks[entry.origin] = entry.sequence


class SimulatedHost:
    """One replica and its links. Wakes exactly when something is due."""

    def __init__(self, name: str, common: Common, network: FakeNetwork, is_empty: bool) -> None:
        self.name = name
        self._network = network
        saved = Saved() if is_empty else Saved(marks=common.marks, incarnation=INCARNATION)
        self.replica = Replica(
            name,
            lambda: WALL_S + network.now_s,
            random.Random(name).randbytes,
            saved,
            held=None if is_empty else SharedHeld(common.held),
        )
        self.links = Links(self.replica, network.transport(name), network.clock_s, self._changed)
        self._armed_s = math.inf
        network.start(name, self)

    def write(self, records: Iterable[Record]) -> None:
        """As weftd does."""
        self.replica.write(map(draft, records))
        self.links.pass_on()
        self._arm()

    def link_up(self, peer: str) -> None:
        """See `transport.Listener`."""
        self.links.link_up(peer)
        self._arm()

    def link_down(self, peer: str) -> None:
        """See `transport.Listener`."""
        self.links.link_down(peer)

    def receive(self, peer: str, data: bytes) -> None:
        """See `transport.Listener`."""
        self.links.receive(peer, data)
        self._arm()

    def _changed(self, differences: Sequence[Difference]) -> None:
        """Nobody watches: records, journals and engines are measured by themselves."""

    def _arm(self) -> None:
        due_s = self.links.wake_at_s
        if due_s is not None and due_s < self._armed_s:
            self._armed_s = due_s
            self._network.at(due_s, partial(self._ring, due_s))

    def _ring(self, due_s: float) -> None:
        if due_s != self._armed_s:
            return  # another came before it
        self._armed_s = math.inf
        self.links.poll()
        self._arm()


class SimulatedMesh:
    """All hosts, linked as weftd links them."""

    def __init__(self, common: Common, seed: int = 1, *, is_empty: bool = False) -> None:
        """is_empty: they hold nothing at first, `common` or not."""
        names = common.cluster.hosts
        self.network = FakeNetwork(seed, GIGABIT)
        self.hosts = [SimulatedHost(name, common, self.network, is_empty) for name in names]
        self.topology = links_between(names)

    def connect(self) -> None:
        """Bring all links up that are not; over a while, as they come up in life."""
        for one, other in self.topology:
            self.network.connect(self.hosts[one].name, self.hosts[other].name)
            self.network.run_until(self.network.now_s + _CONNECT_S / len(self.topology))
        self.run_until(self.is_quiet, step_s=0.1)

    def split(self) -> None:
        """Take down all links between the first half of the hosts and the second."""
        half = len(self.hosts) // 2
        for one, other in self.topology:
            if (one < half) != (other < half):
                self.network.disconnect(self.hosts[one].name, self.hosts[other].name)

    def unite(self) -> None:
        """Bring all links up that are not, at once."""
        for one, other in self.topology:
            self.network.connect(self.hosts[one].name, self.hosts[other].name)

    def is_quiet(self) -> bool:
        """Whether every host has confirmation from all its neighbours of all that it has."""
        return all(s.is_in_sync for host in self.hosts for s in host.links.sessions.values())

    def has_everywhere(self, marks: Iterable[tuple[Origin, int]]) -> bool:
        """Whether every host has seen so much."""
        wanted = list(marks)
        digests = [host.replica.digest for host in self.hosts]
        return all(digest[origin] >= mark for digest in digests for origin, mark in wanted)

    def marks_of(self, hosts: Iterable[SimulatedHost]) -> list[tuple[Origin, int]]:
        """How much these have written."""
        origins = [(host, host.replica.origin) for host in hosts]
        return [(o, host.replica.digest[o]) for host, o in origins if o is not None]

    def run_until(
        self, condition: Callable[[], bool], limit_s: float = 600.0, step_s: float = _STEP_S
    ) -> float:
        """How long it took; UnavailableError when it does not come true."""
        start_s = self.network.now_s
        while not condition():
            if self.network.now_s - start_s > limit_s:
                raise UnavailableError(f"no convergence in {limit_s:g} simulated seconds")
            self.network.run_until(self.network.now_s + step_s)
        return self.network.now_s - start_s


def links_between(hosts: Sequence[HostId]) -> list[Link]:
    """Those that one of the two ends wants, as weftd would."""
    place = {host: number for number, host in enumerate(hosts)}
    links = {
        (min(place[host], place[other]), max(place[host], place[other])): None
        for host in hosts
        for other in sorted(wanted(host, hosts))
    }
    return list(links)
