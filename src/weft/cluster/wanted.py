"""To which hosts a host holds links: to all in a small cluster, to about 2 log2 N in a large one.

Every host computes its own, from the ids alone. Its two neighbours on each side of the ring of all
ids keep the cluster in one piece; others, ranked by a hash of both ids, keep ways short and are
hardly changed by one that joins or leaves. Links count for both ends, so a host has about twice as
many as it chose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence, Set

from weft.model.ids import HostId

SMALL = 16
"""Up to so many hosts, everybody links to everybody."""
RING = 2
"""Neighbours on each side."""


def wanted(
    me: HostId, hosts: Iterable[HostId], silent: Set[HostId] = frozenset()
) -> frozenset[HostId]:
    """Hosts to hold links to.

    silent: those of `hosts` that answer no host now. They are wanted as before, so that they are
    found when they return, and further hosts are wanted in their stead. Linear in the hosts.
    """
    others = sorted(set(hosts) - {me})
    if len(others) < SMALL:
        return frozenset(others)
    awake = [host for host in others if host not in silent]
    return _chosen(me, others) | _chosen(me, awake)


def _chosen(me: HostId, others: Sequence[HostId]) -> frozenset[HostId]:
    """others: ascending."""
    if len(others) < SMALL:
        return frozenset(others)
    after = sum(host < me for host in others)
    ring = {others[(after + step) % len(others)] for step in range(-RING, RING)}
    chords = max(len(others).bit_length() - RING, 1)
    ranked = sorted(set(others) - ring, key=lambda host: _rank(me, host))
    return frozenset(ring | set(ranked[:chords]))


def _rank(me: HostId, other: HostId) -> bytes:
    return hashlib.blake2b(f"{me} {other}".encode(), digest_size=8).digest()
