"""What hosts made that does not go together, as it is told."""

from __future__ import annotations

from typing import Literal, NamedTuple

ConflictKind = Literal[
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


class Conflict(NamedTuple):
    """Records that contradict each other."""

    kind: ConflictKind
    ids: tuple[str, ...]
    """Of routers (``router``), networks (``name``, ``subnet``, ``lost-network``), ports
    (``address``, ``static-port``), security groups (``group``) or rules (``rule``), ascending; of a
    network and then of a host (``host-prefix``)."""
    subject: str
    """What they share: a name, a prefix, an address; for ``lost-network`` the id of the network."""
    reason: str
    fix: str
