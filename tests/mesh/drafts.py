"""Replicas that tests write to and read by hand."""

from __future__ import annotations

from tests.mesh.simulation import Cluster, live
from weft.mesh.replica import Limits, Replica
from weft.store.batch import Saved
from weft.store.draft import Draft
from weft.store.entry import Key

SHORT = Limits(tombstone_lifetime_s=10.0)


def shared(id: str, body: bytes | None) -> Draft:
    return Draft("network", id, body, False)


def own(id: str, body: bytes | None) -> Draft:
    return Draft("port", id, body, True)


def bodies(cluster: Cluster, key: Key) -> set[bytes | None]:
    """What all hosts hold under a key; None: nothing."""
    found = [live(host.replica).get(key) for host in cluster.hosts]
    return {None if entry is None else entry.body for entry in found}


def replica(host: str = "a", saved: Saved = Saved(), byte: int = 0) -> Replica:  # noqa: B008
    """byte: all that its randomness gives."""
    return Replica(host, lambda: 1000.0, lambda size: bytes([byte]) * size, saved)


def give(sender: Replica, receiver: Replica) -> None:
    delta = sender.missing_for(receiver.digest)
    assert delta is not None
    assert receiver.merge(delta) is not None
