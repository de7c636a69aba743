"""How a host holds its blocks: terms, what the host's lease quorum knows, and what the quorum
decided.

A host's statements about blocks are a log that it alone writes; each change has a revision. What it
gains by a change (a gift, a larger reserve) it uses only once a majority of its lease quorum holds
that revision. So an heir, which takes its leased blocks by decision of a majority of the same
quorum, knows of everything that was ever used. Safety therefore rests on no clock. Clocks say only
when a quorum may give a host up (T1), and when the host should have noticed itself (T2).

A term ends by one decision (`ipam.ballots`): the host goes on, with a quorum that may differ by one
member, or an heir takes its leased blocks and it begins the next term with its reserve alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import NamedTuple

import msgspec

from weft.ipam.blocks import digest_of
from weft.ipam.quorum import TAKEABLE_FROM, able, is_able, is_enough
from weft.ipam.records import Records, is_forgotten, is_returning, vote_id
from weft.model.ids import HostId
from weft.model.records import (
    AddressBlocks,
    Ballot,
    Lease,
    LeaseAck,
    LeaseDecision,
    LeaseMember,
    LeaseVote,
)


class LeaseTimes(msgspec.Struct, frozen=True, kw_only=True):
    """After which times a host is given up."""

    taken_after_s: float = 120.0
    """T1. A host that a member has not reached for so long is given up by it. Shorter brings a dead
    host's space back sooner; longer spares one that is only slow to return."""
    fenced_after_s: float = 80.0
    """T2 < T1. A host that has not reached a majority for so long says that it is fenced. Nothing
    but what it says depends on it: what it may use is decided by what its quorum holds."""
    alone_s: float = 60.0
    """A host that was restored from a backup in which nobody else is waits so long for somebody to
    turn up: the backup may be older than the others."""
    retry_s: float = 3.0
    """Until a ballot that leads nowhere is tried again; each member waits so much longer than the
    one before it, lest they overtake each other without end."""

    @classmethod
    def of(cls, taken_after_s: float) -> LeaseTimes:
        """T1 as somebody set it, and T2 in the usual proportion. Hosts may differ in it."""
        return cls(taken_after_s=taken_after_s, fenced_after_s=taken_after_s * 2 / 3)


class Chain(NamedTuple):
    """Where the decisions about a host's lease have got to."""

    term: int
    members: tuple[LeaseMember, ...]
    floor: int
    """What the host had stated when this term began counts, up to this revision."""
    decision: LeaseDecision | None
    """The heir of what the host leased; None: the term goes on."""


def chain(view: Records, subject: HostId) -> Chain | None:
    """The latest term that anybody knows of; None: the host has no lease yet."""
    lease = view.get(Lease, subject)
    votes = list(view.by(LeaseVote, "subject", subject))
    known = [(vote.term, vote.members, vote.floor) for vote in votes]
    if lease is not None:
        known.append((lease.term, lease.members, lease.floor))
    if not known:
        return None
    term, members, floor = max(known, key=lambda one: (one[0], one[2]))
    decision = chosen(view, members, [vote for vote in votes if vote.term == term])
    if decision is not None and decision.heir is None:
        return Chain(term + 1, decision.members, decision.revision, None)
    return Chain(term, members, floor, decision)


def chosen(
    view: Records, members: Iterable[LeaseMember], votes: Iterable[LeaseVote]
) -> LeaseDecision | None:
    """What enough members accepted in one ballot of one term."""
    seats = tuple(members)
    accepted: dict[Ballot, dict[HostId, LeaseDecision]] = {}
    for vote in votes:
        if vote.accepted is not None and vote.decision is not None and has_seat(seats, vote):
            accepted.setdefault(vote.accepted, {})[vote.host_id] = vote.decision
    for found in accepted.values():
        if is_enough(seats, able(view, seats), found.keys()):
            return next(iter(found.values()))
    return None


def has_seat(members: Iterable[LeaseMember], vote: LeaseVote) -> bool:
    """Whether a vote is a member's, of the generation that was asked."""
    return any(m.host_id == vote.host_id and m.generation == vote.generation for m in members)


def statements(view: Records, host_id: HostId) -> list[AddressBlocks]:
    """All that a host says about blocks."""
    return list(view.by(AddressBlocks, "host_id", host_id))


def holds_all(view: Records, host_id: HostId) -> bool:
    """Whether a host's statements are here as they are at the revision of its lease."""
    lease = view.get(Lease, host_id)
    return lease is not None and digest_of(statements(view, host_id)) == lease.digest


def committed(view: Records, subject: HostId) -> int:
    """The latest revision of a host's statements that enough of its quorum hold, for good; of one
    that was given up, the last one that counts."""
    lease, found = view.get(Lease, subject), chain(view, subject)
    if lease is None or found is None:
        return 0
    floor = max(lease.floor, found.decision.revision if found.decision is not None else 0)
    holds: dict[HostId, int] = {}
    for member in lease.members:
        if is_able(view, member) and not is_returning(view, member.host_id):
            holds[member.host_id] = _held_by(view, member, lease)
    capable = able(view, lease.members)
    for revision in sorted({*holds.values()}, reverse=True):
        who = {host for host, held in holds.items() if held >= revision}
        if is_enough(lease.members, capable, who):
            return max(revision, floor)
    return floor


def _held_by(view: Records, member: LeaseMember, lease: Lease) -> int:
    if member.host_id == lease.host_id:
        return lease.revision
    voter = view.get(Lease, member.host_id)
    ack = ack_in(voter, lease.host_id) if voter is not None else None
    if ack is None or (ack.term, ack.generation) != (lease.term, lease.generation):
        return 0
    return ack.revision


def ack_in(lease: Lease, subject: HostId) -> LeaseAck | None:
    """What a host acknowledges to another."""
    return next((ack for ack in lease.acks if ack.host_id == subject), None)


def is_leased(view: Records, host_id: HostId) -> bool:
    """Whether blocks can be taken from a host, now or once what it proposed is decided: whether it
    may use its reserve alone."""
    lease = view.get(Lease, host_id)
    if lease is None:
        return False
    if len(lease.members) >= TAKEABLE_FROM:
        return True
    vote = view.get(LeaseVote, vote_id(host_id, host_id))
    if vote is None or vote.term < lease.term:
        return False
    planned = (vote.proposal, vote.decision)
    return any(one is not None and len(one.members) >= TAKEABLE_FROM for one in planned)


def heir_of(view: Records, subject: HostId) -> HostId | None:
    """The heir of what a host has lost or left; None: there is none (yet)."""
    seen: set[HostId] = set()
    heir: HostId | None = subject
    while heir is not None and heir not in seen:
        seen.add(heir)
        heir = _next_heir(view, heir)
        if heir is None or not is_forgotten(view, heir):
            return heir
    return None


def _next_heir(view: Records, subject: HostId) -> HostId | None:
    found = chain(view, subject)
    if found is None:
        return None
    if found.decision is not None:
        return found.decision.heir
    if not is_forgotten(view, subject) or able(view, found.members):
        return None
    # Nobody is left of its quorum: whoever forgot them all has the word.
    hosts = (lease.host_id for lease in view.list(Lease))
    return min((host for host in hosts if not is_forgotten(view, host)), default=None)


def is_given_up(view: Records, host_id: HostId) -> bool:
    """Whether a host's blocks have an heir by decision, the host has not come back, and all that it
    stated until then is here."""
    lease, found = view.get(Lease, host_id), chain(view, host_id)
    if lease is None or found is None or heir_of(view, host_id) is None:
        return False
    revision = found.decision.revision if found.decision is not None else 0
    return lease.revision >= max(revision, found.floor) and holds_all(view, host_id)


class Standing(NamedTuple):
    """Whether a host is linked to its lease quorum."""

    members: tuple[HostId, ...]
    reached: frozenset[HostId]
    """Members that it reaches, itself among them."""
    has_majority: bool


def standing(view: Records, me: HostId, reached: Set[HostId]) -> Standing:
    """This host's, by the hosts that it reaches now."""
    lease = view.get(Lease, me)
    if lease is None:
        return Standing((me,), frozenset({me}), has_majority=True)
    here = frozenset(m.host_id for m in lease.members if m.host_id == me or m.host_id in reached)
    enough = len(lease.members) < TAKEABLE_FROM or is_enough(
        lease.members, able(view, lease.members), here
    )
    return Standing(tuple(m.host_id for m in lease.members), here, enough)
