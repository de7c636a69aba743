"""What is wrong with this host as a member, beside what its kernel refuses: for `weft status`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from weft.cluster.standing import LOST_ON_THE_WAY, Members, Standing
from weft.model.ids import HostId
from weft.model.records import Host
from weft.store.health import Health, StoreHealth
from weft.store.interface import View

SKEW_S = 10.0
"""Clocks that differ by more are shown. The records bear it; logs and certificates less so."""


class Trouble(NamedTuple):
    """One thing, and what to do."""

    kind: str
    id: str
    name: str
    reason: str
    fix: str


def troubles(
    me: HostId, view: View, members: Members, standings: Iterable[Standing], health: Health
) -> list[Trouble]:
    """All of them."""
    hosts = list(standings)
    return [
        *_about_this_host(me, view, members),
        *_about_hosts(hosts),
        *_about_names(hosts),
        *_about_records(health),
    ]


def _about_this_host(me: HostId, view: View, members: Members) -> Iterator[Trouble]:
    own = view.get(Host, me)
    name = own.name if own is not None else me
    if members.is_removed:
        yield Trouble(
            Host.KIND,
            me,
            name,
            "this host was removed from its cluster: the others refuse it",
            "weft leave, then weft up --join ADDRESS --token TOKEN to join as a new one",
        )
    for problem in members.problems:
        if problem.is_clone and problem.host_id == me:
            reason = f"{problem.address}: {problem.reason}"
            yield Trouble(Host.KIND, me, name, reason, problem.fix)


def _about_hosts(standings: Iterable[Standing]) -> Iterator[Trouble]:
    for one in standings:
        host = one.host
        is_cut_off = one.state != "lost" and one.path == "broken"
        if one.state == "lost" or (one.state == "connected" and one.reason):
            yield Trouble(Host.KIND, host.id, host.name, one.reason, one.fix)
            is_cut_off = is_cut_off and one.reason != LOST_ON_THE_WAY[0]
        if is_cut_off:
            yield Trouble(Host.KIND, host.id, host.name, *LOST_ON_THE_WAY)
        if one.clock_offset_s is not None and abs(one.clock_offset_s) > SKEW_S:
            yield Trouble(
                Host.KIND,
                host.id,
                host.name,
                f"its clock is {_seconds(one.clock_offset_s)} this host's",
                "run an NTP service on both",
            )


def _seconds(offset_s: float) -> str:
    return f"{abs(offset_s):.0f} s {'ahead of' if offset_s > 0 else 'behind'}"


def _about_names(standings: Iterable[Standing]) -> Iterator[Trouble]:
    called: dict[str, list[Host]] = defaultdict(list)
    for one in standings:
        called[one.host.name].append(one.host)
    for name, hosts in sorted(called.items()):
        if len(hosts) > 1:
            ids = ", ".join(host.id for host in hosts)
            yield Trouble(
                Host.KIND,
                hosts[0].id,
                name,
                f"{len(hosts)} hosts are called so: {ids}",
                "give one of them another name: weft down, then weft up --name NAME",
            )


def _about_store(store: StoreHealth) -> Iterator[Trouble]:
    if store.trouble:
        waiting = f"; {store.waiting} writes of this host wait for it" if store.waiting else ""
        yield Trouble(
            "store",
            "",
            "etcd",
            f"what hosts share cannot be changed: {store.trouble}{waiting}",
            "see to it that a majority of etcd's members runs and is reached from here; it "
            "is tried again every few seconds, and ports and names go on",
        )
    for problem in store.problems:
        reason, _, fix = problem.partition("; ")
        yield Trouble("store", "", "etcd", reason, fix or "see weftd's log")


def _about_records(health: Health) -> Iterator[Trouble]:
    yield from _about_store(health.store)
    if health.set_aside is not None:
        yield Trouble(
            "database",
            "",
            "records",
            f"the database could not be read and was set aside as {health.set_aside}; the records "
            "came back from other hosts, if there are any",
            f"nothing need be done; rm {health.set_aside} when it is of no more use",
        )
    if health.unsaved is not None:
        yield Trouble(
            "database",
            "",
            "records",
            f"what other hosts sent is not on disk: {health.unsaved}",
            "mend that; it is tried again every few seconds",
        )
    for bad in health.quarantined:
        yield Trouble(bad.kind, bad.id, bad.id, f"is not used: {bad.reason}", bad.fix)
    for host, ahead_s in sorted(health.skew_s.items()):
        yield Trouble(
            Host.KIND,
            host,
            host,
            f"wrote records with a clock {ahead_s:.0f} s ahead of this host's",
            "set its clock right",
        )
    if health.has_twin:
        yield Trouble(
            "database",
            "",
            "records",
            "somebody else writes under this host's identity, a copy of it",
            "on the copy: weft down, remove its state directory, weft up --join to join anew",
        )
