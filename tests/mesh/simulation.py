"""A cluster in one process: replicas and links over the fake network, with journals that crashes
can cut short.

What a schedule does to it is drawn from a seed; `Cluster.check` says what must hold when all is
healed and quiet.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from weft.mesh import incarnations
from weft.mesh.delta import Difference
from weft.mesh.digest import Digest
from weft.mesh.fake_transport import FakeNetwork, Weather
from weft.mesh.links import Links
from weft.mesh.replica import Limits, Replica
from weft.mesh.session import Pace
from weft.model.records import ForgottenHost
from weft.store.draft import Draft
from weft.store.entry import Entry, Key, Origin
from weft.store.journal import MemoryJournal

WALL_S = 1_800_000_000.0
DAY_S = 86400.0
PACE = Pace(summary_s=1.0, resend_s=0.2, part_bytes=300, window=3)
"""Everything fast, and parts so small that a handful of entries needs several."""


class SimulatedHost:
    """One host: what survives its crashes, and what runs."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.skew_s = 0.0
        self.journal = MemoryJournal()
        self.wrote: dict[Key, list[bytes | None]] = {}
        """What may be found under each key that it owns: what it wrote last; after a crash that
        lost writes, any that it made since the one that it still knows."""
        self.is_whole = True
        self.is_up = False
        self.is_removed = False
        """By some host, at least; it never starts again."""
        self._all: dict[Key, list[bytes | None]] = {}
        self._cluster = cluster
        self._run = 0
        self.replica: Replica
        self.links: Links
        self.start()

    def wall_s(self) -> float:
        return WALL_S + self._cluster.network.now_s + self.skew_s

    def start(self, is_continued: bool | None = None) -> None:
        """is_continued: None: what is true."""
        if is_continued is None:
            is_continued, self.is_whole = self.is_whole, True
        cluster, network = self._cluster, self._cluster.network
        self.replica = Replica(
            self.name,
            self.wall_s,
            cluster.random.randbytes,
            self.journal.load(is_continued),
            cluster.limits,
        )
        self.links = Links(
            self.replica,
            network.transport(self.name),
            network.clock_s,
            self._on_change,
            cluster.pace,
        )
        self.is_up = True
        self._run += 1
        network.start(self.name, self)
        self._tick(self._run)

    def crash(self, lost_batches: int = 0) -> None:
        """The process dies; of what the journal was given, the last batches are lost too."""
        self.save()
        self.is_up = False
        self._run += 1
        self._cluster.network.stop(self.name)
        if lost_batches:
            self.is_whole = False
            for key in self.journal.lose(lost_batches):
                self._cluster.deleted.pop(key, None)
                if key in self.wrote:
                    self.wrote[key] = self._all[key]

    def write(self, draft: Draft) -> None:
        entries = self.replica.compose([draft])
        for entry in entries:
            self._cluster.note(entry, self.replica.digest)
            if entry.is_owned:
                self.wrote[entry.key] = [entry.body]
                self._all.setdefault(entry.key, [None]).append(entry.body)
        self.replica.commit(entries)
        self.save()
        self.links.pass_on()

    def save(self) -> None:
        batch = self.replica.drain()
        if batch:
            self.journal.keep(batch)

    def purge(self) -> None:
        self.replica.purge()
        self.save()
        self.links.pass_on()

    def link_up(self, peer: str) -> None:
        self.links.link_up(peer)

    def link_down(self, peer: str) -> None:
        self.links.link_down(peer)

    def receive(self, peer: str, data: bytes) -> None:
        self.links.receive(peer, data)
        self.save()
        self._wake()

    def _on_change(self, differences: Sequence[Difference]) -> None:
        self._cluster.changes += len(differences)

    def _tick(self, run: int) -> None:
        if run != self._run:
            return
        self.links.poll()
        self._cluster.network.at(self._cluster.network.now_s + 0.05, lambda: self._tick(run))

    def _wake(self) -> None:
        """News need not wait for the next tick."""
        run = self._run

        def poll() -> None:
            if run == self._run:
                self.links.poll()

        wake_at_s = self.links.wake_at_s
        if wake_at_s is not None and wake_at_s <= self._cluster.network.now_s + 0.05:
            self._cluster.network.at(wake_at_s, poll)


class Cluster:
    """Hosts and who shall be linked to whom."""

    def __init__(
        self,
        hosts: int,
        seed: int,
        weather: Weather = Weather(),  # noqa: B008
        limits: Limits = Limits(),  # noqa: B008
        pace: Pace = PACE,
    ) -> None:
        self.seed = seed
        self.limits = limits
        self.pace = pace
        self.changes = 0
        self.random = random.Random(seed)
        self.network = FakeNetwork(seed, weather)
        self.written: dict[Key, list[tuple[Origin, int]]] = {}
        self.deleted: dict[Key, Entry] = {}
        self.hosts = [SimulatedHost(self, f"h{n}") for n in range(hosts)]
        self.topology = full(hosts)
        self.blocked: set[frozenset[str]] = set()

    @property
    def members(self) -> list[SimulatedHost]:
        """All that nobody removed."""
        return [host for host in self.hosts if not host.is_removed]

    def remove(self, gone: SimulatedHost) -> None:
        """A host dies for good, and with it what it told nobody."""
        if gone.is_up:
            gone.crash()
        gone.is_removed = True
        for key, deletion in tuple(self.deleted.items()):
            origin, sequence = deletion.origin, deletion.sequence
            if all(host.replica.digest[origin] < sequence for host in self.members):
                del self.deleted[key]

    def note(self, entry: Entry, digest: Digest) -> None:
        """Keep what must not come back: that of which the deleter had seen every write."""
        writes = self.written.setdefault(entry.key, [])
        if entry.body is not None:
            writes.append((entry.origin, entry.sequence))
            self.deleted.pop(entry.key, None)
        elif all(digest[origin] >= sequence for origin, sequence in writes):
            self.deleted[entry.key] = entry

    def connect(self) -> None:
        """All links that shall be there and can."""
        for one, other in self.topology:
            a, b = self.hosts[one], self.hosts[other]
            if a.is_up and b.is_up and frozenset((a.name, b.name)) not in self.blocked:
                self.network.connect(a.name, b.name)

    def partition(self, groups: Sequence[Sequence[int]]) -> None:
        """No links between hosts of different groups."""
        place = {self.hosts[n].name: k for k, group in enumerate(groups) for n in group}
        for one, other in self.topology:
            a, b = self.hosts[one].name, self.hosts[other].name
            if place.get(a) != place.get(b):
                self.blocked.add(frozenset((a, b)))
                self.network.disconnect(a, b)

    def heal(self) -> None:
        """Good weather, all links, all hosts up."""
        self.blocked.clear()
        self.network.heal()
        self.network.weather = Weather()
        for host in self.members:
            if not host.is_up:
                host.start()
        if len(self.members) < len(self.hosts):
            self.topology = full(len(self.hosts))  # those beside a removed host find each other
        self.connect()

    def run(self, seconds: float) -> None:
        self.network.run_until(self.network.now_s + seconds)

    def run_until(
        self, condition: Callable[[], bool], limit_s: float, step_s: float = 0.05
    ) -> float:
        """How long it took; fails after `limit_s`."""
        start_s = self.network.now_s
        while not condition():
            assert self.network.now_s - start_s < limit_s, f"seed {self.seed}: {self.difference()}"
            self.run(0.05)
        return self.network.now_s - start_s

    def is_one(self) -> bool:
        """Whether all hosts have seen and hold the same."""
        first = self.members[0].replica
        return all(
            host.replica.digest.hash == first.digest.hash
            and host.replica.checksum == first.checksum
            for host in self.members
        )

    def difference(self) -> str:
        """What hosts disagree about, for the failure's message."""
        first = self.members[0]
        lines = []
        for host in self.members[1:]:
            mine, theirs = live(first.replica), live(host.replica)
            for key in sorted({*mine, *theirs}):
                if mine.get(key) != theirs.get(key):
                    lines.append(
                        f"{key}: {first.name} {mine.get(key)}, {host.name} {theirs.get(key)}"
                    )
            marks = {*first.replica.digest.marks.items()} ^ {*host.replica.digest.marks.items()}
            if marks:
                lines.append(f"{first.name} and {host.name} differ in marks {sorted(marks)}")
        return "\n".join(lines[:20])

    def check(self, quiet_s: float = 60.0) -> None:
        """Heal, wait for quiet, and see whether all promises were kept."""
        self.heal()
        for _ in range(4):  # a repair that is under way may bring an update back for a moment
            self.run_until(self.is_one, quiet_s)
            self.run(5.0)
            if self.is_one():
                break
        assert self.is_one(), f"seed {self.seed}: it does not stay so\n{self.difference()}"
        entries = live(self.members[0].replica)
        self._check_removed(entries)
        for host in self.members:
            is_same = live(host.replica) == entries
            assert is_same, f"seed {self.seed}: {self.difference()}"
            for key, bodies in host.wrote.items():
                held = entries.get(key)
                found = None if held is None else held.body
                assert found in bodies, f"seed {self.seed}: {host.name} wrote {bodies}: {held}"
        for key in self.deleted:
            back = entries.get(key)
            assert back is None, f"seed {self.seed}: {key} came back: {back}"

    def _check_removed(self, entries: dict[Key, Entry]) -> None:
        """Nothing that a removed host owned is left, if anybody still knows that it was removed."""
        for host in self.hosts:
            if host.is_removed and Key(ForgottenHost.KIND, host.name, "") in entries:
                left = [key for key in entries if key.owner == host.name]
                assert all(key.kind == incarnations.KIND for key in left), f"{self.seed}: {left}"


def live(replica: Replica) -> dict[Key, Entry]:
    """What a replica holds but tombstones."""
    return {entry.key: entry for entry in replica.entries() if entry.body is not None}


def full(hosts: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(hosts) for b in range(a)]


def chain(hosts: int) -> list[tuple[int, int]]:
    return [(n, n + 1) for n in range(hosts - 1)]


def ring_with_chords(hosts: int, source: random.Random) -> list[tuple[int, int]]:
    """A ring, and as many random links that each host has about 2 log2 N."""
    links = {tuple(sorted((n, (n + 1) % hosts))) for n in range(hosts)}
    wanted = min(hosts * math.ceil(2 * math.log2(hosts)) // 2, hosts * (hosts - 1) // 2)
    while len(links) < wanted:
        links.add(tuple(sorted(source.sample(range(hosts), 2))))
    return sorted((a, b) for a, b in links)


def origins_of(replica: Replica, host: str) -> list[Origin]:
    return [origin for origin in replica.digest if origin.host == host]
