"""Networks, their subnets, and the host's own place on them."""

from __future__ import annotations

import msgspec

from weft.api.context import Context
from weft.api.render import (
    name_infos,
    network_info,
    port_info,
    port_infos,
    subnets_of,
)
from weft.api.route import AnyRoute, Call, Route, plain
from weft.api.schema import (
    Empty,
    ExposeRequest,
    NetworkChanges,
    NetworkDetail,
    NetworkInfo,
    NetworkList,
    PortInfo,
    SubnetList,
)
from weft.control.specs import NetworkSpec
from weft.errors import (
    ConflictError,
    ExhaustedError,
    InUseError,
    InvalidError,
    KernelError,
    NotFoundError,
)


async def list_networks(context: Context, call: Call[None, Empty]) -> NetworkList:
    """All networks."""
    infos = [network_info(context, network) for network in context.control.networks.list()]
    return NetworkList(networks=tuple(sorted(infos, key=lambda info: (info.tenant, info.name))))


async def create(context: Context, call: Call[NetworkSpec, Empty]) -> NetworkInfo:
    """Make a network."""
    made = await context.control.networks.create(call.body)
    await context.control.followers.settle()
    return network_info(context, made)


async def inspect(context: Context, call: Call[None, Empty]) -> NetworkDetail:
    """A network with its ports and names."""
    control = context.control
    network = control.networks.find(call.path["network"])
    ports = control.ports.list(network.id)
    info = network_info(context, network)
    return NetworkDetail(
        **msgspec.structs.asdict(info),
        ports=port_infos(context, ports),
        names=name_infos(context, control.names.list(network.id), ports),
    )


async def remove(context: Context, call: Call[None, Empty]) -> None:
    """Remove a network."""
    await context.control.networks.remove(call.path["network"])
    await context.control.followers.settle()


async def change(context: Context, call: Call[NetworkChanges, Empty]) -> NetworkInfo:
    """Give a network another name or other labels, or send multicast on it to others."""
    networks = context.control.networks
    network, wanted = networks.find(call.path["network"]), call.body
    changed = await networks.change(network.id, wanted)
    if changed.name != network.name:
        await context.control.followers.settle()
    return network_info(context, changed)


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
    plain("GET", "/v1/networks", list_networks, "List networks", NetworkList),
    Route(
        method="POST",
        path="/v1/networks",
        handler=create,
        summary="Make a network",
        query=Empty,
        body=NetworkSpec,
        answer=NetworkInfo,
        status=201,
        errors=(InvalidError, ConflictError, ExhaustedError),
    ),
    plain(
        "GET",
        "/v1/networks/{network}",
        inspect,
        "A network with its ports and names",
        NetworkDetail,
        (NotFoundError,),
    ),
    plain(
        "DELETE",
        "/v1/networks/{network}",
        remove,
        "Remove a network that no port uses",
        None,
        (NotFoundError, InUseError),
    ),
    Route(
        method="PATCH",
        path="/v1/networks/{network}",
        handler=change,
        summary="Give a network another name, or send multicast on it to others",
        query=Empty,
        body=NetworkChanges,
        answer=NetworkInfo,
        errors=(InvalidError, NotFoundError, ConflictError),
    ),
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
