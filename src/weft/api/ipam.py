"""Who owns which addresses, how much is free, and what is fenced."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.render import network_name
from weft.api.route import AnyRoute, Call, plain
from weft.api.schema import Empty, IpamInfo, LeaseInfo, ShareInfo, SubnetShares
from weft.control.answers.address_report import LeaseReport, SubnetReport
from weft.ipam.intervals import Interval
from weft.ipam.report import Share
from weft.model.ids import HostId
from weft.model.records import Host, Subnet

MAX_COUNT = (1 << 63) - 1


async def show(context: Context, call: Call[None, Empty]) -> IpamInfo:
    """All subnets and all leases."""
    addresses = context.control.addresses
    return IpamInfo(
        subnets=tuple(_subnet(context, report) for report in addresses.subnet_reports()),
        leases=tuple(_lease(context, report) for report in addresses.lease_reports()),
    )


def _subnet(context: Context, report: SubnetReport) -> SubnetShares:
    subnet = report.subnet
    found = (_share(context, subnet, share) for share in report.shares)
    return SubnetShares(
        subnet_id=subnet.id,
        cidr=str(subnet.cidr),
        network=None if subnet.network_id is None else network_name(context, subnet.network_id),
        shares=tuple(sorted(found, key=lambda share: share.host)),
    )


def _share(context: Context, subnet: Subnet, share: Share) -> ShareInfo:
    return ShareInfo(
        host_id=share.host_id,
        host=_name(context, share.host_id),
        blocks=tuple(_block(subnet, block) for block in share.blocks),
        address_count=min(share.count, MAX_COUNT),
        free_count=min(share.free, MAX_COUNT),
        reserve_count=min(share.reserve, MAX_COUNT),
        coming_count=min(share.coming, MAX_COUNT),
    )


def _block(subnet: Subnet, block: Interval) -> str:
    make = type(subnet.cidr.network_address)
    first, last = make(block[0]), make(block[1])
    return str(first) if first == last else f"{first}-{last}"


def _lease(context: Context, report: LeaseReport) -> LeaseInfo:
    return LeaseInfo(
        host_id=report.host_id,
        host=_name(context, report.host_id),
        is_local=report.host_id == context.control.host.id,
        quorum=tuple(sorted(_name(context, host) for host in report.quorum)),
        state=report.state,
        since_s=report.since_s,
        until_s=report.until_s,
        reason=report.reason,
    )


def _name(context: Context, host_id: HostId) -> str:
    host = context.control.view.get(Host, host_id)
    return host.name if host is not None else host_id


ROUTES: tuple[AnyRoute, ...] = (
    plain("GET", "/v1/ipam", show, "Who owns which addresses, and what is fenced", IpamInfo),
)
