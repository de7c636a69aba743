"""What hosts did without knowing of each other, and how to mend it."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.route import AnyRoute, Call, plain
from weft.api.schema import ConflictInfo, ConflictList, Empty


async def list_conflicts(context: Context, call: Call[None, Empty]) -> ConflictList:
    """Records that contradict each other."""
    return ConflictList(
        conflicts=tuple(
            ConflictInfo(
                kind=one.kind, ids=one.ids, subject=one.subject, reason=one.reason, fix=one.fix
            )
            for one in context.control.conflicts()
        )
    )


ROUTES: tuple[AnyRoute, ...] = (
    plain(
        "GET",
        "/v1/conflicts",
        list_conflicts,
        "What hosts did apart that does not go together",
        ConflictList,
    ),
)
