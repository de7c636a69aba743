"""How each host of the cluster stands towards this one, and why: what `weft status hosts` shows.

The control plane's state comes from links, the data plane's path from the neighbours that all hosts
publish, so it is the path that the engine takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from weft.cluster.interface import LinkInfo, Problem
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import Host
from weft.store.interface import View
from weft.topology.encryption import Way, cluster_settings, party, way_between
from weft.topology.neighbours import Path, neighbour
from weft.topology.routes import Route, data_routes

State = Literal["local", "connected", "indirect", "lost"]
"""local: the host that tells.
connected: a link is up.
indirect: no link, and others reach it.
lost: no host that is reached has a link to it."""
PathKind = Literal["direct", "relayed", "broken"]
LOST_ON_THE_WAY = (
    "what is sent to it is lost on the way, and no host can relay it",
    "let UDP pass between the two, both ways: overlay_port (4789), encrypted wireguard_port (6783)",
)
"""Reason and fix where links are up and packets of networks do not arrive."""


class Members(Protocol):
    """What is known of the other hosts beside the records (`membership.Membership`)."""

    @property
    def links(self) -> Mapping[HostId, LinkInfo]:
        """Links that are up."""
        ...

    @property
    def problems(self) -> Sequence[Problem]:
        """Why links are not there."""
        ...

    @property
    def reached(self) -> Mapping[HostId, Route]:
        """Hosts that are reached over links, by whatever way."""
        ...

    @property
    def since_s(self) -> Mapping[HostId, float]:
        """Wall clock: since when a host's state is what it is."""
        ...

    @property
    def is_removed(self) -> bool:
        """Whether this host was removed from its cluster, as far as it has heard."""
        ...

    @property
    def has_passed_on(self) -> bool:
        """Whether a linked host has confirmed that it has all that is here."""
        ...

    @property
    def rotation(self) -> Rotation:
        """How far the cluster's secret is."""
        ...

    def rotate(self) -> None:
        """Make a new secret, for all hosts; ConflictError: the last time is not over yet."""
        ...


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """How far the cluster's secret is."""

    secret_id: str = ""
    """Names the newest: a hash, nothing to hide."""
    is_rotating: bool = False
    """Whether the former secret counts as well."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One host."""

    host: Host
    state: State
    since_s: float | None = None
    """Wall clock; None: not known."""
    address: IPAddress | None = None
    """Under which this host reaches it, or tries to."""
    path: PathKind | None = None
    """None: nothing is known to get there."""
    relay: Host | None = None
    """The host through which packets for this one go."""
    rtt_s: float | None = None
    path_mtu_bytes: int = 0
    """Largest underlay packet that passes in both directions; 0: not known."""
    way: Way | None = None
    clock_offset_s: float | None = None
    """How far its clock is ahead of this host's."""
    reason: str = ""
    """Why there is no link, or what else is wrong with it."""
    fix: str = ""


def standings(me: HostId, view: View, members: Members) -> list[Standing]:
    """All hosts of the cluster, this one too, by name."""
    ways = view.ask(data_routes, me)
    found = [
        Standing(host=host, state="local", address=_first(host.underlay))
        if host.id == me
        else standing(me, host, view, members, ways)
        for host in view.list(Host)
    ]
    return sorted(found, key=lambda one: (one.host.name, one.host.id))


def standing(
    me: HostId, host: Host, view: View, members: Members, ways: Mapping[HostId, Route]
) -> Standing:
    """Another host. ways: of data, as `data_routes` answers."""
    link = members.links.get(host.id)
    state = state_of(host.id, members)
    mine = view.ask(neighbour, Path(me, host.id))
    address = link.address if link else mine.address if mine else _first(host.underlay)
    path, relay, path_mtu_bytes = _path(me, host, view, state, ways)
    way = _way(me, host, view, address)
    reason, fix = _reason(host, state, members)
    if not reason:
        reason, fix = _reason_of_packets(path, way)
    return Standing(
        host=host,
        state=state,
        since_s=link.since_s if link else members.since_s.get(host.id),
        address=address,
        path=path,
        relay=relay,
        rtt_s=link.rtt_s if link else None,
        path_mtu_bytes=path_mtu_bytes,
        way=way,
        clock_offset_s=link.clock_offset_s if link else None,
        reason=reason,
        fix=fix,
    )


def state_of(host: HostId, members: Members) -> State:
    """Of another host. A neighbour whose link has just gone is lost, whatever its grace period."""
    if host in members.links:
        return "connected"
    route = members.reached.get(host)
    return "indirect" if route is not None and route.via != host else "lost"


def unnamed(me: HostId, view: View, members: Members) -> list[Problem]:
    """Attempts, from here or from elsewhere, that belong to no other host of the cluster."""
    return [
        problem
        for problem in members.problems
        if problem.host_id in (None, me) or view.get(Host, problem.host_id) is None
    ]


def _path(
    me: HostId, host: Host, view: View, state: State, ways: Mapping[HostId, Route]
) -> tuple[PathKind | None, Host | None, int]:
    there, back = view.ask(neighbour, Path(me, host.id)), view.ask(neighbour, Path(host.id, me))
    ends = [end for end in (there, back) if end is not None]
    if any(end.is_path_broken for end in ends):
        way = ways.get(host.id)
        if way is None or way.via == host.id:
            return "broken", None, 0
        return "relayed", view.get(Host, way.via), way.path_mtu_bytes
    if state == "lost":
        return None, None, 0
    measured = [end.path_mtu_bytes for end in ends if end.path_mtu_bytes]
    return "direct", None, min(measured, default=0)


def _way(me: HostId, host: Host, view: View, remote: IPAddress | None) -> Way | None:
    own = view.get(Host, me)
    if own is None or remote is None:
        return None
    local = next((one for one in own.underlay if one.version == remote.version), None)
    if local is None:
        return None
    return way_between(cluster_settings(view), party(view, own), party(view, host), local, remote)


def _reason(host: Host, state: State, members: Members) -> tuple[str, str]:
    about = [problem for problem in members.problems if problem.host_id == host.id]
    clone = next((problem for problem in about if problem.is_clone), None)
    if clone is not None:
        return clone.reason, clone.fix
    if state == "connected":
        return "", ""
    latest = next((p for p in about if p.is_outgoing), about[0] if about else None)
    if latest is not None:
        return f"{latest.address}: {latest.reason}", latest.fix
    if state == "indirect":
        return "", ""
    if members.is_removed:
        return "this host was removed from the cluster", "weft leave, then join anew"
    return (
        "it does not answer",
        f"start weftd there; if it is gone for good: weft forget {host.name}",
    )


def _reason_of_packets(path: PathKind | None, way: Way | None) -> tuple[str, str]:
    """Why packets of networks do not get there, though the host is reached."""
    if way is Way.NONE:
        return (
            "nothing is sent to it: one of the two hosts must encrypt and the other cannot",
            "see weft encrypt status, and weft doctor on the one that cannot",
        )
    return LOST_ON_THE_WAY if path == "broken" else ("", "")


def _first(addresses: Sequence[IPAddress]) -> IPAddress | None:
    return addresses[0] if addresses else None
