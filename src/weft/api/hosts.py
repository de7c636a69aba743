"""The hosts of the cluster: how they are, why, and how one leaves it."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.counters import state_of
from weft.api.render import attempt_info, host_info, port_info
from weft.api.route import AnyRoute, Call, Route, plain
from weft.api.schema import (
    Empty,
    ForceQuery,
    HostInfo,
    HostList,
    LeaveInfo,
    RotationInfo,
    WhyInfo,
)
from weft.cluster.inquiry import UnansweredError
from weft.cluster.standing import Standing
from weft.control.answers.explanation import Told, explain
from weft.errors import (
    ConflictError,
    InUseError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from weft.model.records import Host, Port


async def list_hosts(context: Context, call: Call[None, Empty]) -> HostList:
    """All hosts."""
    hosts = context.control.hosts
    return HostList(
        hosts=tuple(host_info(one) for one in hosts.standings()),
        attempts=tuple(attempt_info(one) for one in hosts.unnamed()),
        is_removed=hosts.members.is_removed,
    )


async def why(context: Context, call: Call[None, Empty]) -> WhyInfo:
    """How a host or a port is reached."""
    host, port = _meant(context, call.path["reference"])
    standing = _standing(context, host)
    told = Told() if port is None or standing.state == "lost" else await _told(context, port)
    members = context.control.hosts.members
    found = explain(context.control.view, standing, port, members, told)
    return WhyInfo(
        host=host_info(standing),
        port=None if port is None else port_info(context, port),
        is_reachable=found.is_reachable,
        explanation=found.sentences,
        fix=found.fix,
    )


async def _told(context: Context, port: Port) -> Told:
    """What its own host says of a port."""
    try:
        state = await state_of(context, port)
    except UnansweredError as error:
        return Told(silence=str(error))
    if state is None:
        return Told()
    return Told(state.tally.drops if state.tally is not None else {}, state.problems)


async def forget(context: Context, call: Call[None, ForceQuery]) -> HostInfo:
    """Remove a host that is gone for good."""
    host = context.control.hosts.find(call.path["host"])
    standing = _standing(context, host)
    await context.control.hosts.forget(host.id, is_forced=call.query.force)
    return host_info(standing)


async def mend(context: Context, call: Call[None, Empty]) -> None:
    """Remove a record that cannot be used."""
    await context.control.hosts.mend(call.path["kind"], call.path["id"])


async def leave(context: Context, call: Call[None, ForceQuery]) -> LeaveInfo:
    """Give up this host's place in the cluster."""
    name = context.control.host.name
    is_confirmed = await context.control.hosts.leave(is_forced=call.query.force)
    return LeaveInfo(host=name, is_confirmed=is_confirmed)


async def rotation(context: Context, call: Call[None, Empty]) -> RotationInfo:
    """How far the cluster's token is."""
    now = context.control.hosts.members.rotation
    own_id = context.control.host.id
    return RotationInfo(
        secret_id=now.secret_id,
        is_rotating=now.is_rotating,
        unconfirmed=tuple(
            sorted(
                host.name
                for host in context.control.view.list(Host)
                if host.secret_id != now.secret_id and host.id != own_id
            )
        ),
    )


async def rotate(context: Context, call: Call[None, Empty]) -> RotationInfo:
    """Make a new token for all hosts."""
    context.control.hosts.members.rotate()
    return await rotation(context, call)


def _meant(context: Context, reference: str) -> tuple[Host, Port | None]:
    """A host, or a port and its host; what is neither is neither's error."""
    control = context.control
    try:
        return control.hosts.find(reference), None
    except NotFoundError:
        pass
    try:
        port = control.ports.find(reference)
    except NotFoundError:
        raise NotFoundError(
            f"{reference}: neither a host nor a port; see weft status hosts and weft port ls"
        ) from None
    if port.host_id is None:
        raise NotFoundError(f"port {reference}: is on no host yet")
    host = control.view.get(Host, port.host_id)
    if host is None:
        raise NotFoundError(f"port {reference}: its host {port.host_id} is not known (yet)")
    return host, port


def _standing(context: Context, host: Host) -> Standing:
    return next(one for one in context.control.hosts.standings() if one.host.id == host.id)


ROUTES: tuple[AnyRoute, ...] = (
    plain("GET", "/v1/hosts", list_hosts, "List hosts, and how each is reached", HostList),
    plain(
        "GET",
        "/v1/why/{reference}",
        why,
        "Explain how a host or a port is reached",
        WhyInfo,
        (NotFoundError, ConflictError),
    ),
    Route(
        method="DELETE",
        path="/v1/hosts/{host}",
        handler=forget,
        summary="Remove a host that is gone for good",
        query=ForceQuery,
        answer=HostInfo,
        errors=(InvalidError, NotFoundError, ConflictError, InUseError, UnavailableError),
    ),
    plain(
        "DELETE",
        "/v1/records/{kind}/{id}",
        mend,
        "Remove a record that cannot be used",
        None,
        (NotFoundError, ConflictError, UnavailableError),
    ),
    Route(
        method="POST",
        path="/v1/leave",
        handler=leave,
        summary="Give up this host's place in the cluster",
        query=ForceQuery,
        answer=LeaveInfo,
        errors=(InvalidError, UnavailableError),
    ),
    plain("GET", "/v1/token", rotation, "How far the cluster's token is", RotationInfo),
    plain(
        "POST",
        "/v1/token/rotate",
        rotate,
        "Make a new token for all hosts",
        RotationInfo,
        (ConflictError, UnavailableError),
    ),
)
