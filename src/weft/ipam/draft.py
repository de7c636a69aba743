"""What one host writes in one step: its statements, its lease, its votes, its requests.

Everything of a step is one write of the store, so nobody ever sees a gift without the revision that
it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from weft.ipam.blocks import Segment, as_blocks, digest_of, segments, stated
from weft.ipam.lease import committed, holds_all, statements
from weft.ipam.occupancy import Occupancy
from weft.ipam.records import Records, blocks_id, is_forgotten
from weft.model.ids import HostId, SubnetId
from weft.model.records import (
    AddressBlocks,
    BlockRequest,
    Host,
    Lease,
    LeaseMember,
    LeaseVote,
    Record,
    Subnet,
)


class Gone(NamedTuple):
    """A record to delete."""

    kind: type[Record]
    id: str


class Draft:
    """Changes of this host's records, over those that are there."""

    def __init__(self, view: Records, lease: Lease, wall_s: float) -> None:
        self.view = view
        self.me = lease.host_id
        self.lease = lease
        """As it shall be, but for revision and digest."""
        self._stored = view.get(Lease, lease.id)
        self._own: dict[SubnetId, list[Segment]] = {}
        self._votes: dict[str, LeaseVote] = {}
        self._requests: dict[str, BlockRequest | None] = {}
        self._gone: list[Gone] = []
        self._puts: list[Record] = []
        self._wall_s = wall_s
        self._committed: dict[HostId, int] = {}
        self._holds_all: dict[HostId, bool] = {}

    @property
    def since(self) -> int:
        """The revision that this write will have if it changes a statement."""
        return self.lease.revision + 1

    @property
    def revision(self) -> int:
        """The revision that this write will have, as far as it is drafted."""
        return self._sealed(self._changed_statements()).revision

    def own(self, subnet: Subnet) -> list[Segment]:
        """What this host states about a subnet."""
        if subnet.id in self._own:
            return self._own[subnet.id]
        return stated(self.view.get(AddressBlocks, blocks_id(subnet.id, self.me)))

    def state(self, subnet: Subnet, found: Iterable[Segment]) -> None:
        """State this from now on."""
        self._own[subnet.id] = sorted(found)

    def drop(self, subnet_id: SubnetId) -> None:
        """Say nothing about a subnet any more."""
        self._own[subnet_id] = []

    def segments(self, subnet: Subnet) -> list[Segment]:
        """Which host owns what, with the changes of this draft."""
        records = list(self.view.by(AddressBlocks, "subnet_id", subnet.id))
        if subnet.id in self._own:
            records = [record for record in records if record.host_id != self.me]
            records.append(self.record(subnet, self._own[subnet.id]))
        return segments(records)

    def occupancy(self, subnet: Subnet) -> Occupancy:
        """Which record holds which address."""
        return Occupancy(self.view, subnet, self._wall_s)

    def vote(self, vote: LeaseVote) -> None:
        """Vote so from now on."""
        self._votes[vote.id] = vote

    def request(self, request: BlockRequest) -> None:
        """Ask for this, instead of what was asked for in this subnet."""
        self._requests[request.id] = request

    def withdraw(self, id: str) -> None:
        """Ask for nothing any more."""
        self._requests[id] = None

    def put(self, record: Record) -> None:
        """Write another record of this host's."""
        self._puts.append(record)

    def unput(self) -> None:
        """Write none of the other records."""
        self._puts.clear()

    def remove(self, kind: type[Record], id: str) -> None:
        """Delete another record of this host's."""
        self._gone.append(Gone(kind, id))

    def committed(self, host: HostId) -> int:
        """See `lease.committed`."""
        if host not in self._committed:
            self._committed[host] = committed(self.view, host)
        return self._committed[host]

    def holds_all(self, host: HostId) -> bool:
        """See `lease.holds_all`."""
        if host not in self._holds_all:
            self._holds_all[host] = holds_all(self.view, host)
        return self._holds_all[host]

    def hosts(self) -> list[HostId]:
        """Other hosts of the cluster."""
        known = {host.id for host in self.view.list(Host)}
        known.update(lease.id for lease in self.view.list(Lease))
        return sorted(h for h in known if h != self.me and not is_forgotten(self.view, h))

    def changes(self) -> Sequence[Record | Gone]:
        """What to write; empty: nothing has changed."""
        done: list[Record | Gone] = []
        for id, request in self._requests.items():
            held = self.view.get(BlockRequest, id)
            if request is None and held is not None:
                done.append(Gone(BlockRequest, id))
            elif request is not None and request != held:
                done.append(request)
        records = self._changed_statements()
        done += records
        lease = self._sealed(records)
        if lease != self._stored:
            done.append(lease)
        votes = self._votes.values()
        done += [vote for vote in votes if vote != self.view.get(LeaseVote, vote.id)]
        done += [r for r in self._puts if r != self.view.get(type(r), r.id)]
        done += [gone for gone in self._gone if self.view.get(gone.kind, gone.id) is not None]
        return done

    def _changed_statements(self) -> list[Record | Gone]:
        done: list[Record | Gone] = []
        for subnet_id, found in self._own.items():
            id = blocks_id(subnet_id, self.me)
            held = self.view.get(AddressBlocks, id)
            subnet = self.view.get(Subnet, subnet_id)
            if subnet is None or not found:
                done += [Gone(AddressBlocks, id)] if held is not None else []
                continue
            record = self.record(subnet, found)
            if record != held:
                done.append(record)
        return done

    def _sealed(self, records: Iterable[Record | Gone]) -> Lease:
        """The lease with revision and digest of the statements as they will be."""
        mine = {record.id: record for record in statements(self.view, self.me)}
        for record in records:
            if isinstance(record, AddressBlocks):
                mine[record.id] = record
            elif isinstance(record, Gone):
                mine.pop(record.id, None)
        digest = digest_of(mine.values())
        if digest == self.lease.digest:
            return self.lease
        return replace(self.lease, revision=self.lease.revision + 1, digest=digest)

    def record(self, subnet: Subnet, found: Iterable[Segment]) -> AddressBlocks:
        """This host's statement about a subnet."""
        return AddressBlocks(
            id=blocks_id(subnet.id, self.me),
            subnet_id=subnet.id,
            host_id=self.me,
            blocks=as_blocks(found, subnet.cidr),
        )


def blank_lease(me: HostId, generation: int) -> Lease:
    """The lease of a host that begins: a quorum of itself alone."""
    return Lease(
        id=me,
        host_id=me,
        generation=generation,
        term=1,
        members=(LeaseMember(host_id=me, generation=generation),),
        revision=0,
        digest=digest_of(()),
    )
