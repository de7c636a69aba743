"""What this host, another one, or all hosts say of their connections."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

from weft.api.context import Context
from weft.api.counters import unanswered_info
from weft.api.schema import UnansweredInfo
from weft.control.references import find_host
from weft.errors import InvalidError
from weft.model.ids import HostId
from weft.observers.flows.seen import FLOWS, FlowsAsked, FlowSeen

_MORE = "it has more connections than are taken"


class Whom(NamedTuple):
    """The hosts that are asked."""

    host: HostId
    is_all: bool
    """All others, too."""


class Gathered(NamedTuple):
    """Their answers."""

    seen: list[tuple[HostId, FlowSeen]]
    unanswered: list[UnansweredInfo]
    """Hosts that have not told theirs, or not all; never the one that was named."""
    is_whole: bool
    """False: there are more, which began earlier, or some have not answered."""


def whom(context: Context, host: str | None, *, is_all: bool) -> Whom:
    """This host, if none is named. InvalidError: one and all. NotFoundError: there is none."""
    if is_all and host is not None:
        raise InvalidError("flows: of one host or of all, not both")
    here = context.control.host.id
    return Whom(find_host(context.control.view, host).id if host is not None else here, is_all)


async def gather(context: Context, whom: Whom, asked: FlowsAsked) -> Gathered:
    """UnansweredError: the one host that is named does not answer."""
    unanswered: list[UnansweredInfo] = []
    flows: Iterable[FlowSeen]
    if whom.host == context.control.host.id:
        told = await context.flows.told(asked)
        flows, is_whole = told.flows, told.is_whole
    else:
        answer = await context.others.ask(whom.host, FLOWS, asked)
        flows, is_whole = answer.items, answer.is_whole
    seen = [(whom.host, flow) for flow in flows]
    if whom.is_all:
        async with contextlib.aclosing(context.others.ask_all(FLOWS, asked)) as replies:
            async for other, reply, error in replies:
                if reply is None:
                    unanswered.append(unanswered_info(context, other, str(error)))
                    continue
                seen += ((other, flow) for flow in reply.items)
                if not reply.is_whole:
                    unanswered.append(unanswered_info(context, other, _MORE))
    unanswered.sort(key=lambda one: (one.host, one.host_id))
    return Gathered(seen, unanswered, is_whole and not unanswered)
