"""The lease side of a step: acknowledge, take part in ballots, hold one's own, begin a term.

All of it reads the records and writes this host's own; nothing waits for an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from weft.ipam.ballots import answered, begun, bound_to, own_vote, promises, votes_of
from weft.ipam.blocks import digest_of
from weft.ipam.draft import Draft
from weft.ipam.lease import Chain, LeaseTimes, ack_in, chain, is_leased, statements
from weft.ipam.quorum import TAKEABLE_FROM, able, next_members
from weft.ipam.records import is_forgotten
from weft.ipam.sharing import concede, keep_in_reserve
from weft.model.ids import HostId
from weft.model.records import (
    AddressBlocks,
    Ballot,
    Lease,
    LeaseAck,
    LeaseDecision,
    LeaseMember,
    LeaseReturn,
    LeaseVote,
)


class Sight(NamedTuple):
    """Which hosts are reached."""

    now_s: float
    """By a clock that only goes forward."""
    reached: frozenset[HostId]
    lost_at_s: Mapping[HostId, float]
    """Since when a host is not reached; hosts that are reached are not in it."""

    def is_gone(self, host: HostId, after_s: float) -> bool:
        """Whether a host has not been reached for so long."""
        since_s = self.lost_at_s.get(host)
        return since_s is not None and self.now_s - since_s >= after_s


class Deciding:
    """Remembers only when its ballots began."""

    def __init__(self, times: LeaseTimes) -> None:
        self._times = times
        self._begun: dict[HostId, tuple[Ballot, float]] = {}

    def step(self, draft: Draft, sight: Sight) -> None:
        """All of it, for every host whose lease concerns this one."""
        self._begin_term(draft)
        for lease in tuple(draft.view.list(Lease)):
            if lease.host_id == draft.me:
                continue
            found = chain(draft.view, lease.host_id)
            if found is not None:
                self._serve(draft, sight, lease, found)
        self._go_on(draft, sight)

    @property
    def is_busy(self) -> bool:
        """Whether a ballot is under way, that may have to be tried again."""
        return bool(self._begun)

    # As a member of others' quorums.

    def _serve(self, draft: Draft, sight: Sight, lease: Lease, found: Chain) -> None:
        subject = lease.host_id
        seat = LeaseMember(host_id=draft.me, generation=draft.lease.generation)
        if self._is_returning(draft, lease):
            self._answer_return(draft, lease, found)
            return
        if seat not in found.members or found.decision is not None:
            self._begun.pop(subject, None)
            return
        mine = own_vote(draft.view, subject, draft.me, draft.lease.generation, found)
        if found.term == lease.term and not mine.is_released and draft.holds_all(subject):
            _acknowledge(draft, lease, found.term, lease.generation)
        known = self._known_revision(draft, lease, found)
        others = [v for v in votes_of(draft.view, subject, found) if v.host_id != draft.me]
        may_give_up = is_forgotten(draft.view, subject) or sight.is_gone(
            subject, self._times.taken_after_s
        )
        if may_give_up:
            mine = self._give_up(draft, sight, mine, others, known)
        else:
            self._begun.pop(subject, None)
        done = answered(mine, [*others, mine], known, may_give_up=may_give_up)
        if done != own_vote(draft.view, subject, draft.me, draft.lease.generation, found):
            draft.vote(done)

    def _is_returning(self, draft: Draft, lease: Lease) -> bool:
        coming = draft.view.get(LeaseReturn, lease.host_id)
        return coming is not None and coming.generation != lease.generation

    def _answer_return(self, draft: Draft, lease: Lease, found: Chain) -> None:
        """Tell a host that was restored how much of what it stated is known here."""
        coming = draft.view.get(LeaseReturn, lease.host_id)
        if coming is not None:
            known = digest_of(statements(draft.view, lease.host_id))
            _acknowledge(draft, lease, found.term, coming.generation, known)

    def _known_revision(self, draft: Draft, lease: Lease, found: Chain) -> int:
        """Of a subject's statements: what is here, or was acknowledged."""
        ack = ack_in(draft.lease, lease.host_id)
        known = ack.revision if ack is not None and ack.generation == lease.generation else 0
        return max(known, lease.revision if draft.holds_all(lease.host_id) else 0)

    def _give_up(
        self, draft: Draft, sight: Sight, mine: LeaseVote, others: list[LeaseVote], known: int
    ) -> LeaseVote:
        """Hold a ballot about a host that is gone, if it is this host's turn."""
        subject = mine.subject
        wait_s = self._times.retry_s * _place(draft.me, mine, sight)
        if mine.proposed is None and not self._is_time(subject, sight, wait_s):
            return mine
        if not _has_something(draft, subject):
            return mine
        if mine.proposed is None or self._is_stuck(subject, mine, sight, wait_s):
            mine = begun(mine, others)
            self._note(subject, mine, sight)
        mine = answered(mine, [mine], known, may_give_up=True)
        promised = promises(draft.view, mine, others)
        if mine.proposal is None and promised is not None:
            revision = max(mine.floor, *(vote.revision for vote in promised))
            decision = LeaseDecision(members=mine.members, revision=revision, heir=draft.me)
            mine = replace(mine, proposal=bound_to(promised) or decision)
        return mine

    def _is_time(self, subject: HostId, sight: Sight, wait_s: float) -> bool:
        """Whether those before this host have had their turn at a ballot about the subject."""
        blank = Ballot(number=0, host_id=subject, generation=0)
        _, since_s = self._begun.setdefault(subject, (blank, sight.now_s))
        return sight.now_s - since_s >= wait_s

    # About this host's own lease.

    def _begin_term(self, draft: Draft) -> None:
        """Follow what was decided about this host."""
        found = chain(draft.view, draft.me)
        if found is None:
            return
        if found.term > draft.lease.term:
            floor = max(draft.lease.floor, found.floor)
            draft.lease = replace(draft.lease, term=found.term, members=found.members, floor=floor)
        if found.decision is not None:
            concede(draft, found.decision)
            draft.lease = replace(
                draft.lease,
                term=found.term + 1,
                members=found.decision.members,
                floor=found.decision.revision,
            )

    def _go_on(self, draft: Draft, sight: Sight) -> None:
        """Hold a ballot about this host's own next term, if its quorum should change or somebody
        has begun to give it up."""
        view, lease = draft.view, draft.lease
        stored, found = view.get(Lease, draft.me), chain(view, draft.me)
        if stored is None or found is None or found.decision is not None:
            return
        if (stored.term, stored.members) != (lease.term, lease.members):
            return
        mine = own_vote(view, draft.me, draft.me, lease.generation, found)
        others = [v for v in votes_of(view, draft.me, found) if v.host_id != draft.me]
        members = self._wanted(draft, sight)
        is_due = members != lease.members or any(v.is_released for v in others)
        if not is_due and mine.proposal is None:
            self._begun.pop(draft.me, None)
            return
        capable = able(view, lease.members)
        if not capable:  # restored from a backup, and nobody else is left who could know better
            draft.lease = replace(lease, term=lease.term + 1, members=members)
            return
        is_first = len(members) >= TAKEABLE_FROM and not is_leased(view, draft.me)
        if is_first and not capable <= sight.reached | {draft.me}:
            return  # it would give up more than it gains, as long as nobody can answer
        if mine.proposed is None or self._is_stuck(draft.me, mine, sight, 0.0):
            mine = begun(mine, others)
            self._note(draft.me, mine, sight)
        mine = answered(mine, [mine], draft.revision, may_give_up=False)
        promised = promises(view, mine, others)
        if mine.proposal is None and promised is not None:
            decision = bound_to(promised)
            if decision is None:
                if is_first:
                    keep_in_reserve(draft)
                decision = LeaseDecision(members=members, revision=draft.revision)
            mine = replace(mine, proposal=decision)
        draft.vote(answered(mine, [mine], draft.revision, may_give_up=False))

    def _wanted(self, draft: Draft, sight: Sight) -> tuple[LeaseMember, ...]:
        me = LeaseMember(host_id=draft.me, generation=draft.lease.generation)
        candidates = {
            lease.host_id: lease.generation
            for lease in draft.view.list(Lease)
            if lease.host_id in sight.reached
            and not is_forgotten(draft.view, lease.host_id)
            and draft.view.get(LeaseReturn, lease.host_id) is None
        }
        gone = {
            m.host_id
            for m in draft.lease.members
            if is_forgotten(draft.view, m.host_id)
            or sight.is_gone(m.host_id, self._times.taken_after_s)
        }
        hosts = 1 + len(draft.hosts())
        return next_members(draft.lease.members, me, candidates, gone, hosts)

    # Patience.

    def _is_stuck(self, subject: HostId, mine: LeaseVote, sight: Sight, wait_s: float) -> bool:
        if mine.proposed is None:
            return True
        ballot, began_s = self._begun.get(subject, (None, 0.0))
        if ballot != mine.proposed:  # of an earlier run of this host
            self._begun[subject] = (mine.proposed, sight.now_s)
            return False
        return sight.now_s - began_s > self._times.retry_s * 4 + wait_s

    def _note(self, subject: HostId, mine: LeaseVote, sight: Sight) -> None:
        assert mine.proposed is not None
        self._begun[subject] = (mine.proposed, sight.now_s)


def _acknowledge(draft: Draft, lease: Lease, term: int, generation: int, digest: str = "") -> None:
    ack = LeaseAck(
        host_id=lease.host_id,
        term=term,
        revision=lease.revision,
        generation=generation,
        digest=digest,
    )
    acks = {one.host_id: one for one in draft.lease.acks}
    acks[lease.host_id] = ack
    draft.lease = replace(draft.lease, acks=tuple(acks[host] for host in sorted(acks)))


def _place(me: HostId, mine: LeaseVote, sight: Sight) -> int:
    """This host's turn among the members that are there."""
    seats = sorted(member.host_id for member in mine.members)
    live = [host for host in seats if host == me or host in sight.reached]
    return live.index(me) if me in live else 0


def _has_something(draft: Draft, host: HostId) -> bool:
    """Whether a host has anything that could be taken."""
    forgotten = is_forgotten(draft.view, host)
    return any(
        block.owner == host and (forgotten or not block.is_reserve)
        for record in draft.view.by(AddressBlocks, "host_id", host)
        for block in record.blocks
    ) or (
        forgotten
        and any(
            block.owner == host
            for record in draft.view.list(AddressBlocks)
            for block in record.blocks
        )
    )
