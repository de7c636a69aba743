"""How this weftd is, and what is not as it should be."""

from __future__ import annotations

from typing import Literal

from weft.api.schema.base import Answer, Scalar
from weft.api.schema.hosts import HostInfo


class Problem(Answer, frozen=True, kw_only=True):
    """Something that is wanted and could not be made true."""

    kind: str
    """Of the record: ``port``, ``network``, ``host`` …; ``dns`` for a socket of the DNS server,
    ``database`` for the records as a whole; empty when it belongs to no record."""
    id: str
    name: str
    reason: str
    fix: str
    """What to do about it."""


class ProblemList(Answer, frozen=True, kw_only=True):
    """What is not as it should be."""

    problems: tuple[Problem, ...]


class ConflictInfo(Answer, frozen=True, kw_only=True):
    """Records that contradict each other, made by hosts that did not know of each other."""

    kind: Literal[
        "name",
        "subnet",
        "host-prefix",
        "address",
        "lost-network",
        "router",
        "group",
        "rule",
        "static-port",
    ]
    """``name``: networks that are called alike; ``subnet``: subnets of networks that overlap;
    ``host-prefix``: a subnet that a host has on a bridge or a link of its own, too; ``address``:
    ports of a network that have one address; ``lost-network``: ports on a network that was
    removed; ``router``: routers of one name or one address, or one between networks that
    overlap; ``group``, ``static-port``: security groups, or static ports, that are called alike;
    ``rule``: rules of one group about the same flows."""
    ids: tuple[str, ...]
    """Of the networks, for ``router`` of the routers, for ``address`` of the ports, for
    ``host-prefix`` of network and host."""
    subject: str
    """What they share: the name, the prefix, the address."""
    reason: str
    fix: str
    """What to do about it."""


class ConflictList(Answer, frozen=True, kw_only=True):
    """What hosts did apart that does not go together."""

    conflicts: tuple[ConflictInfo, ...]


class StoreInfo(Answer, frozen=True, kw_only=True):
    """Where the cluster's records are, as the host that answers sees it."""

    kind: str = "mesh"
    """`mesh`, `etcd` or `etcd-managed`."""
    where: str = ""
    """The member of etcd that is asked; empty: none, or the mesh."""
    reason: str = ""
    """Why what hosts share cannot be changed now; empty: it can."""
    since_s: float | None = None
    """Since when it cannot."""
    waiting_count: int = 0
    """Records of this host's own that etcd does not have yet."""
    members: tuple[str, ...] = ()
    """Of an etcd that Weft runs, how each is."""


class StatusInfo(Answer, frozen=True, kw_only=True):
    """The state of weftd on this host."""

    version: str
    is_ready: bool
    """Whether the kernel holds what the records say, as far as it can, and DNS is served."""
    pid: int
    started_s: float
    host: HostInfo
    settings: dict[str, Scalar]
    network_count: int
    port_count: int
    problem_count: int
    host_count: int = 1
    """Hosts of the cluster, this one included."""
    lost_host_count: int = 0
    """Those that are not reached."""
    is_removed: bool = False
    """Whether this host was removed from its cluster, as far as it has heard."""
    conflict_count: int = 0
    """Records of several hosts that contradict each other."""
    store: StoreInfo = StoreInfo()


class ReconcileInfo(Answer, frozen=True, kw_only=True):
    """Looks at whether the kernel still holds what it should, since weftd started."""

    run_count: int
    repaired_count: int
    """Rows that had to be put right."""
    failed_count: int
    """Rows that cannot be put right now."""


class FactsInfo(Answer, frozen=True, kw_only=True):
    """What only the daemon knows, for `weft doctor`."""

    resident_bytes: int
    cpu_s: float
    """User and system time of all threads since the start."""
    memlock_bytes: int | None
    """null: unlimited."""
    resolvers: tuple[str, ...]
    """Where queries for other domains are sent."""
    reconcile: ReconcileInfo
    dns: dict[str, int]
    """Counts of the DNS server, by name."""


class Accepted(Answer, frozen=True, kw_only=True):
    """The request was taken; what it asks for happens after this answer."""

    pid: int
