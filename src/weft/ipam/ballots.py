"""How a lease quorum decides, once and for all, how a host's term ends: single-decree Paxos.

(Lamport, "Paxos Made Simple", 2001.) Every member writes one record about each host whose quorum it
is in; a ballot is such a record with `proposed`, its promises are those of others with the same
`promised`, and what a majority accepted in one ballot is decided, for good and for everybody. A
member whose memory is lost has another generation, and its votes count no more.

Two kinds of ballot: the host's own, to go on with another quorum, which everybody takes part in;
and anybody else's, to give the host up, which a member takes part in only once it has not reached
the host for T1, or when that is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from weft.ipam.lease import Chain, has_seat
from weft.ipam.quorum import able, is_enough
from weft.ipam.records import Records, vote_id
from weft.model.ids import HostId
from weft.model.records import Ballot, LeaseDecision, LeaseVote


def own_vote(
    view: Records, subject: HostId, voter: HostId, generation: int, found: Chain
) -> LeaseVote:
    """A host's record about the present term: what it wrote, or a blank one."""
    held = view.get(LeaseVote, vote_id(subject, voter))
    if held is not None and held.term == found.term and held.generation == generation:
        return held
    return LeaseVote(
        id=vote_id(subject, voter),
        host_id=voter,
        subject=subject,
        generation=generation,
        term=found.term,
        members=found.members,
        floor=found.floor,
    )


def votes_of(view: Records, subject: HostId, found: Chain) -> list[LeaseVote]:
    """All records about the present term."""
    return [v for v in view.by(LeaseVote, "subject", subject) if v.term == found.term]


def answered(
    mine: LeaseVote, others: Sequence[LeaseVote], revision: int, *, may_give_up: bool
) -> LeaseVote:
    """A member's record after it has taken part in the greatest ballot that it may.

    revision: of the subject's statements, as the member knows them.
    """
    for other in sorted(others, key=lambda vote: vote.host_id):
        ballot = other.proposed
        is_own = other.host_id == mine.subject
        if ballot is None or not (is_own or (may_give_up and has_seat(mine.members, other))):
            continue
        if mine.promised is None or ballot > mine.promised:
            mine = replace(
                mine,
                promised=ballot,
                revision=max(mine.revision, revision),
                is_released=mine.is_released or not is_own,
            )
        is_new = mine.accepted is None or mine.accepted < ballot
        if ballot == mine.promised and is_new and _may_accept(other.proposal, revision):
            mine = replace(mine, accepted=ballot, decision=other.proposal)
    return mine


def _may_accept(proposal: LeaseDecision | None, revision: int) -> bool:
    """A host may go on from a revision that the member holds."""
    return proposal is not None and (proposal.heir is not None or revision >= proposal.revision)


def begun(mine: LeaseVote, others: Sequence[LeaseVote]) -> LeaseVote:
    """A new ballot of one's own, greater than all that were seen."""
    seen = [
        ballot.number
        for vote in (mine, *others)
        for ballot in (vote.promised, vote.proposed, vote.accepted)
        if ballot is not None
    ]
    number = max(seen, default=0) + 1
    ballot = Ballot(number=number, host_id=mine.host_id, generation=mine.generation)
    return replace(mine, proposed=ballot, proposal=None)


def promises(view: Records, mine: LeaseVote, others: Sequence[LeaseVote]) -> list[LeaseVote] | None:
    """Members' records that promise this host's ballot, if they are enough."""
    found = [
        vote
        for vote in (mine, *others)
        if vote.promised == mine.proposed and has_seat(mine.members, vote)
    ]
    who = frozenset(vote.host_id for vote in found)
    return found if is_enough(mine.members, able(view, mine.members), who) else None


def bound_to(promised: Sequence[LeaseVote]) -> LeaseDecision | None:
    """What may have been decided already, and so must be proposed; None: what one likes."""
    accepted = [vote for vote in promised if vote.accepted is not None]
    return max(accepted, key=_accepted).decision if accepted else None


def _accepted(vote: LeaseVote) -> Ballot:
    assert vote.accepted is not None
    return vote.accepted
