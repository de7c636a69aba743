"""DNS names: those that somebody added, those that ports carry, and what DNS answers."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.render import name_infos
from weft.api.route import AnyRoute, Call, Route
from weft.api.schema import (
    Empty,
    LookupInfo,
    LookupQuery,
    LookupRecord,
    NameInfo,
    NameList,
    NetworkQuery,
    RemoveNameQuery,
)
from weft.control.specs import NameSpec
from weft.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from weft.model.addresses import ip_address


async def list_names(context: Context, call: Call[None, NetworkQuery]) -> NameList:
    """All names that DNS answers."""
    control = context.control
    return NameList(
        names=name_infos(
            context,
            control.names.list(call.query.network),
            control.ports.list(call.query.network),
        )
    )


async def add(context: Context, call: Call[NameSpec, Empty]) -> NameInfo:
    """Add a name."""
    return name_infos(context, [await context.control.names.add(call.body)], [])[0]


async def remove(context: Context, call: Call[None, RemoveNameQuery]) -> None:
    """Remove a name that was added."""
    await context.control.names.remove(call.path["name"], call.path["network"], call.query.address)


async def look_up(context: Context, call: Call[None, LookupQuery]) -> LookupInfo:
    """What DNS answers."""
    asked = call.query
    network = context.control.networks.find(asked.network) if asked.network else None
    name, type_ = _question(asked)
    answer = await context.dns.lookup(name, type_, network.id if network else None)
    return LookupInfo(
        name=answer.name,
        type=type_,
        rcode=answer.rcode,
        records=tuple(LookupRecord(**record._asdict()) for record in answer.records),
    )


def _question(asked: LookupQuery) -> tuple[str, str]:
    try:
        reverse = ip_address(asked.name).reverse_pointer
    except ValueError:
        return asked.name, (asked.type or "A").upper()
    type_ = (asked.type or "PTR").upper()
    return (reverse if type_ == "PTR" else asked.name), type_


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/v1/names",
        handler=list_names,
        summary="List the names that DNS answers",
        query=NetworkQuery,
        answer=NameList,
        errors=(InvalidError, NotFoundError),
    ),
    Route(
        method="POST",
        path="/v1/names",
        handler=add,
        summary="Add addresses or service targets to a name",
        query=Empty,
        body=NameSpec,
        answer=NameInfo,
        status=201,
        errors=(InvalidError, NotFoundError, ConflictError),
    ),
    Route(
        method="DELETE",
        path="/v1/names/{network}/{name}",
        handler=remove,
        summary="Remove a name that was added, or some of its addresses",
        query=RemoveNameQuery,
        status=204,
        errors=(InvalidError, NotFoundError),
    ),
    Route(
        method="GET",
        path="/v1/lookup",
        handler=look_up,
        summary="Ask DNS as a workload would",
        query=LookupQuery,
        answer=LookupInfo,
        errors=(InvalidError, NotFoundError, UnavailableError),
    ),
)
