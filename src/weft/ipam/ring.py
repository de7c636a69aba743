"""One host's part in sharing addresses: from the records that are there to what it writes next.

A step is called whenever something changed and from time to time, and writes nothing once all is as
it should be. It is the only writer of this host's leases, votes and requests, and of its statements
but for new subnets; no address may be allocated while a step is taken and written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from weft.ipam.blocks import digest_of
from weft.ipam.deciding import Deciding, Sight
from weft.ipam.draft import Draft, Gone, blank_lease
from weft.ipam.intervals import Interval
from weft.ipam.lease import LeaseTimes, Standing, ack_in, chain, is_leased, standing, statements
from weft.ipam.occupancy import chunk
from weft.ipam.quorum import able
from weft.ipam.records import Records, is_forgotten, is_returning, request_id
from weft.ipam.sharing import (
    count_again,
    give,
    hand_over,
    intervals,
    owned,
    owners,
    reclaim,
    reserve_one,
    take_estates,
    take_unclaimed,
    take_up,
    top_up,
    usable,
    whole,
    with_reserve,
)
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, RandomBytes, SubnetId
from weft.model.records import (
    AddressBlocks,
    BlockRequest,
    Lease,
    LeaseReturn,
    Record,
    Subnet,
)

ASK_AGAIN_S = 1.0
"""An owner that has not given for so long is passed over for another, if somebody waits."""
AHEAD_SUBNETS = 256
"""In a cluster with more subnets than these, hosts ask only for those in which they have ports."""
ORPHANED_S = 60.0
"""Statements about a subnet that is gone for so long are removed."""


class Need(msgspec.Struct):
    """Somebody waits for an address."""

    subnet_id: SubnetId
    address: IPAddress | None
    """None: any."""
    asked: dict[HostId, float] = msgspec.field(default_factory=dict)
    """The hosts that were asked, and since when."""


class Ring:
    """What one host has to remember between steps; all that matters is in the records."""

    def __init__(
        self,
        me: HostId,
        random_bytes: RandomBytes,
        times: LeaseTimes = LeaseTimes(),  # noqa: B008
        *,
        is_restored: bool = False,
    ) -> None:
        """is_restored: records may be older than what this host wrote last."""
        self.me = me
        self.times = times
        self.needs: list[Need] = []
        self.is_leaving = False
        """Give everything to others."""
        self.fenced_since_s: float | None = None
        """By the monotonic clock, since when no majority of the quorum was reached for T2."""
        self._random_bytes = random_bytes
        self._is_restored = is_restored
        self._generation: int | None = None
        """The generation to go on under. It is not taken from the records, for they may be of an
        earlier time, and so may the answers of others in them."""
        self._began_s: float | None = None
        self._deciding = Deciding(times)
        self._lost_at_s: dict[HostId, float] = {}
        self._has_others = False
        self._alone_at_s: float | None = None
        self._orphaned_at_s: dict[str, float] = {}

    @property
    def is_busy(self) -> bool:
        """Whether to call again soon even if nothing changes."""
        return bool(self.needs) or self._deciding.is_busy or self._is_restored

    @property
    def has_others(self) -> bool:
        """Whether there was another host when the last step was taken."""
        return self._has_others

    @property
    def is_returning(self) -> bool:
        """Whether this host was restored from a backup, and does not know yet what it forgot."""
        return self._is_restored

    def step(
        self,
        view: Records,
        now_s: float,
        wall_s: float,
        reached: frozenset[HostId],
        *,
        is_quiet: bool = False,
    ) -> Sequence[Record | Gone]:
        """What to write, in one write.

        now_s: by a clock that only goes forward. reached: hosts to which there is a way. is_quiet:
        neither has it changed nor any record since a step that found nothing to write, so subnets
        are not looked at again; what time alone brings about is.
        """
        if self._began_s is None:
            self._began_s = now_s
            self._is_restored |= is_returning(view, self.me)  # in an earlier run, and not done
        draft = Draft(view, view.get(Lease, self.me) or self._first_lease(), wall_s)
        sight = self._look(draft, now_s, reached)
        self._watch_quorum(view, now_s, reached)
        if self._is_restored and not self._has_returned(draft, sight):
            return [change for change in draft.changes() if isinstance(change, LeaseReturn)]
        draft.remove(LeaseReturn, self.me)
        self._deciding.step(draft, sight)
        is_asked = bool(self.needs) or self.is_leaving or any(view.list(BlockRequest))
        if is_quiet and not is_asked:
            self._drop_orphans(draft, sight)
        else:
            self._share(draft, sight)
        return draft.changes()

    def may_use(self, view: Records, subnet: Subnet, wall_s: float) -> list[Interval]:
        """What this host may allocate from now, before it looks at what is taken."""
        lease = view.get(Lease, self.me)
        if lease is None or self._is_restored:
            return []
        return intervals(usable(Draft(view, lease, wall_s), subnet))

    def created(self, view: Records, subnet: Subnet, wall_s: float) -> AddressBlocks:
        """The statement about a subnet that this host makes, to be written along with it."""
        draft = Draft(view, view.get(Lease, self.me) or self._first_lease(), wall_s)
        found = whole(subnet, self.me)
        if is_leased(view, self.me):
            found = with_reserve(found, subnet, draft.occupancy(subnet))
        return draft.record(subnet, found)

    def standing(self, view: Records, reached: frozenset[HostId]) -> Standing:
        """Whether this host is linked to its lease quorum."""
        return standing(view, self.me, reached)

    def is_holding(self, view: Records, subnet: Subnet, wall_s: float) -> bool:
        """Whether any address is still this host's by what is stated, or was given by it and not
        taken up yet."""
        lease = view.get(Lease, self.me)
        if lease is None:
            return False
        found = Draft(view, lease, wall_s).segments(subnet)
        return any(self.me in (segment.owner, segment.writer) for segment in found)

    def lost_since_s(self, host: HostId) -> float | None:
        """Since when a host is not reached, by the monotonic clock; None: it is, or is unknown."""
        return self._lost_at_s.get(host)

    # Inside.

    def _first_lease(self) -> Lease:
        return blank_lease(self.me, int.from_bytes(self._random_bytes(6), "big"))

    def _look(self, draft: Draft, now_s: float, reached: frozenset[HostId]) -> Sight:
        known = set(draft.hosts())
        self._has_others = bool(known)
        for host in known - reached:
            self._lost_at_s.setdefault(host, now_s)
        for host in tuple(self._lost_at_s):
            if host in reached or host not in known:
                del self._lost_at_s[host]
        return Sight(now_s, reached & known, self._lost_at_s)

    def _watch_quorum(self, view: Records, now_s: float, reached: frozenset[HostId]) -> None:
        if self.standing(view, reached).has_majority:
            self._alone_at_s = self.fenced_since_s = None
            return
        self._alone_at_s = now_s if self._alone_at_s is None else self._alone_at_s
        fenced_at_s = self._alone_at_s + self.times.fenced_after_s
        self.fenced_since_s = fenced_at_s if now_s >= fenced_at_s else None

    def _has_returned(self, draft: Draft, sight: Sight) -> bool:
        """Ask the quorum what this host has forgotten; True once all that it said is here."""
        view, lease = draft.view, draft.view.get(Lease, self.me)
        if lease is None:
            if self._waits(sight):
                return False
            self._is_restored = False
            return True
        if self._generation is None:
            self._generation = int.from_bytes(self._random_bytes(6), "big")
        draft.put(LeaseReturn(id=self.me, host_id=self.me, generation=self._generation))
        if not self._has_heard(view, lease, self._generation, draft.hosts(), sight):
            return False
        draft.lease = replace(lease, generation=self._generation)
        draft.unput()
        self._is_restored = False
        return True

    def _has_heard(
        self, view: Records, lease: Lease, generation: int, hosts: Iterable[HostId], sight: Sight
    ) -> bool:
        """hosts: all others that are known, for a backup of before there was a quorum."""
        found = chain(view, self.me)
        assert found is not None
        others = (able(view, found.members) - {self.me}) or frozenset(hosts)
        known = digest_of(statements(view, self.me))
        if not others:
            return not self._waits(sight)
        for host in others:
            voter = view.get(Lease, host)
            ack = ack_in(voter, self.me) if voter is not None else None
            if ack is None or ack.generation != generation:
                return False
            if ack.revision > lease.revision or ack.term > found.term or ack.digest != known:
                return False
        return True

    def _waits(self, sight: Sight) -> bool:
        assert self._began_s is not None
        return sight.now_s - self._began_s < self.times.alone_s

    def _share(self, draft: Draft, sight: Sight) -> None:
        count_again(draft)
        take_unclaimed(draft)
        take_estates(draft)
        self._drop_orphans(draft, sight)
        if self.is_leaving:
            heirs = sorted(sight.reached)
            if heirs:
                hand_over(draft, heirs)
            return
        for request in draft.view.by(BlockRequest, "owner", self.me):
            give(draft, request)
        for subnet in self._concerned(draft):
            needed = any(need.subnet_id == subnet.id for need in self.needs)
            is_low = self._is_low(draft, subnet)
            take_up(draft, subnet, is_needed=needed or is_low)
            reclaim(draft, subnet)
            self._keep_reserve(draft, subnet)
            self._ask_ahead(draft, subnet, sight)
        for need in self.needs:
            self._provide(draft, need, sight)

    def _concerned(self, draft: Draft) -> list[Subnet]:
        """Subnets in which this host has blocks, or wants some."""
        subnets = list(draft.view.list(Subnet))
        if len(subnets) <= AHEAD_SUBNETS:
            return subnets
        wanted = {need.subnet_id for need in self.needs}
        wanted |= {r.subnet_id for r in draft.view.by(AddressBlocks, "host_id", self.me)}
        return [subnet for subnet in subnets if subnet.id in wanted]

    def _drop_orphans(self, draft: Draft, sight: Sight) -> None:
        for record in tuple(draft.view.by(AddressBlocks, "host_id", self.me)):
            if draft.view.get(Subnet, record.subnet_id) is not None:
                self._orphaned_at_s.pop(record.id, None)
                continue
            since_s = self._orphaned_at_s.setdefault(record.id, sight.now_s)
            if sight.now_s - since_s >= ORPHANED_S:
                draft.drop(record.subnet_id)
        for request in draft.view.list(BlockRequest):
            is_mine = request.host_id == self.me
            if is_mine and draft.view.get(Subnet, request.subnet_id) is None:
                draft.withdraw(request.id)

    def _is_low(self, draft: Draft, subnet: Subnet) -> bool:
        """Whether what may be used, now or once the quorum knows of it, is nearly used up."""
        leased = is_leased(draft.view, self.me)
        mine = [s for s in owned(draft, subnet) if s.is_reserve or not leased]
        low = max(1, chunk(subnet) // 2)
        return draft.occupancy(subnet).count_free(intervals(mine), low) < low

    def _keep_reserve(self, draft: Draft, subnet: Subnet) -> None:
        if is_leased(draft.view, self.me) and self._is_low(draft, subnet):
            top_up(draft, subnet, chunk(subnet))

    def _ask_ahead(self, draft: Draft, subnet: Subnet, sight: Sight) -> None:
        id = request_id(subnet.id, self.me)
        held = draft.view.get(BlockRequest, id)
        if any(need.subnet_id == subnet.id for need in self.needs):
            return
        if not self._is_low(draft, subnet) or is_forgotten(draft.view, self.me):
            if held is not None:
                draft.withdraw(id)
            return
        if held is not None and held.owner in sight.reached and not held.is_urgent:
            return
        for owner in owners(draft, subnet, sight.reached):
            size = chunk(subnet)
            theirs = [s for s in draft.segments(subnet) if s.owner == owner and not s.is_reserve]
            occupancy = draft.occupancy(subnet)
            if occupancy.count_free(intervals(theirs), 2 * size) >= 2 * size:
                draft.request(self._request(subnet, owner, size, None, is_urgent=False))
                return
        if held is not None:
            draft.withdraw(id)

    def _provide(self, draft: Draft, need: Need, sight: Sight) -> None:
        """Get the addresses that a caller waits for: from what is leased here, or from other
        hosts."""
        subnet = draft.view.get(Subnet, need.subnet_id)
        if subnet is None:
            return
        if need.address is not None:
            self._provide_address(draft, subnet, need.address, need, sight)
            return
        if draft.occupancy(subnet).has_free(intervals(owned(draft, subnet))):
            if is_leased(draft.view, self.me):
                top_up(draft, subnet, chunk(subnet))
            return
        able_to = owners(draft, subnet, sight.reached)
        owner = self._next_owner(need, able_to, sight.now_s)
        if owner is not None:
            draft.request(self._request(subnet, owner, 1, None, is_urgent=True))

    def _provide_address(
        self, draft: Draft, subnet: Subnet, address: IPAddress, need: Need, sight: Sight
    ) -> None:
        number = int(address)
        holder = next((s for s in draft.segments(subnet) if s.first <= number <= s.last), None)
        if holder is None:
            return
        if holder.owner == self.me:
            if is_leased(draft.view, self.me):
                reserve_one(draft, subnet, number)
            return
        if holder.owner in sight.reached:
            draft.request(self._request(subnet, holder.owner, 1, address, is_urgent=True))

    def _next_owner(self, need: Need, able_to: list[HostId], now_s: float) -> HostId | None:
        """The host that was asked last, unless its answer took too long and there is another host
        to ask."""
        for owner in able_to:
            asked_s = need.asked.get(owner)
            if asked_s is None or now_s - asked_s < ASK_AGAIN_S:
                need.asked.setdefault(owner, now_s)
                return owner
        need.asked.clear()
        return able_to[0] if able_to else None

    def _request(
        self,
        subnet: Subnet,
        owner: HostId,
        count: int,
        address: IPAddress | None,
        *,
        is_urgent: bool,
    ) -> BlockRequest:
        return BlockRequest(
            id=request_id(subnet.id, self.me),
            subnet_id=subnet.id,
            host_id=self.me,
            owner=owner,
            count=count,
            address=address,
            is_urgent=is_urgent,
        )
