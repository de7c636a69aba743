"""Lease quorums: how many members make a majority, and which hosts are to be members.

A majority is always one of the members as they are listed. A member that cannot speak any more (it
was forgotten, or was restored from a backup and has lost its memory) leaves its place empty; if so
many places are empty that no majority is left, all other members decide together, for at least one
of them took part in whatever a majority had decided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set

from weft.ipam.records import Records, is_forgotten
from weft.model.ids import HostId, derived_id
from weft.model.records import Lease, LeaseMember, LeaseReturn

TAKEABLE_FROM = 3
"""A quorum of fewer members can take nothing from its host: that is one of any majority."""


def majority(count: int) -> int:
    """More than half."""
    return count // 2 + 1


def is_enough(members: Sequence[LeaseMember], able: Set[HostId], who: Set[HostId]) -> bool:
    """Whether these hosts are a majority of the members, or all members that can speak."""
    count = len({member.host_id for member in members} & who)
    return count >= majority(len(members)) or (bool(able) and able <= who)


def able(view: Records, members: Sequence[LeaseMember]) -> frozenset[HostId]:
    """The members that can speak."""
    return frozenset(m.host_id for m in members if is_able(view, m))


def is_able(view: Records, member: LeaseMember) -> bool:
    """Whether a member is neither forgotten nor without memory."""
    if is_forgotten(view, member.host_id):
        return False
    lease = view.get(Lease, member.host_id)
    coming = view.get(LeaseReturn, member.host_id)
    if coming is not None and coming.generation != member.generation:
        return False
    return lease is None or lease.generation == member.generation


def wanted_size(hosts: int) -> int:
    """Odd, for an even number bears no more failures than one less; two where there are two."""
    return hosts if hosts < 3 else 3 if hosts < 5 else 5


def next_members(
    members: Sequence[LeaseMember],
    me: LeaseMember,
    candidates: Mapping[HostId, int],
    gone: Collection[HostId],
    hosts: int,
) -> tuple[LeaseMember, ...]:
    """The members after one change towards what they should be; the same if nothing is to change.

    candidates: hosts that are reached now, and their generations, without this one. gone: hosts
    that are forgotten or have not been reached for long. hosts: how many the cluster has.
    """
    present = {member.host_id: member.generation for member in members}
    if present.get(me.host_id) != me.generation:
        return _sorted(present | {me.host_id: me.generation})
    for host, generation in sorted(present.items()):
        if candidates.get(host, generation) != generation:
            return _sorted(present | {host: candidates[host]})
    fresh = sorted(
        (host for host in candidates if host not in present),
        key=lambda host: derived_id("lease-member", me.host_id, host),
    )
    dead = sorted(host for host in present if host in gone and host != me.host_id)
    size = wanted_size(hosts)
    if dead and (fresh or len(present) > size):
        left = {host: number for host, number in present.items() if host != dead[0]}
        return _sorted(left | ({fresh[0]: candidates[fresh[0]]} if fresh else {}))
    if fresh and len(present) < size:
        return _sorted(present | {fresh[0]: candidates[fresh[0]]})
    return tuple(members)


def _sorted(members: Mapping[HostId, int]) -> tuple[LeaseMember, ...]:
    return tuple(
        LeaseMember(host_id=host, generation=number) for host, number in sorted(members.items())
    )
