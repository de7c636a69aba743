"""Hosts that share a subnet by the ring, over real replicas, in one process.

What moves between hosts, when, and in which pieces is the schedule's to say; so are clocks, and
whom a host believes that it reaches. `check` holds whatever the schedule does.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address, ip_network

from weft.control.upkeep.shared_space import QUIET_S
from weft.ipam.blocks import segments
from weft.ipam.draft import Gone
from weft.ipam.lease import LeaseTimes
from weft.ipam.occupancy import Occupancy
from weft.ipam.ring import Need, Ring
from weft.mesh.delta import Difference
from weft.mesh.replica import Replica
from weft.mesh.store import MeshStore
from weft.model import codec
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, SubnetId, Vni
from weft.model.records import (
    AddressBlocks,
    ForgottenHost,
    Host,
    Lease,
    Network,
    Owner,
    Port,
    Record,
    Subnet,
)
from weft.store.draft import Draft
from weft.store.journal import MemoryJournal
from weft.store.ownership import OWNED_KINDS

WALL_S = 1_800_000_000.0
TIMES = LeaseTimes(taken_after_s=20.0, fenced_after_s=12.0, alone_s=10.0, retry_s=1.0)
NETWORK = Network(id=NetworkId("net"), name="foo", vni=Vni(7))


class RingHost:
    """One host: what its disk holds, and what runs."""

    def __init__(self, world: RingWorld, number: int) -> None:
        self.world = world
        self.id = HostId(f"{number:016x}")
        self.journal = MemoryJournal()
        self.batches = 0
        self.backups: list[int] = []
        self.drift = 1.0
        self.is_up = False
        self.is_out = False
        """Forgotten, or has left."""
        self._ports = 0
        self.start(is_continued=False)
        self.write([Host(id=self.id, name=self.id[-2:])])

    def start(self, *, is_continued: bool, is_restored: bool = False) -> None:
        self.replica = Replica(
            self.id, self.wall_s, self.world.random.randbytes, self.journal.load(is_continued)
        )
        self.store = MeshStore(self.replica, MemoryJournal())
        self.ring = Ring(self.id, self.world.random.randbytes, TIMES, is_restored=is_restored)
        self._quiet: frozenset[HostId] | None = None
        """Whom it reached at the last step, if nothing has changed since a step without changes."""
        self._quiet_until_s = 0.0
        self.is_up = True

    def wall_s(self) -> float:
        return WALL_S + self.world.now_s

    def write(self, records: Iterable[Record | Gone]) -> None:
        drafts = [_draft(record) for record in records]
        if drafts:
            self.show(self.replica.write(drafts))

    def show(self, differences: list[Difference]) -> None:
        if differences:
            self._quiet = None
        self.store.merged(differences)
        batch = self.replica.drain()
        if batch:
            self.journal.keep(batch)
            self.batches += 1

    def step(self, reached: frozenset[HostId] | None = None) -> bool:
        reached = self.world.reached(self) if reached is None else reached
        now_s = self.world.now_s * self.drift
        is_quiet = self._quiet == reached and now_s < self._quiet_until_s
        changes = self.ring.step(self.store, now_s, self.wall_s(), reached, is_quiet=is_quiet)
        if not changes and not is_quiet:
            self._quiet, self._quiet_until_s = reached, now_s + QUIET_S
        self.write(changes)
        return bool(changes)

    def free(self) -> list[int]:
        subnet = self.store.get(Subnet, self.world.subnet.id)
        if subnet is None:
            return []
        inside = self.ring.may_use(self.store, subnet, self.wall_s())
        return list(Occupancy(self.store, subnet, self.wall_s()).free(inside))

    def allocate(self, number: int) -> None:
        """Start a container with an address that is free for this host."""
        self._ports += 1
        address = IPv4Address(number)
        holder = self.world.running.get(number)
        assert holder is None, f"{self.world.label}: {address} is {holder}'s, given by {self.id}"
        port_id = PortId(f"{self.id[-2:]}-{self.world.random.getrandbits(40)}")
        self.world.running[number] = (self.id, port_id)
        self.write([_port(port_id, self.id, address)])

    def release(self, port: Port) -> None:
        self.write([Gone(Port, port.id)])
        for address in port.addresses:
            if self.world.running.get(int(address), (None,))[0] == self.id:
                del self.world.running[int(address)]

    def ports(self) -> list[Port]:
        return [port for port in self.store.list(Port) if port.host_id == self.id]


class RingWorld:
    """All hosts, one subnet."""

    def __init__(self, hosts: int, seed: int, cidr: str = "10.0.0.0/27") -> None:
        self.label = f"seed {seed}"
        self.random = random.Random(seed)
        self.now_s = 0.0
        self.running: dict[int, tuple[HostId, PortId]] = {}
        """Addresses of containers that run."""
        self.cuts: set[frozenset[HostId]] = set()
        prefix = ip_network(cidr)
        self.subnet = Subnet(
            id=SubnetId("sub"),
            cidr=prefix,
            network_id=NETWORK.id,
            gateway=ip_address(int(prefix.network_address) + 1),
        )
        self.hosts: list[RingHost] = []
        first = self.join()
        first.step()
        first.write(
            [
                NETWORK,
                self.subnet,
                first.ring.created(first.store, self.subnet, first.wall_s()),
            ]
        )
        for _ in range(hosts - 1):
            self.join()

    def join(self) -> RingHost:
        host = RingHost(self, len(self.hosts) + 1)
        self.hosts.append(host)
        return host

    def live(self) -> list[RingHost]:
        return [host for host in self.hosts if host.is_up and not host.is_out]

    def is_linked(self, one: RingHost, other: RingHost) -> bool:
        pair = frozenset((one.id, other.id))
        ups = one.is_up and other.is_up and not one.is_out and not other.is_out
        return ups and pair not in self.cuts

    def reached(self, host: RingHost) -> frozenset[HostId]:
        """Over any number of links."""
        found, frontier = {host.id}, [host]
        while frontier:
            one = frontier.pop()
            for other in self.hosts:
                if other.id not in found and self.is_linked(one, other):
                    found.add(other.id)
                    frontier.append(other)
        return frozenset(found - {host.id})

    def pass_on(self, one: RingHost, other: RingHost, part: float = 1.0) -> None:
        """What `one` has and `other` lacks; part < 1: only the beginning of it arrives."""
        if not self.is_linked(one, other):
            return
        delta = one.replica.missing_for(other.replica.digest)
        if delta is None:
            if one.replica.digest.hash == other.replica.digest.hash:
                self._repair(one, other)
            return
        if part < 1.0:
            some = delta.entries[: int(len(delta.entries) * part)]
            other.show(other.replica.merge_entries(some))
            return
        done = other.replica.merge(delta)
        assert done is not None
        other.show(done)
        other.show(other.replica.settle())

    def _repair(self, one: RingHost, other: RingHost) -> None:
        """They have seen the same and hold something else: what came of a delta that never became
        whole."""
        if one.replica.checksum != other.replica.checksum:
            done = other.replica.merge(one.replica.everything())
            assert done is not None
            other.show(done)

    def spread(self) -> None:
        """Everything reaches everybody whom it can."""
        for _ in range(3):
            for one in self.live():
                for other in self.live():
                    if one is not other:
                        self.pass_on(one, other)

    def partition(self, sides: list[int]) -> None:
        self.cuts = {
            frozenset((a.id, b.id))
            for x, a in enumerate(self.hosts)
            for y, b in enumerate(self.hosts)
            if x != y and sides[x % len(sides)] != sides[y % len(sides)]
        }

    def forget(self, gone: RingHost, by: RingHost) -> None:
        """`weft forget`, of a host that does not run and never will again."""
        assert not gone.is_up
        gone.is_out = True
        by.write([ForgottenHost(id=gone.id)])
        self._stop_containers(gone)

    def restore(self, host: RingHost, batches: int) -> None:
        """An old backup of a machine that was lost, with all that ran on it."""
        del host.journal._batches[batches:]
        host.batches = batches
        self._stop_containers(host)
        host.start(is_continued=False, is_restored=True)

    def _stop_containers(self, host: RingHost) -> None:
        for number in [n for n, (owner, _) in self.running.items() if owner == host.id]:
            del self.running[number]

    def quiet(self, limit_s: float = 400.0) -> None:
        """Until nobody has anything to write, with all links up and true clocks."""
        self.cuts.clear()
        end_s, calm = self.now_s + limit_s, 0
        while calm < 3 * TIMES.taken_after_s or any(h.ring.is_returning for h in self.live()):
            assert self.now_s < end_s, f"{self.label}: no quiet"
            self.spread()
            changed = [host.step() for host in self.live()]
            calm = 0 if any(changed) else calm + 1
            self.now_s += 1.0

    def check(self) -> None:
        """When all is healed, every free address can be had from one host, whichever it is."""
        for host in self.hosts:
            if not host.is_up and not host.is_out:
                host.start(is_continued=True)
            host.drift = 1.0
            host.ring.needs.clear()
        for host in self.hosts:
            if host.is_out:  # whoever forgot it may have been forgotten before it could say so
                self.live()[0].write([ForgottenHost(id=host.id)])
        self.quiet()
        host = self.random.choice(self.live())
        taken = {
            int(a)
            for port in host.store.list(Port)
            for a in port.addresses
            if not self._is_out(port)
        }
        assert set(self.running) <= taken, self.label
        if self._is_lost(host):
            return
        free = set(range(*self._bounds())) - taken
        while free:
            number = self.wait_for(host)
            assert number is not None, f"{self.label}: {len(free)} free, none to be had"
            for number in host.free():
                host.allocate(number)
                free.discard(number)
        assert self.wait_for(host, 3.0) is None

    def _is_lost(self, host: RingHost) -> bool:
        """Whether the subnet, or what its owner said of it, went with the only one who knew."""
        if host.store.get(Subnet, self.subnet.id) is None:
            return True
        owners = {s.owner for s in segments(host.store.list(AddressBlocks))}
        return any(host.store.get(Lease, owner) is None for owner in owners)

    def _is_out(self, port: Port) -> bool:
        return any(host.is_out and host.id == port.host_id for host in self.hosts)

    def _bounds(self) -> tuple[int, int]:
        cidr = self.subnet.cidr
        return int(cidr.network_address) + 2, int(cidr.broadcast_address)

    def wait_for(self, host: RingHost, limit_s: float = 60.0) -> int | None:
        """An address for a container that waits for one."""
        need = Need(self.subnet.id, None)
        host.ring.needs.append(need)
        try:
            end_s = self.now_s + limit_s
            while self.now_s < end_s:
                free = host.free()
                if free:
                    return free[0]
                for one in self.live():
                    one.step()
                self.spread()
                self.now_s += 0.25
            return None
        finally:
            host.ring.needs.remove(need)


def _draft(record: Record | Gone) -> Draft:
    kind = record.kind.KIND if isinstance(record, Gone) else record.KIND
    body = None if isinstance(record, Gone) else codec.encode(record)
    return Draft(kind, record.id, body, kind in OWNED_KINDS)


def _port(id: PortId, host_id: HostId, address: IPv4Address) -> Port:
    return Port(
        id=id,
        network_id=NETWORK.id,
        host_id=host_id,
        mac=MacAddress("02:00:00:00:00:01"),
        slot=0,
        addresses=(address,),
        owner=Owner(frontend="cli"),
    )
