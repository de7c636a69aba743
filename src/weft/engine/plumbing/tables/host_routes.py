"""`host_routes` and `own_routes`: prefix -> route through ``weft0``."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table
from weft.model.addresses import IPAddress, IPNetwork


class HostRouteValue(NamedTuple):
    """The source that the host should use; None: the kernel chooses."""

    source: IPAddress | None = None


HOST_ROUTES: Table[IPNetwork, HostRouteValue] = Table("host_routes", Rank.HOST_ROUTES)
"""In the main routing table."""
OWN_ROUTES: Table[IPNetwork, HostRouteValue] = Table("own_routes", Rank.HOST_ROUTES)
"""In a routing table of Weft's own, for prefixes for which the main one leads somewhere else."""
OWN_TABLE = 8787
"""The number of that routing table. Only the rules lead there."""
