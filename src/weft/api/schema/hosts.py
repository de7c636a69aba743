"""Hosts, and what is done to their place in the cluster."""

from __future__ import annotations

from typing import Literal

from weft.api.schema.base import Answer
from weft.api.schema.ports import PortInfo


class HostInfo(Answer, frozen=True, kw_only=True):
    """A machine that runs weftd."""

    id: str
    name: str
    underlay: tuple[str, ...]
    """Addresses under which other hosts reach it."""
    mtu_bytes: int
    """Of the underlay device."""
    network_mtu_bytes: int
    """For networks that name none: what the underlay carries, less the encapsulation."""
    resolvers: tuple[str, ...]
    """DNS servers whose queries from workloads weftd answers."""
    version: str
    is_local: bool
    """Whether it is the host that answers."""
    mesh_port: int = 6783
    """TCP port of its links to other hosts."""
    state: Literal["local", "connected", "indirect", "lost"] = "local"
    """local: the host that answers. connected: a link is up. indirect: no link, but other hosts
    reach it. lost: nobody who is reached reaches it."""
    since_s: float | None = None
    """Since when it is connected, reached or lost, as far as this weftd has seen; null: not known,
    or the host that answers."""
    address: str | None = None
    """Under which this host reaches it, or tries to."""
    path: Literal["direct", "relayed", "broken"] | None = None
    """How packets of networks get there; null: nothing is known."""
    relayed_by: str | None = None
    """Name of the host that takes them first."""
    path_mtu_bytes: int | None = None
    """Largest underlay packet that passes both ways; null: not measured."""
    rtt_s: float | None = None
    """Round trip over the link."""
    encryption: Literal["plain", "encrypted", "none"] | None = None
    """How packets are sent there; none: one of the two hosts must encrypt and the other cannot."""
    clock_offset_s: float | None = None
    """How far its clock is ahead of that of the host that answers."""
    reason: str = ""
    """Why there is no link, or what else is wrong."""
    fix: str = ""
    """What to do."""
    former_resolvers: tuple[str, ...] = ()
    """DNS servers that it used, for which weftd answers as well: older workloads ask them."""


class AttemptInfo(Answer, frozen=True, kw_only=True):
    """An attempt to link that failed or was refused, of no host that is known."""

    address: str
    """That was dialed, or from which somebody came."""
    host_id: str | None
    """null: it was not learnt."""
    is_outgoing: bool
    """Whether the host that answers made it."""
    is_clone: bool
    """Whether two live machines have the host id."""
    at_s: float
    """The last time."""
    reason: str
    fix: str


class HostList(Answer, frozen=True, kw_only=True):
    """All hosts, by name."""

    hosts: tuple[HostInfo, ...]
    attempts: tuple[AttemptInfo, ...] = ()
    """The latest first."""
    is_removed: bool = False
    """Whether the host that answers was removed from its cluster, as far as it has heard."""


class LeaveInfo(Answer, frozen=True, kw_only=True):
    """A host that has given up its place in the cluster."""

    host: str
    """Its name."""
    is_confirmed: bool
    """Whether another host has confirmed that it heard of it; false also when there is none."""


class RotationInfo(Answer, frozen=True, kw_only=True):
    """The cluster's token, without the token."""

    secret_id: str
    """Names the newest secret: a hash, nothing to hide."""
    is_rotating: bool
    """Whether the one before counts as well, until all hosts have confirmed this one."""
    unconfirmed: tuple[str, ...]
    """Names of hosts that have not confirmed it."""


class WhyInfo(Answer, frozen=True, kw_only=True):
    """How a host or a port is reached from the host that answers, link by link."""

    host: HostInfo
    port: PortInfo | None
    """null: it was asked for a host."""
    is_reachable: bool
    """Whether packets should get there, as far as is known."""
    explanation: tuple[str, ...]
    """In sentences, the most telling first."""
    fix: str
