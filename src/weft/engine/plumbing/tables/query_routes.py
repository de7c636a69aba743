"""`query_routes`: ifname of the host's end -> routes of its workload, for queries alone."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table
from weft.model.addresses import IPAddress, IPNetwork


class QueryRouteValue(NamedTuple):
    """Where the workload is, and its ways to resolvers."""

    netns: str
    mac: str
    """Of the workload's end, whose name there is not Weft's to choose."""
    routes: tuple[tuple[IPNetwork, IPAddress], ...]


QUERY_ROUTES: Table[str, QueryRouteValue] = Table("query_routes", Rank.WORKLOADS)
