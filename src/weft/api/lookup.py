"""What DNS answers."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.route import AnyRoute, Call, Route
from weft.api.schema import LookupInfo, LookupQuery, LookupRecord
from weft.errors import InvalidError, NotFoundError, UnavailableError
from weft.model.addresses import ip_address


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
        path="/v1/lookup",
        handler=look_up,
        summary="Ask DNS as a workload would",
        query=LookupQuery,
        answer=LookupInfo,
        errors=(InvalidError, NotFoundError, UnavailableError),
    ),
)
