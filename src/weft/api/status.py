"""The daemon itself: its state, hosts, problems, facts for `weft doctor`, its end."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import weft
from weft.api.context import Context
from weft.api.render import host_info, network_name
from weft.api.route import AnyRoute, Call, plain
from weft.api.schema import (
    Accepted,
    Empty,
    FactsInfo,
    HostInfo,
    Problem,
    ProblemList,
    ReconcileInfo,
    Scalar,
    StatusInfo,
    StoreInfo,
)
from weft.cluster.standing import Standing
from weft.engine.failures import Failure
from weft.model.codec import to_builtins
from weft.model.records import KINDS, Host, Network, Port, Record, Subnet
from weft.store.health import StoreHealth

TRIES_AGAIN = "run weft doctor; weftd tries again by itself"
ALIKE_SHOWN = 10
"""Rows of one table that one reason stops: so many are named."""


async def status(context: Context, call: Call[None, Empty]) -> StatusInfo:
    """The state of weftd."""
    control = context.control
    return StatusInfo(
        version=weft.__version__,
        is_ready=context.engine.ready.is_set() and context.dns.ready.is_set(),
        pid=os.getpid(),
        started_s=context.started_s,
        host=own_host(context),
        settings=cast("dict[str, Scalar]", to_builtins(context.settings)),
        network_count=len(control.networks.list()),
        port_count=len(control.ports.list()),
        problem_count=len(_all_problems(context)),
        host_count=len(tuple(control.view.list(Host))),
        lost_host_count=sum(one.state == "lost" for one in control.hosts.standings()),
        is_removed=control.hosts.members.is_removed,
        conflict_count=len(control.conflicts()),
        store=_store_info(control.hosts.store()),
    )


def _store_info(health: StoreHealth) -> StoreInfo:
    return StoreInfo(
        kind=health.kind,
        where=health.where,
        reason=health.trouble,
        since_s=health.since_s if health.trouble else None,
        waiting_count=health.waiting,
        members=tuple(health.members),
    )


async def list_problems(context: Context, call: Call[None, Empty]) -> ProblemList:
    """What could not be made true."""
    return ProblemList(problems=_all_problems(context))


async def facts(context: Context, call: Call[None, Empty]) -> FactsInfo:
    """What only the daemon knows of itself."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resident = await asyncio.to_thread(_resident_bytes)
    return FactsInfo(
        resident_bytes=resident,
        cpu_s=time.process_time(),
        memlock_bytes=None if soft == resource.RLIM_INFINITY else soft,
        resolvers=tuple(context.dns.upstreams()),
        reconcile=ReconcileInfo(
            run_count=context.engine.reconciles_total,
            repaired_count=context.engine.repairs_total,
            failed_count=len(context.engine.failures()),
        ),
        dns=dict(context.dns.statistics()),
    )


async def shut_down(context: Context, call: Call[None, Empty]) -> Accepted:
    """End weftd; ports go on forwarding."""
    context.stop()
    return Accepted(pid=os.getpid())


def own_host(context: Context) -> HostInfo:
    """The host that answers."""
    host = context.control.host
    return host_info(Standing(host=host, state="local", address=next(iter(host.underlay), None)))


def _all_problems(context: Context) -> tuple[Problem, ...]:
    rows = list(_row_problems(context))
    sockets = [
        Problem(kind="dns", id="", name=name, reason=reason, fix=TRIES_AGAIN)
        for name, reason in context.dns.failures.items()
    ]
    members = [
        Problem(kind=one.kind, id=one.id, name=one.name, reason=one.reason, fix=one.fix)
        for one in context.control.hosts.troubles()
    ]
    notices = [Problem(**notice._asdict()) for notice in context.control.notices.list()]
    return (*rows, *sockets, *members, *notices, *_prefix_problems(context))


def _prefix_problems(context: Context) -> Iterator[Problem]:
    """Conflicts about prefixes that are felt on this host: what it has itself under a network's
    addresses, and networks that have the same. All hosts see them in `weft status conflicts`."""
    here = context.control.host.id
    for one in context.control.conflicts():
        if one.kind == "subnet" or (one.kind == "host-prefix" and here in one.ids):
            yield Problem(
                kind=one.kind, id=one.ids[0], name=one.subject, reason=one.reason, fix=one.fix
            )


def _row_problems(context: Context) -> Iterator[Problem]:
    """Of many rows that one reason stops, such as a full map, the first few and how many more."""
    alike: dict[tuple[str, str], list[Failure]] = defaultdict(list)
    for failure in context.engine.failures():
        alike[failure.row.table, failure.reason].append(failure)
    for (table, reason), failures in alike.items():
        for failure in failures[:ALIKE_SHOWN]:
            yield from _problems(context, failure)
        rest = len(failures) - ALIKE_SHOWN
        if rest > 0:
            name = f"{rest} more of {table}"
            yield Problem(kind="", id="", name=name, reason=reason, fix=TRIES_AGAIN)


def _problems(context: Context, failure: Failure) -> list[Problem]:
    if not failure.records:
        name = f"{failure.row.table} {failure.row.key}"
        return [Problem(kind="", id="", name=name, reason=failure.reason, fix=TRIES_AGAIN)]
    return [
        Problem(
            kind=kind,
            id=id,
            name=_name_of(context, kind, id),
            reason=failure.reason,
            fix=TRIES_AGAIN,
        )
        for kind, id in failure.records
    ]


def _name_of(context: Context, kind: str, id: str) -> str:
    types = {one.KIND: one for one in KINDS}
    record: Record | None = context.control.view.get(types[kind], id) if kind in types else None
    match record:
        case Port(names=(first, *_)):
            return f"{first}.{network_name(context, record.network_id)}"
        case Network() | Host():
            return record.name
        case Subnet():
            return str(record.cidr)
        case _:
            return id


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


ROUTES: tuple[AnyRoute, ...] = (
    plain("GET", "/v1/status", status, "The state of weftd on this host", StatusInfo),
    plain("GET", "/v1/problems", list_problems, "What is not as it should be", ProblemList),
    plain("GET", "/v1/facts", facts, "What only the daemon knows of itself", FactsInfo),
    plain("POST", "/v1/shutdown", shut_down, "End weftd; ports go on forwarding", Accepted),
)
