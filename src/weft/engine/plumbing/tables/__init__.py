"""The tables of the plumbing, one file a subject: keys, values, and the table itself."""

from __future__ import annotations

from weft.engine.plumbing.tables.devices import DEVICES
from weft.engine.plumbing.tables.host_addresses import HOST_ADDRESSES
from weft.engine.plumbing.tables.host_routes import HOST_ROUTES, OWN_ROUTES
from weft.engine.plumbing.tables.query_routes import QUERY_ROUTES
from weft.engine.plumbing.tables.rules import RULES
from weft.engine.plumbing.tables.wireguard import WIREGUARD, WIREGUARD_PEERS

TABLES = (
    DEVICES,
    HOST_ADDRESSES,
    HOST_ROUTES,
    OWN_ROUTES,
    QUERY_ROUTES,
    RULES,
    WIREGUARD,
    WIREGUARD_PEERS,
)
"""All of them."""
