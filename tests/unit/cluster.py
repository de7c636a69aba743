"""Several hosts, each a Control over its own replicated records, joined by links in memory.

What happens on one is on the others after `Cluster.settle`, as far as links lead there.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from weft.config import Settings
from weft.control.context import Context
from weft.control.upkeep.healing import Healer
from weft.mesh.fake_transport import FakeNetwork
from weft.mesh.links import Links
from weft.mesh.replica import Replica
from weft.mesh.session import Pace
from weft.mesh.store import MeshStore
from weft.model.addresses import ip_address
from weft.model.ids import HostId
from weft.model.records import Host, Neighbour, Neighbours, Port
from weft.store.interface import Put
from weft.store.journal import MemoryJournal

PACE = Pace(coalesce_s=0.0)


class ClusterHost:
    """One host. Its id is its name, drawn out to 16 characters."""

    def __init__(self, network: FakeNetwork, name: str, settings: Settings | None = None) -> None:
        self.network = network
        self.name = name
        self.id = HostId((name * 16)[:16])
        self.replica = Replica(self.id, self.wall_s, random.Random(name).randbytes)
        self.store = MeshStore(self.replica, MemoryJournal())
        self.links = Links(
            self.replica, network.transport(self.id), network.clock_s, self.store.merged, PACE
        )
        self.store.on_write(self.pass_on)
        network.start(self.id, self.links)
        self.context = Context(
            store=self.store,
            settler=AtOnce(),
            settings=settings or Settings(name=name),
            host_id=self.id,
            wall_s=self.wall_s,
            random_bytes=random.Random(name).randbytes,
            host_routes=tuple,
            targets=NothingRuns(),
            space=WholeSpace,
        )
        self.control = control_alone(self.context)
        self.healer = Healer(self.context, network.clock_s)

    def wall_s(self) -> float:
        return 1_000_000.0 + self.network.now_s

    def pass_on(self) -> None:
        self.links.pass_on()
        self.links.poll()

    def ports(self) -> list[str]:
        """Addresses of all ports that it knows of."""
        return sorted(str(a) for port in self.store.list(Port) for a in port.addresses)

    async def publish(self, others: Iterable[ClusterHost]) -> None:
        """Say which hosts it has links to, as membership does."""
        links = [
            Neighbour(host_id=other.id, address=ip_address("192.0.2.1"))
            for other in sorted(others, key=lambda one: one.id)
        ]
        record = Neighbours(id=self.id, host_id=self.id, neighbours=tuple(links))
        await self.store.write([Put(Host(id=self.id, name=self.name)), Put(record)])


class Cluster:
    """All hosts, linked each to each."""

    def __init__(self, *names: str, settings: Settings | None = None) -> None:
        self.network = FakeNetwork(1)
        self.hosts = [ClusterHost(self.network, name, settings) for name in names]

    @classmethod
    async def of(cls, *names: str, settings: Settings | None = None) -> Cluster:
        """Hosts that know each other."""
        cluster = cls(*names, settings=settings)
        await cluster.link(cluster.hosts)
        return cluster

    async def link(self, *sides: list[ClusterHost]) -> None:
        """Links within each side, and none between sides; membership has noticed."""
        for one, other in combinations(self.hosts, 2):
            if any(one in side and other in side for side in sides):
                self.network.connect(one.id, other.id)
            else:
                self.network.disconnect(one.id, other.id)
        for side in sides:
            for host in side:
                await host.publish(other for other in side if other is not host)
        self.settle()

    def settle(self) -> None:
        """Let everything arrive that can."""
        for _ in range(10):
            self.network.run_until(self.network.now_s + 0.1)
            for host in self.hosts:
                host.links.poll()

    async def heal(self) -> None:
        """Let every host mend what it sees, until nothing is left to mend."""
        for _ in range(4):
            for host in self.hosts:
                await host.healer.heal()
            self.settle()
