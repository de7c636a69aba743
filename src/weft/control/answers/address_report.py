"""Which host owns which addresses, and how firmly: for administrators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from weft.control.context import Context
from weft.control.upkeep.shortage import names
from weft.ipam.lease import heir_of
from weft.ipam.quorum import TAKEABLE_FROM
from weft.ipam.records import is_forgotten, is_returning
from weft.ipam.report import Share, shares
from weft.model.ids import HostId
from weft.model.records import Lease, Subnet

LeaseState = Literal["held", "fenced", "returning", "lost", "given-up"]


class SubnetReport(NamedTuple):
    """A subnet, and which host owns how much of it."""

    subnet: Subnet
    shares: Sequence[Share]


class LeaseReport(NamedTuple):
    """How a host holds its blocks."""

    host_id: HostId
    quorum: Sequence[HostId]
    state: LeaseState
    since_s: float | None
    """Wall clock, Unix time; None: not known, or nothing is wrong."""
    until_s: float | None
    """When its leased blocks are taken, if it is not back by then."""
    reason: str
    """What the state means for addresses, and what ends it; empty when nothing is wrong."""


def subnet_reports(context: Context) -> list[SubnetReport]:
    """All subnets, by family and address. Linear in ports and blocks."""
    subnets = sorted(
        context.view.list(Subnet), key=lambda s: (s.cidr.version, int(s.cidr.network_address), s.id)
    )
    return [SubnetReport(subnet, shares(context.view, subnet)) for subnet in subnets]


def lease_reports(context: Context) -> list[LeaseReport]:
    """All hosts that have a lease, this one first."""
    me = context.host_id
    leases = [x for x in context.view.list(Lease) if not is_forgotten(context.view, x.host_id)]
    leases.sort(key=lambda lease: (lease.host_id != me, lease.host_id))
    return [
        _own(context, lease) if lease.host_id == me else _of(context, lease) for lease in leases
    ]


def _own(context: Context, lease: Lease) -> LeaseReport:
    fence, quorum = context.space.fence, [member.host_id for member in lease.members]
    missing = names(context.view, (host for host in quorum if host not in fence.reached))
    if fence.is_returning:
        reason = f"restored from a backup; gives no address until it has heard from {missing}"
        return LeaseReport(lease.host_id, quorum, "returning", None, None, reason)
    if fence.since_s is not None:
        reason = f"gives only what is in its reserve, until it reaches more of {missing}"
        return LeaseReport(lease.host_id, quorum, "fenced", fence.since_s, None, reason)
    return LeaseReport(lease.host_id, quorum, "held", None, None, "")


def _of(context: Context, lease: Lease) -> LeaseReport:
    view, host = context.view, lease.host_id
    quorum = [member.host_id for member in lease.members]
    if is_returning(view, host):
        reason = "restored from a backup; gives no address until it has heard from its quorum"
        return LeaseReport(host, quorum, "returning", None, None, reason)
    since_s = context.space.lost_since_s(host)
    heir = heir_of(view, host)
    if heir is not None:
        reason = f"its leased blocks are {names(view, [heir])}'s; it keeps its reserve"
        return LeaseReport(host, quorum, "given-up", since_s, None, reason)
    if since_s is None:
        return LeaseReport(host, quorum, "held", None, None, "")
    if len(quorum) < TAKEABLE_FROM:
        reason = f"its blocks stay its own; weft forget {names(view, [host])} if it is gone"
        return LeaseReport(host, quorum, "lost", since_s, None, reason)
    until_s = since_s + context.space.taken_after_s
    reason = "then its quorum takes its leased blocks, if a majority of it is here"
    return LeaseReport(host, quorum, "lost", since_s, until_s, reason)
