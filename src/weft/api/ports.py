"""Ports, and plugging running things into networks."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.render import port_info, port_infos
from weft.api.route import AnyRoute, Call, Route, plain
from weft.api.schema import (
    DetachQuery,
    Empty,
    PortChanges,
    PortInfo,
    PortList,
    PortQuery,
    PortRequest,
    PublishRequest,
)
from weft.control.specs import AttachSpec, PortSpec, StaticPortSpec
from weft.control.static_ports import declared
from weft.errors import (
    ConflictError,
    ExhaustedError,
    InvalidError,
    KernelError,
    NotFoundError,
    UnavailableError,
)
from weft.model.choices import LivesWith, TransportProtocol
from weft.model.records import Owner, Port, PublishedPort
from weft.semantics.members import members_of

CREATION_ERRORS = (
    InvalidError,
    NotFoundError,
    ConflictError,
    ExhaustedError,
    UnavailableError,
    KernelError,
)


async def list_ports(context: Context, call: Call[None, PortQuery]) -> PortList:
    """Ports of all hosts."""
    control, asked = context.control, call.query
    if asked.group is None:
        return PortList(ports=port_infos(context, control.ports.list(asked.network)))
    members = members_of(control.view, control.groups.find(asked.group))
    if asked.network is not None:
        network = control.networks.find(asked.network)
        members = [port for port in members if port.network_id == network.id]
    return PortList(ports=port_infos(context, members))


async def add(context: Context, call: Call[PortRequest, Empty]) -> PortInfo:
    """Make a port, plugged in when the request has a target."""
    asked = call.body
    if asked.is_static and asked.target is not None:
        raise InvalidError(f"port on {asked.network}: a static one waits, and has no target")
    if asked.target is None:
        if asked.ifname is not None:
            raise InvalidError(
                f"port on {asked.network}: ifname {asked.ifname} needs a target to plug it into"
            )
        port = await context.control.ports.add(_spec(context, asked))
    else:
        port = await _add_plugged(context, asked, asked.target)
    return port_info(context, port)


async def inspect(context: Context, call: Call[None, Empty]) -> PortInfo:
    """One port."""
    return port_info(context, context.control.ports.find(call.path["port"]))


async def change(context: Context, call: Call[PortChanges, Empty]) -> PortInfo:
    """What shall be another way of a port of this host."""
    return port_info(context, await context.control.ports.change(call.path["port"], call.body))


async def remove(context: Context, call: Call[None, Empty]) -> None:
    """Remove a port and its device."""
    port = context.control.ports.find(call.path["port"])
    if port.is_host:
        raise InvalidError(
            f"port {port.id} is the host's own place on its network; remove it with weft hide"
        )
    await context.control.ports.remove(port.id)


async def attach(context: Context, call: Call[AttachSpec, Empty]) -> PortInfo:
    """Plug something that runs into a network."""
    return port_info(context, await context.control.ports.attach(call.body))


async def detach(context: Context, call: Call[None, DetachQuery]) -> None:
    """Unplug something from a network."""
    await context.control.ports.detach(call.query.target, call.query.network)


def _spec(context: Context, asked: PortRequest) -> PortSpec:
    if not asked.is_static:
        return _port_spec(asked)
    if asked.published or asked.allowed or not asked.is_spoof_checked:
        raise InvalidError("a static port: can have no published ports and no further addresses")
    if len(asked.names) != 1 or asked.addresses == ():
        raise InvalidError("a static port: needs one name, and an address in each family")
    spec = StaticPortSpec(
        name=asked.names[0],
        network=asked.network,
        addresses=asked.addresses or (),
        mac=asked.mac,
        labels=asked.labels,
        groups=asked.groups,
        admits_host=asked.admits_host,
    )
    return declared(context.control.view, spec)


def _port_spec(asked: PortRequest) -> PortSpec:
    return PortSpec(
        network=asked.network,
        addresses=asked.addresses or (),
        is_exact=asked.addresses == (),
        mac=asked.mac,
        names=asked.names,
        labels=asked.labels,
        groups=asked.groups,
        allowed=asked.allowed,
        is_spoof_checked=asked.is_spoof_checked,
        admits_host=asked.admits_host,
        owner=Owner(frontend="cli", lives_with=LivesWith.NAMESPACE),
        published=_published(asked),
    )


def _published(asked: PortRequest) -> tuple[PublishedPort, ...]:
    return tuple(map(_publish, asked.published))


def _publish(wanted: PublishRequest) -> PublishedPort:
    try:
        return PublishedPort(
            protocol=TransportProtocol(wanted.protocol),
            host_port=wanted.host_port,
            port=wanted.port,
            host_address=wanted.host_address,
            count=wanted.count,
        )
    except ValueError as error:
        raise InvalidError(f"published: {error}") from error


async def _add_plugged(context: Context, asked: PortRequest, target: str) -> Port:
    ports = context.control.ports
    port = await ports.attach(
        AttachSpec(
            target=target,
            network=asked.network,
            addresses=asked.addresses,
            mac=asked.mac,
            names=asked.names,
            labels=asked.labels,
            groups=asked.groups,
            ifname=asked.ifname,
            allowed=asked.allowed,
            is_spoof_checked=asked.is_spoof_checked,
            admits_host=asked.admits_host,
            is_default_route=asked.is_default_route,
        )
    )
    if not asked.published:
        return port
    try:
        return await ports.update(port.id, published=_published(asked))
    except BaseException:
        await ports.remove(port.id)
        raise


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/v1/ports",
        handler=list_ports,
        summary="List the ports of all hosts",
        query=PortQuery,
        answer=PortList,
        errors=(InvalidError, NotFoundError),
    ),
    Route(
        method="POST",
        path="/v1/ports",
        handler=add,
        summary="Make a port with every field explicit",
        query=Empty,
        body=PortRequest,
        answer=PortInfo,
        status=201,
        errors=CREATION_ERRORS,
    ),
    plain("GET", "/v1/ports/{port}", inspect, "One port", PortInfo, (NotFoundError,)),
    Route(
        method="PATCH",
        path="/v1/ports/{port}",
        handler=change,
        summary="Give a port of this host other labels or security groups",
        query=Empty,
        body=PortChanges,
        answer=PortInfo,
        errors=(InvalidError, NotFoundError, ConflictError),
    ),
    plain(
        "DELETE",
        "/v1/ports/{port}",
        remove,
        "Remove a port and its device",
        None,
        (InvalidError, NotFoundError),
    ),
    Route(
        method="POST",
        path="/v1/attachments",
        handler=attach,
        summary="Plug something that runs into a network",
        query=Empty,
        body=AttachSpec,
        answer=PortInfo,
        status=201,
        errors=CREATION_ERRORS,
    ),
    Route(
        method="DELETE",
        path="/v1/attachments",
        handler=detach,
        summary="Unplug something from a network",
        query=DetachQuery,
        status=204,
        errors=(InvalidError, NotFoundError),
    ),
)
