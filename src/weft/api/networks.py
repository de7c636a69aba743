"""What a network has beyond what every noun has: its subnets, and the host's own place on it."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.render import port_info, subnets_of
from weft.api.route import AnyRoute, Call, Route, plain
from weft.api.schema import Empty, ExposeRequest, PortInfo, SubnetList
from weft.errors import (
    ConflictError,
    ExhaustedError,
    InvalidError,
    KernelError,
    NotFoundError,
)


async def list_subnets(context: Context, call: Call[None, Empty]) -> SubnetList:
    """The subnets of a network."""
    network = context.control.networks.find(call.path["network"])
    return SubnetList(subnets=subnets_of(context, network))


async def expose(context: Context, call: Call[ExposeRequest, Empty]) -> PortInfo:
    """Give the host a place on a network."""
    port = await context.control.host_access.expose(call.path["network"], call.body.addresses)
    return port_info(context, port)


async def hide(context: Context, call: Call[None, Empty]) -> None:
    """Take the host's place on a network away."""
    await context.control.host_access.hide(call.path["network"])


ROUTES: tuple[AnyRoute, ...] = (
    plain(
        "GET",
        "/v1/networks/{network}/subnets",
        list_subnets,
        "The subnets of a network",
        SubnetList,
        (NotFoundError,),
    ),
    Route(
        method="PUT",
        path="/v1/networks/{network}/host",
        handler=expose,
        summary="Give the host itself a place on a network",
        query=Empty,
        body=ExposeRequest,
        answer=PortInfo,
        errors=(InvalidError, NotFoundError, ConflictError, ExhaustedError, KernelError),
    ),
    plain(
        "DELETE",
        "/v1/networks/{network}/host",
        hide,
        "Take the host's place on a network away",
        None,
        (NotFoundError,),
    ),
)
