"""However ballots cross, a term ends in one way."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from weft.ipam.ballots import answered, begun, bound_to, own_vote, promises
from weft.ipam.lease import Chain
from weft.ipam.quorum import majority
from weft.ipam.records import vote_id
from weft.model.ids import HostId
from weft.model.records import Ballot, LeaseDecision, LeaseMember, LeaseVote
from weft.store.interface import Put
from weft.store.memory import RecordSet

HOSTS = tuple(HostId(letter * 16) for letter in "abcde")
SUBJECT = HOSTS[0]


class Quorum:
    """Members that see each other's records late, one by one, and not in order."""

    def __init__(self, size: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.members = tuple(LeaseMember(host_id=host, generation=1) for host in HOSTS[:size])
        self.views = {member.host_id: RecordSet() for member in self.members}
        self.accepted: dict[Ballot, dict[HostId, LeaseDecision]] = {}

    @property
    def found(self) -> Chain:
        return Chain(1, self.members, 0, None)

    def step(self) -> None:
        """A member looks at what it sees, and may begin a ballot."""
        me = self.random.choice(self.members).host_id
        view = self.views[me]
        mine = own_vote(view, SUBJECT, me, 1, self.found)
        others = [vote for vote in view.list(LeaseVote) if vote.host_id != me]
        may_give_up = me != SUBJECT
        if self.random.random() < 0.03:
            mine = begun(mine, others)
        if mine.proposed is not None:
            mine = answered(mine, [mine], 0, may_give_up=may_give_up)
            promised = promises(view, mine, others)
            if mine.proposal is None and promised is not None:
                mine = replace(mine, proposal=bound_to(promised) or self.wish(me))
        self.write(answered(mine, [*others, mine], 0, may_give_up=may_give_up))

    def wish(self, me: HostId) -> LeaseDecision:
        """What a member proposes if it may choose."""
        if me == SUBJECT:
            number = self.random.randrange(1, len(self.members) + 1)
            return LeaseDecision(members=self.members[:number], revision=0)
        return LeaseDecision(members=self.members, revision=0, heir=me)

    def write(self, vote: LeaseVote) -> None:
        self.views[vote.host_id].apply([Put(vote)])
        if vote.accepted is not None and vote.decision is not None:
            self.accepted.setdefault(vote.accepted, {})[vote.host_id] = vote.decision

    def deliver(self) -> None:
        """The present record of one member reaches another."""
        one, other = self.random.sample(self.members, 2)
        vote = self.views[one.host_id].get(LeaseVote, vote_id(SUBJECT, one.host_id))
        if vote is not None:
            self.views[other.host_id].apply([Put(vote)])

    def decided(self) -> list[LeaseDecision]:
        """All that a majority ever accepted in one ballot."""
        needed = majority(len(self.members))
        return [next(iter(who.values())) for who in self.accepted.values() if len(who) >= needed]


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_of_all_that_is_decided_nothing_differs(size: int) -> None:
    decided = 0
    for seed in range(100):
        quorum = Quorum(size, seed)
        for _ in range(250):
            quorum.deliver()
            quorum.deliver()
            quorum.step()
        for who in quorum.accepted.values():
            assert len({*map(repr, who.values())}) == 1, "one proposal a ballot"
        decisions = quorum.decided()
        assert len({*map(repr, decisions)}) <= 1, f"seed {seed}"
        decided += bool(decisions)
    assert decided > 30


def test_who_has_promised_to_give_a_host_up_is_released_for_good() -> None:
    quorum = Quorum(3, 1)
    mine = own_vote(quorum.views[HOSTS[1]], SUBJECT, HOSTS[1], 1, quorum.found)
    other = begun(own_vote(quorum.views[HOSTS[2]], SUBJECT, HOSTS[2], 1, quorum.found), [])
    assert answered(mine, [other], 7, may_give_up=False) == mine
    mine = answered(mine, [other], 7, may_give_up=True)
    assert (mine.promised, mine.revision, mine.is_released) == (other.proposed, 7, True)
    own = begun(own_vote(quorum.views[SUBJECT], SUBJECT, SUBJECT, 1, quorum.found), [mine])
    mine = answered(mine, [own], 7, may_give_up=False)
    assert mine.promised == own.proposed
    assert mine.is_released


def test_a_host_goes_on_only_from_what_the_member_holds() -> None:
    quorum = Quorum(3, 1)
    mine = own_vote(quorum.views[HOSTS[1]], SUBJECT, HOSTS[1], 1, quorum.found)
    own = begun(own_vote(quorum.views[SUBJECT], SUBJECT, SUBJECT, 1, quorum.found), [])
    own = replace(own, proposal=LeaseDecision(members=quorum.members, revision=9))
    assert answered(mine, [own], 8, may_give_up=False).accepted is None
    assert answered(mine, [own], 9, may_give_up=False).accepted == own.proposed
