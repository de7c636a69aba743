"""How hosts hold their blocks, and how their quorums decide: `ipam.lease`, `ipam.ballots`."""

from __future__ import annotations

from weft.model.ids import HostId
from weft.model.records.base import Part, Record
from weft.model.values import Count, Id, Text


class LeaseMember(Part, frozen=True, kw_only=True):
    """A host of a lease quorum."""

    host_id: HostId
    generation: Count
    """Of `Lease`: after a restored backup a host's votes count no more until it is asked anew."""


class LeaseAck(Part, frozen=True, kw_only=True):
    """A member of a host's lease quorum holds all that the host has stated."""

    host_id: HostId
    """Whose statements."""
    term: Count
    revision: Count
    generation: Count
    digest: Text = ""
    """To a host that returns: of its statements, as they are known here."""


class Lease(Record, frozen=True, kw_only=True):
    """How a host holds its leased blocks, and what it acknowledges to others."""

    KIND = "lease"
    id: HostId
    host_id: HostId
    generation: Count
    """Another one each time the host was restored from a backup."""
    term: Count
    """How often this host's lease quorum has decided about it, and one."""
    members: tuple[LeaseMember, ...]
    """Its lease quorum in this term, itself among them; by `host_id`, ascending."""
    revision: Count
    """Counts the changes of its statements (`AddressBlocks`)."""
    digest: Text
    """Of its statements at `revision`: who holds others has not heard all of them yet."""
    floor: Count = 0
    """Up to this revision a majority of the quorum of an earlier term knew."""
    acks: tuple[LeaseAck, ...] = ()
    """By `host_id`, ascending."""


class Ballot(Part, frozen=True, kw_only=True, order=True):
    """One attempt at a decision; a greater one overtakes a smaller."""

    number: Count
    host_id: HostId
    generation: Count


class LeaseDecision(Part, frozen=True, kw_only=True):
    """What a lease quorum decides at the end of a term."""

    members: tuple[LeaseMember, ...]
    """The lease quorum of the next term."""
    revision: Count
    """Of the host's statements: nothing later counts, unless the host goes on."""
    heir: HostId | None = None
    """Who takes the leased blocks. None: the host goes on."""


class LeaseVote(Record, frozen=True, kw_only=True):
    """One host's part in deciding how another's (or its own) term ends. See `ipam.ballots`."""

    KIND = "lease-vote"
    INDEXED = ("subject",)
    id: Id
    """Derived from subject and voter."""
    host_id: HostId
    subject: HostId
    """About whose lease."""
    generation: Count
    """The voter's."""
    term: Count
    members: tuple[LeaseMember, ...]
    """The subject's lease quorum in this term."""
    floor: Count = 0
    """Of this term, see `Lease`."""
    promised: Ballot | None = None
    """Takes part in no smaller one."""
    revision: Count = 0
    """Of the subject's statements, as the voter knew them when it promised."""
    is_released: bool = False
    """Has promised a ballot of somebody else than the subject, which may not use any more what
    this voter has not acknowledged yet, in this term."""
    accepted: Ballot | None = None
    decision: LeaseDecision | None = None
    """What it accepted."""
    proposed: Ballot | None = None
    """A ballot of the voter's own, and what it proposes once a majority has promised."""
    proposal: LeaseDecision | None = None


class LeaseReturn(Record, frozen=True, kw_only=True):
    """A host that was restored from a backup asks what it has stated and forgotten since."""

    KIND = "lease-return"
    id: HostId
    host_id: HostId
    generation: Count
    """The one that it will go on under."""
