"""`replicas`: (VNI, tag) -> tag of the next other host that gets what is flooded.

A chain for each network that this host has ports on: it begins at tag 0, its tags rise, and after
the last one there is no row.
"""

from __future__ import annotations

import msgspec

from weft.engine.ebpf.map_table import Coding, MapTable
from weft.engine.table import Rank
from weft.kernel.bpf import layouts


class ReplicaKey(msgspec.Struct, frozen=True, gc=False):
    """A host in the chain; 0: its beginning."""

    vni: int
    after: int


HOST: Coding[int] = Coding(
    lambda tag, _: layouts.Replica(tag).encode(), lambda raw, _: layouts.Replica.decode(raw).tag
)
"""Tag of a host that a packet for many is copied to."""

REPLICAS: MapTable[ReplicaKey, int] = MapTable(
    "replicas",
    Rank.MEMBERS,
    # A chain must not end where its next row has gone and the way past it is not written yet.
    are_deletes_last=True,
    map_name="replicas_v2",
    keys=Coding(
        lambda key, _: layouts.ReplicaKey(key.vni, key.after).encode(),
        lambda raw, _: ReplicaKey(*layouts.ReplicaKey.decode(raw)),
    ),
    values=HOST,
    # The end of a chain first: at no moment does it lead past a host that was in it and stays.
    write_order=lambda key: -key.after,
)
