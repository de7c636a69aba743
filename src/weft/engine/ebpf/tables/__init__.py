"""The tables of the ebpf engine, one file each: key, value, how they look in the map, the table.

A new map costs its file, its line in `TABLES`, and the compile function that yields its rows.
"""

from __future__ import annotations

from typing import Any

from weft.engine.ebpf.map_table import MapTable
from weft.engine.ebpf.tables.addresses import ADDRESSES
from weft.engine.ebpf.tables.allowed import ALLOWED
from weft.engine.ebpf.tables.filters import FILTERS
from weft.engine.ebpf.tables.flood import FLOOD
from weft.engine.ebpf.tables.heads import HEADS
from weft.engine.ebpf.tables.host_prefixes import HOST_PREFIXES
from weft.engine.ebpf.tables.macs import MACS
from weft.engine.ebpf.tables.multicast_groups import MULTICAST_GROUPS
from weft.engine.ebpf.tables.multicast_members import MULTICAST_HOSTS, MULTICAST_PORTS
from weft.engine.ebpf.tables.networks import NETWORKS
from weft.engine.ebpf.tables.nftables import NFTABLES
from weft.engine.ebpf.tables.overlay_devices import OVERLAY_DEVICES
from weft.engine.ebpf.tables.peers import PEERS
from weft.engine.ebpf.tables.policy_rules import POLICY_RULES
from weft.engine.ebpf.tables.port_rules import PORT_RULES
from weft.engine.ebpf.tables.ports import PORTS
from weft.engine.ebpf.tables.prefixes import PREFIXES
from weft.engine.ebpf.tables.replicas import REPLICAS
from weft.engine.ebpf.tables.resolvers import RESOLVERS
from weft.engine.ebpf.tables.routes import ROUTERS, ROUTES
from weft.engine.ebpf.tables.subnets import SUBNETS
from weft.engine.ebpf.tables.tunnels import TUNNELS
from weft.engine.ebpf.tables.unowned import UNOWNED
from weft.engine.ebpf.tables.wires import WIRES
from weft.engine.plumbing import tables as plumbing
from weft.engine.table import Table

TABLES: tuple[Table[Any, Any], ...] = tuple(
    sorted(
        (
            *plumbing.TABLES,
            ADDRESSES,
            ALLOWED,
            FILTERS,
            FLOOD,
            HEADS,
            HOST_PREFIXES,
            MACS,
            MULTICAST_GROUPS,
            MULTICAST_HOSTS,
            MULTICAST_PORTS,
            NETWORKS,
            NFTABLES,
            OVERLAY_DEVICES,
            PEERS,
            POLICY_RULES,
            PORTS,
            PORT_RULES,
            PREFIXES,
            UNOWNED,
            REPLICAS,
            RESOLVERS,
            ROUTERS,
            ROUTES,
            SUBNETS,
            TUNNELS,
            WIRES,
        ),
        key=lambda table: (table.rank, table.name),
    )
)
"""All of them, in the order in which they are written."""

MAPS: tuple[MapTable[Any, Any], ...] = tuple(
    table for table in TABLES if isinstance(table, MapTable)
)
"""Those that are BPF maps by themselves."""
