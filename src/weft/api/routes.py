"""The route table: everything that the API serves under ``/v1``."""

from __future__ import annotations

from weft.api import (
    conflicts,
    counters,
    encryption,
    flows,
    groups,
    hosts,
    ipam,
    lookup,
    multicast,
    networks,
    policy,
    ports,
    routers,
    status,
    traces,
    watching,
)
from weft.api.apply.routes import ROUTES as APPLY_ROUTES
from weft.api.nouns import routes
from weft.api.resources.table import RESOURCES
from weft.api.route import AnyRoute

ROUTES: tuple[AnyRoute, ...] = (
    *status.ROUTES,
    *counters.ROUTES,
    *hosts.ROUTES,
    *ipam.ROUTES,
    *(route for resource in RESOURCES for route in routes(resource)),
    *networks.ROUTES,
    *routers.ROUTES,
    *groups.ROUTES,
    *policy.ROUTES,
    *traces.ROUTES,
    *ports.ROUTES,
    *lookup.ROUTES,
    *multicast.ROUTES,
    *encryption.ROUTES,
    *conflicts.ROUTES,
    *watching.ROUTES,
    *flows.ROUTES,
    *APPLY_ROUTES,
)
