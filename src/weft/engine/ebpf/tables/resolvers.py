"""`resolvers`: address of a resolver of the host -> (nothing): queries to it are Weft's."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import ADDRESS, Coding, MapTable
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.model.addresses import IPAddress


class ResolverValue(NamedTuple):
    """The address says it all."""


RESOLVERS: MapTable[IPAddress, ResolverValue] = MapTable(
    "resolvers",
    Rank.NETWORKS,
    map_name="resolvers_v1",
    keys=ADDRESS,
    values=Coding(lambda _, __: layouts.Resolver().encode(), lambda _, __: ResolverValue()),
)
