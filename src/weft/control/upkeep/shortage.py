"""Why there is no address to give, and what to do about it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from weft.control.upkeep.space import Fence, SpaceNeeded, exhausted
from weft.errors import UnavailableError, WeftError
from weft.ipam.blocks import segments
from weft.ipam.lease import heir_of
from weft.ipam.records import is_forgotten
from weft.ipam.report import Share, shares
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import AddressBlocks, Host
from weft.store.interface import View


def shortage(
    view: View,
    me: HostId,
    needed: SpaceNeeded,
    reached: frozenset[HostId],
    fence: Fence,
    *,
    is_waiting: bool,
) -> WeftError | None:
    """The error for an intent that needs an address. is_waiting: only if waiting leads nowhere."""
    if needed.address is not None:
        return _of_address(view, me, needed, needed.address, reached, fence, is_waiting)
    found = [share for subnet in needed.subnets for share in shares(view, subnet) if share.free]
    label = f"subnet {', '.join(str(subnet.cidr) for subnet in needed.subnets)}"
    if not found:
        return None if is_waiting and not _is_known(view, needed) else exhausted(needed)
    if fence.is_closed:
        return UnavailableError(f"{label}: {fence_text(view, me, fence)}")
    if is_waiting and any(may_come(view, me, share.host_id, reached) for share in found):
        return None
    return UnavailableError(f"{label}: {_whose(view, me, found, reached)}")


def may_come(view: View, me: HostId, owner: HostId, reached: frozenset[HostId]) -> bool:
    """Whether a host's addresses can be had within a moment: the host is there, or others are about
    to take what it left."""
    if owner == me or owner in reached:
        return True
    return is_forgotten(view, owner) or heir_of(view, owner) is not None


def fence_text(view: View, me: HostId, fence: Fence) -> str:
    """Why a host gives nothing but its reserve."""
    others = [host for host in fence.members if host not in fence.reached]
    missing = names(view, others)
    if fence.is_returning:
        return (
            "this host's records were restored from a backup, and it gives no address until it has "
            f"heard from {missing or 'another host'}; start that, or weft forget it if it is gone"
        )
    since = ""
    if fence.since_s is not None:
        at = datetime.datetime.fromtimestamp(fence.since_s).astimezone()
        since = f" since {at:%Y-%m-%d %H:%M:%S}"
    return (
        f"this host is fenced{since}, for it does not reach {missing} of its lease quorum "
        f"({names(view, fence.members)}), and its reserve is used up; "
        "mend the links, or weft forget a host that is gone for good"
    )


def names(view: View, hosts: Iterable[HostId]) -> str:
    """The names of hosts, for messages."""
    found = ((view.get(Host, host), host) for host in hosts)
    return ", ".join(sorted(record.name if record is not None else id for record, id in found))


def _of_address(
    view: View,
    me: HostId,
    needed: SpaceNeeded,
    address: IPAddress,
    reached: frozenset[HostId],
    fence: Fence,
    is_waiting: bool,
) -> WeftError | None:
    owner = owner_of(view, needed, address)
    if owner is None:
        if is_waiting:
            return None
        return UnavailableError(
            f"address {address}: which host gives it is not known yet; try again in a moment"
        )
    if owner == me and fence.is_closed:
        return UnavailableError(f"address {address}: {fence_text(view, me, fence)}")
    if is_waiting and may_come(view, me, owner, reached):
        return None
    if owner != me and owner not in reached:
        name = names(view, [owner])
        return UnavailableError(
            f"address {address}: belongs to host {name}, which cannot be reached; choose another, "
            f"or weft forget {name} if it is gone"
        )
    name = "this host" if owner == me else f"host {names(view, [owner])}"
    return UnavailableError(
        f"address {address}: belongs to {name}, which did not give it in time; choose another, or "
        "try again"
    )


def owner_of(view: View, needed: SpaceNeeded, address: IPAddress) -> HostId | None:
    """Whose block an address is in."""
    for subnet in needed.subnets:
        for segment in segments(view.by(AddressBlocks, "subnet_id", subnet.id)):
            if segment.first <= int(address) <= segment.last and address in subnet.cidr:
                return segment.owner
    return None


def _is_known(view: View, needed: SpaceNeeded) -> bool:
    """Whether anybody has said anything about the subnets: news of them may be on the way."""
    return any(
        True for subnet in needed.subnets for _ in view.by(AddressBlocks, "subnet_id", subnet.id)
    )


def _whose(view: View, me: HostId, found: Sequence[Share], reached: frozenset[HostId]) -> str:
    free: dict[HostId, int] = {}
    for share in found:
        free[share.host_id] = free.get(share.host_id, 0) + share.free
    parts = [
        f"{free[host]} free of {'this host' if host == me else f'host {names(view, [host])}'}, "
        f"{'which did not give in time' if host in reached or host == me else 'not reached'}"
        for host in sorted(free)
    ]
    return (
        f"no address at hand ({'; '.join(parts)}); try again, or weft forget a host that is gone "
        "for good"
    )
