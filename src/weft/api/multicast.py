"""Multicast groups and their members."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.render import host_of, network_name
from weft.api.route import AnyRoute, Call, Route
from weft.api.schema import (
    Empty,
    MulticastGroupInfo,
    MulticastGroupList,
    MulticastGroupRequest,
    MulticastMember,
    NetworkQuery,
    RemoveMulticastGroupQuery,
)
from weft.control.multicast import MulticastGroupReport
from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.model.addresses import ip_address


async def list_groups(context: Context, call: Call[None, NetworkQuery]) -> MulticastGroupList:
    """All groups that have members."""
    found = context.control.multicast.groups(call.query.network)
    return MulticastGroupList(
        multicast_groups=tuple(group_info(context, report) for report in found),
        statistics=dict(context.multicast.statistics()),
    )


async def add(context: Context, call: Call[MulticastGroupRequest, Empty]) -> MulticastGroupInfo:
    """Make somebody a member."""
    multicast, network = context.control.multicast, call.path["network"]
    await multicast.add(network, call.body.address, call.body.port)
    (report,) = (one for one in multicast.groups(network) if one.group == call.body.address)
    return group_info(context, report)


async def remove(context: Context, call: Call[None, RemoveMulticastGroupQuery]) -> None:
    """Undo that."""
    try:
        group = ip_address(call.path["group"])
    except ValueError:
        raise InvalidError(f"group {call.path['group']}: no IP address") from None
    await context.control.multicast.remove(call.path["network"], group, call.query.port)


def group_info(context: Context, report: MulticastGroupReport) -> MulticastGroupInfo:
    """A group."""
    joined = {port.id for port in report.joined}
    static = {port.id for port in report.static}
    ports = {port.id: port for port in (*report.joined, *report.static)}
    members = [
        MulticastMember(
            port_id=port.id,
            names=port.names,
            host=host_of(context, port),
            host_id=port.host_id,
            is_joined=port.id in joined,
            is_static=port.id in static,
        )
        for port in ports.values()
    ]
    return MulticastGroupInfo(
        network=network_name(context, report.network.id),
        network_id=report.network.id,
        address=str(report.group),
        is_static=report.is_static,
        members=tuple(sorted(members, key=lambda one: (one.host or "", one.names, one.port_id))),
    )


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/v1/multicast",
        handler=list_groups,
        summary="List the multicast groups that have members",
        query=NetworkQuery,
        answer=MulticastGroupList,
        errors=(InvalidError, NotFoundError),
    ),
    Route(
        method="POST",
        path="/v1/networks/{network}/multicast-groups",
        handler=add,
        summary="Make a port of this host, or all ports, members of a multicast group",
        query=Empty,
        body=MulticastGroupRequest,
        answer=MulticastGroupInfo,
        status=201,
        errors=(InvalidError, NotFoundError, ConflictError),
    ),
    Route(
        method="DELETE",
        path="/v1/networks/{network}/multicast-groups/{group}",
        handler=remove,
        summary="Undo that; what ports have joined by themselves stays",
        query=RemoveMulticastGroupQuery,
        status=204,
        errors=(InvalidError, NotFoundError),
    ),
)
