"""The block side of a step: take up what was given, give what others ask for, keep a reserve.

A host allocates from its reserve, and while nothing could ever be taken from it (`is_leased`) from
all that it owns. Blocks become reserve, and reserve becomes leased again, by a statement.
"""

from __future__ import annotations

from collections.abc import Iterable

from weft.ipam.blocks import FIRST_EPOCH, Segment, epoch_of_takeover, replace_in, without
from weft.ipam.draft import Draft
from weft.ipam.intervals import Interval
from weft.ipam.lease import heir_of, is_given_up, is_leased
from weft.ipam.occupancy import Occupancy, chunk
from weft.ipam.records import is_forgotten, is_returning, request_id
from weft.model.ids import HostId
from weft.model.records import AddressBlocks, BlockRequest, Lease, LeaseDecision, Subnet


def usable(draft: Draft, subnet: Subnet) -> list[Segment]:
    """What this host may allocate from now."""
    if is_returning(draft.view, draft.me):
        return []
    known, leased = draft.committed(draft.me), is_leased(draft.view, draft.me)
    return [
        segment
        for segment in owned(draft, subnet)
        if segment.since <= known and (segment.is_reserve or not leased)
    ]


def owned(draft: Draft, subnet: Subnet) -> list[Segment]:
    """What this host owns and says so itself."""
    return [s for s in draft.segments(subnet) if s.owner == draft.me == s.writer]


def intervals(found: Iterable[Segment]) -> list[Interval]:
    """Without what holds for them."""
    return [segment.interval for segment in found]


# What comes.


def take_up(draft: Draft, subnet: Subnet, *, is_needed: bool) -> bool:
    """Say of what others have given to this host that it is here. is_needed: somebody waits."""
    taken = [
        segment
        for segment in draft.segments(subnet)
        if segment.owner == draft.me != segment.writer
        and segment.since <= draft.committed(segment.writer)
        and draft.holds_all(segment.writer)
    ]
    for segment in taken:
        _gain(draft, subnet, segment, segment.epoch, is_reserve=is_needed)
    if taken:
        draft.withdraw(request_id(subnet.id, draft.me))
    return bool(taken)


def take_estates(draft: Draft) -> bool:
    """Take blocks that other hosts lost or left and that were decided to be this host's."""
    is_any = False
    for lease in tuple(draft.view.list(Lease)):
        host = lease.host_id
        if host == draft.me or heir_of(draft.view, host) != draft.me:
            continue
        if not is_given_up(draft.view, host):
            continue
        for record in tuple(draft.view.by(AddressBlocks, "host_id", host)):
            subnet = draft.view.get(Subnet, record.subnet_id)
            if subnet is not None:
                is_any |= _take_estate(draft, subnet, host)
    return is_any


def _take_estate(draft: Draft, subnet: Subnet, host: HostId) -> bool:
    """What the host owned, and what it gave away too late for its quorum to know of it."""
    forgotten, known = is_forgotten(draft.view, host), draft.committed(host)

    def is_left(segment: Segment) -> bool:
        if segment.owner == host:
            return forgotten or not segment.is_reserve
        is_late = segment.since > known
        return is_late or (forgotten and _has_left(draft, segment.owner))

    taken = [s for s in draft.segments(subnet) if s.writer == host and is_left(s)]
    for segment in taken:
        _gain(draft, subnet, segment, epoch_of_takeover(segment.epoch), is_reserve=False)
    return bool(taken)


def reclaim(draft: Draft, subnet: Subnet) -> bool:
    """Take back what was given to hosts that were forgotten before they took it up."""
    found = [
        segment
        for segment in draft.segments(subnet)
        if segment.writer == draft.me != segment.owner and _has_left(draft, segment.owner)
    ]
    for segment in found:
        _gain(draft, subnet, segment, epoch_of_takeover(segment.epoch), is_reserve=False)
    return bool(found)


def _has_left(draft: Draft, host: HostId) -> bool:
    """Whether a host was forgotten, and all that it stated is known."""
    if not is_forgotten(draft.view, host):
        return False
    return draft.view.get(Lease, host) is None or is_given_up(draft.view, host)


def count_again(draft: Draft) -> None:
    """What this host stated before it was restored from a backup may come to light late, with a
    revision that it has forgotten; it counts from now on."""
    for record in tuple(draft.view.by(AddressBlocks, "host_id", draft.me)):
        subnet = draft.view.get(Subnet, record.subnet_id)
        if subnet is not None and any(b.since > draft.lease.revision for b in record.blocks):
            late = [s._replace(since=min(s.since, draft.since)) for s in draft.own(subnet)]
            draft.state(subnet, late)


def _gain(draft: Draft, subnet: Subnet, segment: Segment, epoch: int, *, is_reserve: bool) -> None:
    mine = without(draft.own(subnet), segment.first, segment.last)
    gained = segment._replace(
        epoch=epoch, owner=draft.me, writer=draft.me, since=draft.since, is_reserve=is_reserve
    )
    draft.state(subnet, [*mine, gained])


def take_unclaimed(draft: Draft) -> None:
    """A host that is alone takes all of the space of subnets that nobody says anything about: they
    are older than blocks."""
    if draft.hosts():
        return
    for subnet in draft.view.list(Subnet):
        if not tuple(draft.view.by(AddressBlocks, "subnet_id", subnet.id)):
            draft.state(subnet, whole(subnet, draft.me))


def whole(subnet: Subnet, me: HostId) -> list[Segment]:
    """All of a subnet that nobody had before. What must never be given is in it like the rest:
    whether an address may be given is not a question of whose it is."""
    first, last = int(subnet.cidr.network_address), int(subnet.cidr.broadcast_address)
    return [Segment(first, last, FIRST_EPOCH, me, is_reserve=False, since=0, writer=me)]


def with_reserve(found: list[Segment], subnet: Subnet, occupancy: Occupancy) -> list[Segment]:
    """The first free addresses as reserve: for a host that is leased from the start."""
    left = chunk(subnet)
    for first, last in occupancy.assignable:
        end = min(last, first + left - 1)
        found = replace_in(found, first, end, is_reserve=True)
        left -= end - first + 1
        if left <= 0:
            break
    return found


# What goes.


def give(draft: Draft, request: BlockRequest) -> bool:
    """Give what a host asks for, if this one has it to spare."""
    subnet = draft.view.get(Subnet, request.subnet_id)
    if subnet is None or is_forgotten(draft.view, request.host_id):
        return False
    if any(s.owner == request.host_id and s.writer == draft.me for s in draft.segments(subnet)):
        return False  # given, and not taken up yet
    run = _run_for(draft, subnet, request)
    if run is None:
        return False
    for segment in owned(draft, subnet):
        first, last = max(run[0], segment.first), min(run[1], segment.last)
        if first <= last:
            _give_away(draft, subnet, (first, last), segment.epoch + 1, request.host_id)
    return True


def _run_for(draft: Draft, subnet: Subnet, request: BlockRequest) -> Interval | None:
    known = draft.committed(draft.me)
    occupancy = draft.occupancy(subnet)
    mine = [segment for segment in owned(draft, subnet) if segment.since <= known]
    if request.address is not None:
        number = int(request.address)
        is_here = any(segment.first <= number <= segment.last for segment in mine)
        is_free = not occupancy.is_taken(number) and request.address != subnet.gateway
        return (number, number) if is_here and is_free else None
    size = chunk(subnet)
    spare = intervals(segment for segment in mine if not segment.is_reserve)
    count = occupancy.count_free(spare, 4 * size)
    if not request.is_urgent:
        return occupancy.run(spare, size, resting=False) if count >= 2 * size else None
    wanted = max(1, min(size, max(request.count, count // 2)))
    return (
        occupancy.run(spare, wanted, resting=False)
        or occupancy.run(intervals(mine), 1, resting=False)
        or occupancy.run(intervals(mine), 1, resting=True)
    )


def _give_away(draft: Draft, subnet: Subnet, run: Interval, epoch: int, owner: HostId) -> None:
    changed = replace_in(
        draft.own(subnet), *run, epoch=epoch, owner=owner, is_reserve=False, since=draft.since
    )
    draft.state(subnet, changed)


def hand_over(draft: Draft, heirs: list[HostId]) -> bool:
    """Give all that this host owns and nobody of it uses to others, in turn: it leaves."""
    is_any = False
    for index, record in enumerate(tuple(draft.view.by(AddressBlocks, "host_id", draft.me))):
        subnet = draft.view.get(Subnet, record.subnet_id)
        for segment in owned(draft, subnet) if subnet is not None else ():
            assert subnet is not None
            heir = heirs[index % len(heirs)]
            _give_away(draft, subnet, segment.interval, segment.epoch + 1, heir)
            is_any = True
    return is_any


def concede(draft: Draft, decision: LeaseDecision) -> None:
    """This host was given up: it keeps its reserve and what it gave, as its quorum knew of them,
    and says of all else that it is the heir's."""
    heir = decision.heir
    assert heir is not None
    for record in tuple(draft.view.by(AddressBlocks, "host_id", draft.me)):
        subnet = draft.view.get(Subnet, record.subnet_id)
        if subnet is None:
            continue
        changed = []
        for segment in draft.own(subnet):
            is_mine = segment.owner == draft.me
            if segment.since <= decision.revision and (segment.is_reserve or not is_mine):
                changed.append(segment)
                continue
            changed.append(
                segment._replace(
                    epoch=epoch_of_takeover(segment.epoch),
                    owner=heir,
                    is_reserve=False,
                    since=draft.since,
                )
            )
        draft.state(subnet, changed)


# What stays.


def keep_in_reserve(draft: Draft) -> None:
    """Before blocks can be taken from this host for the first time: what is in use becomes
    reserve, and a little more."""
    for record in tuple(draft.view.by(AddressBlocks, "host_id", draft.me)):
        subnet = draft.view.get(Subnet, record.subnet_id)
        if subnet is None:
            continue
        occupancy = draft.occupancy(subnet)
        mine = draft.own(subnet)
        numbers = list(occupancy.held_by(draft.me))
        inside = [s.interval for s in owned(draft, subnet)]
        left = chunk(subnet)
        for number in occupancy.free(inside):
            numbers.append(number)
            left -= 1
            if not left:
                break
        for number in numbers:
            mine = _reserved_at(mine, number, draft.me)
        draft.state(subnet, mine)


def _reserved_at(mine: list[Segment], number: int, me: HostId) -> list[Segment]:
    at = next((s for s in mine if s.first <= number <= s.last and s.owner == me), None)
    if at is None or at.is_reserve:
        return mine
    return replace_in(mine, number, number, is_reserve=True, epoch=at.epoch + 1)


def top_up(draft: Draft, subnet: Subnet, wanted: int) -> bool:
    """Make so many free addresses of what is leased reserve."""
    leased = [segment for segment in owned(draft, subnet) if not segment.is_reserve]
    mine, is_any = draft.own(subnet), False
    for number in draft.occupancy(subnet).free(intervals(leased)):
        mine = replace_in(mine, number, number, is_reserve=True, since=draft.since)
        wanted -= 1
        is_any = True
        if wanted <= 0:
            break
    if is_any:
        draft.state(subnet, mine)
    return is_any


def reserve_one(draft: Draft, subnet: Subnet, number: int) -> bool:
    """Make one address of what is leased reserve."""
    leased = (s for s in owned(draft, subnet) if not s.is_reserve)
    if not any(segment.first <= number <= segment.last for segment in leased):
        return False
    mine = replace_in(draft.own(subnet), number, number, is_reserve=True, since=draft.since)
    draft.state(subnet, mine)
    return True


def owners(draft: Draft, subnet: Subnet, reached: frozenset[HostId]) -> list[HostId]:
    """Hosts that are reached and could give, those with the most addresses first."""
    space: dict[HostId, list[Interval]] = {}
    for segment in draft.segments(subnet):
        if segment.is_taken_up and segment.owner in reached:
            space.setdefault(segment.owner, []).append(segment.interval)
    occupancy = draft.occupancy(subnet)
    able = [host for host, found in space.items() if occupancy.has_free(found)]
    return sorted(able, key=lambda host: (-_size(space[host]), host))


def _size(found: Iterable[Interval]) -> int:
    return sum(last - first + 1 for first, last in found)
