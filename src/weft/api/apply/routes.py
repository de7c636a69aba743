"""`POST /v1/apply`, `GET /v1/export`."""

from __future__ import annotations

from collections.abc import Sequence

from weft.api.apply.at_ease import at_ease
from weft.api.apply.carry_out import ask, export, told
from weft.api.apply.document import Faults, Wanted, in_order, read
from weft.api.apply.plan import Step, plan
from weft.api.apply.schema import ApplyInfo, ApplyRequest, ExportInfo, ExportQuery
from weft.api.context import Context
from weft.api.route import AnyRoute, Call, Route
from weft.api.schema import Empty
from weft.control.addresses import MAX_WAITS
from weft.errors import (
    ConflictError,
    ExhaustedError,
    InUseError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

BODY_LIMIT_BYTES = 8 << 20
"""Some fifty thousand objects."""


async def apply(context: Context, call: Call[ApplyRequest, Empty]) -> ApplyInfo:
    """All documents are checked, and all that they change is tried on a copy of the records, before
    anything is changed. A fault names its document and field: `documents[3].subnets[0].cidr`."""
    asked = call.body
    if asked.is_pruned and asked.owner is None:
        raise InvalidError("is_pruned: needs an owner; only what is an owner's is ever removed")
    faults = Faults()
    wanted = in_order(await at_ease(read(asked.documents, faults)), faults)
    most = len(wanted) + MAX_WAITS
    steps = await context.control.addresses.with_space_before(
        lambda: _carry_out(context, asked, wanted), most
    )
    if not asked.is_dry_run:
        await context.control.followers.settle()
    return ApplyInfo(is_dry_run=asked.is_dry_run, changes=tuple(told(steps)))


async def _carry_out(
    context: Context, asked: ApplyRequest, wanted: Sequence[Wanted]
) -> Sequence[Step]:
    async with context.control.rehearse() as rehearsal:
        view = rehearsal.control.view
        steps = await at_ease(plan(wanted, view, asked.owner, is_pruned=asked.is_pruned))
        await ask(rehearsal.control, steps)
        if not asked.is_dry_run:
            await rehearsal.carry_out()
    return steps


async def give_back(context: Context, call: Call[None, ExportQuery]) -> ExportInfo:
    """Documents that make the same objects in an empty cluster. Of networks that came with a
    Docker's there are none."""
    documents = await at_ease(export(context.control.view, call.query.owner))
    return ExportInfo(documents=tuple(documents))


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="POST",
        path="/v1/apply",
        handler=apply,
        summary="Make objects as documents say, or show what that would change",
        query=Empty,
        body=ApplyRequest,
        body_limit_bytes=BODY_LIMIT_BYTES,
        answer=ApplyInfo,
        errors=(
            InvalidError,
            NotFoundError,
            ConflictError,
            InUseError,
            ExhaustedError,
            UnavailableError,
        ),
    ),
    Route(
        method="GET",
        path="/v1/export",
        handler=give_back,
        summary="All objects, as documents",
        query=ExportQuery,
        answer=ExportInfo,
    ),
)
